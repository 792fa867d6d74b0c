extension CongestionControl {
    /// A controller for a new path.
    func make(datagramSize: Int, maximumWindow: Int) -> any CongestionController {
        switch self {
        case .cubic: Cubic(datagramSize: datagramSize, maximumWindow: maximumWindow)
        case .delayTarget: DelayTarget(datagramSize: datagramSize, maximumWindow: maximumWindow)
        case .bbr: BBR(datagramSize: datagramSize, maximumWindow: maximumWindow)
        }
    }

    /// Receive times that it asks the peer for, in each acknowledgement.
    var timestampsPerAck: UInt64 {
        switch self {
        case .cubic, .bbr: 0
        case .delayTarget: 32
        }
    }
}
