import MastTimebase

/// Figures of one connection, as of the call.
public struct ConnectionStatistics: Sendable {
    public var peerKey: PublicKey
    public var remoteAddress: NetworkAddress
    public var isEstablished = false
    /// Without the time that the peer says it held acknowledgements back; nil before the first sample, as are the next two.
    public var smoothedRTT: Interval?
    /// The least sample on the present path (RFC 9002 section 5.2).
    public var minimumRTT: Interval?
    /// As measured, the peer's delay of the acknowledgement included.
    public var latestRTT: Interval?
    public var packetsSent: UInt64 = 0
    public var packetsReceived: UInt64 = 0
    /// UDP payload bytes.
    public var bytesSent: UInt64 = 0
    public var bytesReceived: UInt64 = 0
    public var packetsLost: UInt64 = 0
    /// Of these, packets that turned out to be late.
    public var spuriousLosses: UInt64 = 0
    /// Bytes a second that the path to the peer delivers, as the congestion controller measured it last. Nil as long as it was never
    /// kept busy for some tens of milliseconds: a few small packets tell of no rate; and always with `CongestionControl.cubic`.
    public var deliveryRate: Int?
    /// How long packets wait in queues on their way to the peer, as of the last acknowledgement. Nil before there was one that told; and
    /// always with `CongestionControl.cubic`.
    public var queueingDelay: Interval?
    /// Packets sent that carried something sent before.
    public var packetsRetransmitted: UInt64 = 0
    /// Packets whose calls were sent a second time before anything was known of their loss.
    public var repairs: UInt64 = 0
    /// Bytes of calls and answers that were not sent, or not again, because the call's deadline had passed.
    public var expiredBytes: UInt64 = 0
    public var probes: UInt64 = 0
    public var consecutiveProbes = 0
    public var congestionWindow = 0
    public var bytesInFlight = 0
    public var migrations: UInt64 = 0
    /// When the last authentic packet arrived.
    public var lastReceived: Instant?
    /// Send time of the oldest packet that still waits for an acknowledgement.
    public var oldestUnacknowledged: Instant?
    /// Send time of the newest packet that was acknowledged.
    public var newestAcknowledged: Instant?
    public var streams = 0
    /// UDP payload bytes of the largest packet that the path is known to carry.
    public var datagramSize = 0
    /// What seals data packets; nil before the handshake is done.
    public var cipherSuite: CipherSuite?

    package init(peerKey: PublicKey, remoteAddress: NetworkAddress) {
        self.peerKey = peerKey
        self.remoteAddress = remoteAddress
    }

    /// Lost packets as a share of those sent.
    public var lossShare: Double { packetsSent == 0 ? 0 : Double(packetsLost) / Double(packetsSent) }
}
