import MastTimebase

/// Limits and times of an endpoint. Every bound has its reason beside it.
public struct TransportConfiguration: Sendable {
    /// A connection with nothing received for this long is over; zero: no limit of ours, and then the peer's counts alone. NAT mappings
    /// of 30 s are common.
    public var idleTimeout: Interval = .seconds(30)
    /// How long an initiator tries.
    public var handshakeTimeout: Interval = .seconds(10)
    /// UDP payload bytes of the largest data packet: what a path carries is found out, between 1200, which every IPv6 path does,
    /// and this; 1200 tries nothing.
    public var maximumDatagramSize = 1452
    /// Ciphers for data packets, best first. A host on a processor without instructions for AES turns the standard order round.
    public var cipherSuites: [CipherSuite] = CipherSuite.standard
    /// Receive credit of one stream and of the whole connection, bytes: 40 Mbit/s × 200 ms, and four such. A reader that keeps up
    /// with a sender who fills it is given more, up to 16 and 24 times 40 Mbit/s × 200 ms.
    public var streamWindow: UInt64 = 1 << 20
    public var connectionWindow: UInt64 = 4 << 20
    public var maximumStreamWindow: UInt64 = 16 << 20
    public var maximumConnectionWindow: UInt64 = 24 << 20
    /// Beside the window of a connection, bytes. *Shelf*: whole messages that wait for their consumer, six of the largest
    /// that RPC sends, so that large requests at work do not stop the calls beside them. *Assembly*: what is granted to
    /// messages that do not fit the window, at least the largest there is and a little for what others take of that credit.
    public var shelfWindow: UInt64 = 24 << 20
    public var assemblyWindow: UInt64 = (4 << 20) + (512 << 10)
    /// Bytes held of what peers sent, with what goes with them, for one source of traffic and for the whole endpoint: two
    /// connections that hold all they may, and eight sources that do. A source also holds no more than is still free.
    /// Beyond, the stream that grew last is given up (`EndpointEvent.overdrawn`).
    public var heldBytesPerSource = 64 << 20
    public var heldBytes = 512 << 20
    /// The same for what we send and peers do not acknowledge; whoever writes asks before it does.
    public var unreadBytesPerSource = 128 << 20
    public var unreadBytes = 512 << 20
    /// Streams a peer may have open at once.
    public var maximumStreams: UInt64 = 1_024
    /// Congestion window, at most, bytes.
    public var maximumWindow = 16 << 20
    /// What decides how much may be under way.
    public var congestionControl = CongestionControl.cubic
    /// Connections this endpoint keeps at most; beyond, a newcomer of a source with less than its fair share takes the
    /// place of another's, and any other is dropped and counted.
    public var maximumConnections = 20_000
    /// Responder connections not yet confirmed by their peer. Above the first, an address cookie is asked for;
    /// at the second, a newcomer takes the place of the oldest of the source that has most.
    public var halfOpenBeforeCookies = 64
    public var maximumHalfOpen = 1_024
    /// An unconfirmed responder connection is forgotten after this.
    public var halfOpenTimeout: Interval = .seconds(10)
    /// Key agreements per second, about half of one core. Beyond, a source has a 64th of it to itself, for a cookie.
    public var handshakesPerSecond = 2_000
    /// The round trip assumed before the first sample.
    public var initialRTT: Interval = .milliseconds(100)
    /// Keep trace events (qlog vocabulary) for `pollTrace`.
    public var tracing = false
    /// Keep the keys of each connection and key phase for `pollKeys`. Whoever has them reads the traffic.
    package var logsKeys = false
    /// First messages known exactly, 24 bytes each: half a minute at the full rate of handshakes.
    package var rememberedInitiations = 65_536
    /// Receive times asked of the peer, in each acknowledgement; 0 where nothing here uses them.
    package var timestampsPerAck: UInt64 = 0
    /// Which of the host's shards this endpoint is: it stands in the connection IDs that it chooses.
    package var shard: UInt8 = 0
    /// Wire versions spoken; a test plays another build with it.
    package var versions: [UInt8] = [WireVersion.current]
    /// Whether a breach of our own invariants stops the process: for tests and the simulator (`Invariants`).
    package var stopsAtOwnFaults = false
    /// Of each connection's keys.
    package var protectionLimits = ProtectionLimits()

    public init() {}
}
