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
    /// Where this host's socket is bound.
    var localAddress: NetworkAddress { get }
    /// Bytes of memory that this process occupies; nil where the system does not tell, or where there is no process of one's own.
    func residentMemoryBytes() -> UInt64?
    /// The addresses of a host name, in the order in which they should be tried (RFC 6724). `answer` may be called on any
    /// thread, once, and never while the host's lock is held.
    func lookUp(_ name: String, port: UInt16, _ answer: @escaping @Sendable (Result<[NetworkAddress], NameLookupError>) -> Void)
}

extension EndpointDriver {
    package func residentMemoryBytes() -> UInt64? { nil }
}

/// A datagram as a socket delivered it.
package struct ReceivedDatagram: Sendable {
    package var bytes: [UInt8]
    package var source: NetworkAddress
    package init(bytes: [UInt8], source: NetworkAddress) {
        (self.bytes, self.source) = (bytes, source)
    }
}
