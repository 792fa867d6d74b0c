import MastTimebase

/// What a host needs from whoever moves its datagrams: the UDP driver, or the simulator.
package protocol EndpointDriver: Sendable {
    /// The run's monotone clock.
    func now() -> Instant
    func wallTime() -> WallTime
    /// The host has something to send, or its next wake-up moved: soon, on the driver's own thread, call
    /// `pollTransmit` until nil and arm `nextWakeup` anew. Callable from any thread, many times, cheaply; never
    /// called while the host's lock is held.
    func scheduleFlush()
    /// Runs handlers where the datagrams are moved; nil where there is no such place.
    var handlerExecutor: (any TaskExecutor)? { get }
    /// Where this host's socket is bound.
    var localAddress: NetworkAddress { get }
    /// Bytes of memory that this process occupies; nil where the system does not tell, or where there is no process of one's own.
    func residentMemoryBytes() -> UInt64?
    /// Whether a fault of our own stops the process (`Invariants`): where nobody is served, and a stop shows the fault.
    var stopsAtOwnFaults: Bool { get }
    /// What became of the socket's datagrams; nil where there is no socket.
    func socketReport() -> SocketReport?
    /// The addresses of a host name, in the order in which they should be tried (RFC 6724). `answer` may be called on any
    /// thread, once, and never while the host's lock is held.
    func lookUp(_ name: String, port: UInt16, _ answer: @escaping @Sendable (Result<[NetworkAddress], NameLookupError>) -> Void)
}

extension EndpointDriver {
    package var handlerExecutor: (any TaskExecutor)? { nil }
    package func residentMemoryBytes() -> UInt64? { nil }
    package func socketReport() -> SocketReport? { nil }
    package var stopsAtOwnFaults: Bool { false }
}

/// A socket's troubles since it was first opened, in datagrams.
public struct SocketReport: Codable, Sendable {
    public struct NotSent: Codable, Sendable {
        /// The system's errno, and its words.
        public var errno: Int32
        public var reason: String
        public var count: UInt64

        package init(errno: Int32, reason: String, count: UInt64) { (self.errno, self.reason, self.count) = (errno, reason, count) }
    }

    /// By reason.
    public var notSent: [NotSent]
    /// Came from port 0, where no answer can go.
    public var unusable: UInt64
    /// ICMP messages about datagrams sent.
    public var networkErrors: UInt64
    /// How often the socket was gone, and opened again.
    public var reopened: UInt64
    /// How often the system said that interfaces, addresses or routes of this machine changed.
    public var networkChanges: UInt64
    /// Of a host of several cores: datagrams that one core's socket got and another's connection was for.
    public var handedOver: UInt64
    /// How often a handler kept the socket's thread for longer than 10 ms, and for how long at most. Such methods are to be
    /// ``MethodHandler/offloaded``.
    public var stalls: UInt64
    public var longestStallMs: Double

    package init(
        notSent: [NotSent], unusable: UInt64, networkErrors: UInt64, reopened: UInt64, networkChanges: UInt64 = 0, handedOver: UInt64 = 0, stalls: UInt64 = 0,
        longestStallMs: Double = 0
    ) {
        (self.notSent, self.unusable, self.networkErrors, self.reopened) = (notSent, unusable, networkErrors, reopened)
        (self.networkChanges, self.handedOver) = (networkChanges, handedOver)
        (self.stalls, self.longestStallMs) = (stalls, longestStallMs)
    }
}

extension SocketReport {
    /// Another core's: by reason, the longest of the stalls, and the most that any core heard of the network, which all hear of.
    mutating func add(_ other: SocketReport) {
        for more in other.notSent {
            if let index = notSent.firstIndex(where: { $0.errno == more.errno }) { notSent[index].count += more.count } else { notSent.append(more) }
        }
        unusable += other.unusable
        networkErrors += other.networkErrors
        reopened += other.reopened
        networkChanges = max(networkChanges, other.networkChanges)
        handedOver += other.handedOver
        stalls += other.stalls
        longestStallMs = max(longestStallMs, other.longestStallMs)
    }
}

/// A datagram as a socket delivered it.
package struct ReceivedDatagram: Sendable {
    package var bytes: [UInt8]
    package var source: NetworkAddress
    package var mark: ECNCodepoint
    /// When the system took it; nil where it does not say.
    package var takenAt: Instant?

    package init(bytes: [UInt8], source: NetworkAddress, mark: ECNCodepoint = .notCapable, takenAt: Instant? = nil) {
        (self.bytes, self.source, self.mark, self.takenAt) = (bytes, source, mark, takenAt)
    }
}

/// The same beside others in one piece of memory.
package struct ReceivedPlace: Sendable {
    package var range: Range<Int>
    package var source: NetworkAddress
    package var mark: ECNCodepoint
    /// When the system took it; nil where it does not say.
    package var takenAt: Instant?

    package init(range: Range<Int>, source: NetworkAddress, mark: ECNCodepoint = .notCapable, takenAt: Instant? = nil) {
        (self.range, self.source, self.mark, self.takenAt) = (range, source, mark, takenAt)
    }
}
