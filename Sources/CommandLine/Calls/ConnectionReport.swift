import MastCalls
import MastCapture

/// What the transport knows of a connection, for whoever asked about it. What is not known is null.
struct ConnectionReport: Encodable, Sendable {
    /// Of the transport's packets: with the handshake's, and without the time that the server held acknowledgements back.
    var rttMinMs, rttSmoothedMs: Double?
    /// What the path to the server delivers.
    var deliveryRateMbps: Double?
    /// How long packets wait in queues on their way to the server.
    var queueingDelayMs: Double?
    var packetsSent, packetsLost: UInt64
    /// Of these, so many were only late.
    var packetsLostSpuriously: UInt64

    init(_ statistics: ConnectionStatistics) {
        rttMinMs = statistics.minimumRTT.map { Self.rounded($0.inMilliseconds) }
        rttSmoothedMs = statistics.smoothedRTT.map { Self.rounded($0.inMilliseconds) }
        deliveryRateMbps = statistics.deliveryRate.map { Self.rounded(Double($0) * 8 / 1e6) }
        queueingDelayMs = statistics.queueingDelay.map { Self.rounded($0.inMilliseconds) }
        (packetsSent, packetsLost, packetsLostSpuriously) = (statistics.packetsSent, statistics.packetsLost, statistics.spuriousLosses)
    }

    private enum CodingKeys: CodingKey {
        case rttMinMs, rttSmoothedMs, deliveryRateMbps, queueingDelayMs, packetsSent, packetsLost, packetsLostSpuriously
    }

    func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        try object.encode(rttMinMs, forKey: .rttMinMs)
        try object.encode(rttSmoothedMs, forKey: .rttSmoothedMs)
        try object.encode(deliveryRateMbps, forKey: .deliveryRateMbps)
        try object.encode(queueingDelayMs, forKey: .queueingDelayMs)
        try object.encode(packetsSent, forKey: .packetsSent)
        try object.encode(packetsLost, forKey: .packetsLost)
        try object.encode(packetsLostSpuriously, forKey: .packetsLostSpuriously)
    }

    /// One line.
    var text: String {
        var parts = ["rtt not known"]
        if let rttMinMs, let rttSmoothedMs {
            parts = ["rtt min/smoothed \(TextLayout.fixed(rttMinMs, 3))/\(TextLayout.fixed(rttSmoothedMs, 3)) ms"]
        }
        parts.append("delivery rate " + (deliveryRateMbps.map { TextLayout.bitRate($0 * 1e6) } ?? "not known"))
        if let queueingDelayMs { parts.append("queueing delay \(TextLayout.fixed(queueingDelayMs, 3)) ms") }
        let share = packetsSent == 0 ? 0 : Double(packetsLost) / Double(packetsSent)
        let late = packetsLost == 0 ? "" : ", \(packetsLostSpuriously) of them only late"
        parts.append("lost \(packetsLost) of \(packetsSent) packets (\(TextLayout.fixed(share * 100, 1)) %\(late))")
        return "connection: " + parts.joined(separator: ", ")
    }

    private static func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }
}
