import MastCalls
import MastLoadGenerator

// What our protocol says, in the load generator's terms.

extension CallStatus {
    init(_ code: StatusCode) { self.init(code.rawValue, code.name) }
}

extension CallEffect {
    init(_ effect: Effect) {
        self =
            switch effect {
            case .none: .none
            case .committed: .committed
            case .unknown: .unknown
            }
    }
}

extension ConnectionFigures {
    init(_ statistics: ConnectionStatistics) {
        self.init(
            rttMin: statistics.minimumRTT, rttSmoothed: statistics.smoothedRTT, packetsSent: statistics.packetsSent, packetsLost: statistics.packetsLost,
            packetsLostSpuriously: statistics.spuriousLosses, packetsRetransmitted: statistics.packetsRetransmitted, packetsRepaired: statistics.repairs)
    }
}
