/// What an endpoint has seen, in datagrams.
package struct EndpointCounters: Sendable {
    package var received: UInt64 = 0
    package var receivedBytes: UInt64 = 0
    package var sent: UInt64 = 0
    package var sentBytes: UInt64 = 0
    package var forwarded: UInt64 = 0
    package var forwardedBytes: UInt64 = 0
    package var cookiesSent: UInt64 = 0
    package var resetsSent: UInt64 = 0
    package var handshakes: UInt64 = 0
    /// Connections whose place was given to another source's.
    package var displaced: UInt64 = 0
    /// Breaches of our own invariants: faults in this code, each of which ended a connection or was set right.
    package var ownFaults: UInt64 = 0
    private var drops = [UInt64](repeating: 0, count: DropReason.allCases.count)

    package init() {}
    package mutating func add(_ other: EndpointCounters) {
        received += other.received
        receivedBytes += other.receivedBytes
        sent += other.sent
        sentBytes += other.sentBytes
        forwarded += other.forwarded
        forwardedBytes += other.forwardedBytes
        cookiesSent += other.cookiesSent
        resetsSent += other.resetsSent
        handshakes += other.handshakes
        displaced += other.displaced
        ownFaults += other.ownFaults
        for index in drops.indices { drops[index] += other.drops[index] }
    }

    package mutating func drop(_ reason: DropReason) { drops[reason.rawValue] += 1 }
    package func dropped(_ reason: DropReason) -> UInt64 { drops[reason.rawValue] }
    package var dropped: UInt64 { drops.reduce(0, +) }
}
