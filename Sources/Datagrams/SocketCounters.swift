/// What became of a socket's datagrams.
package struct SocketCounters: Sendable {
    package struct Failure: Sendable, Hashable {
        /// The system's errno.
        package var code: Int32
        package var count: UInt64

        package init(code: Int32, count: UInt64) { (self.code, self.count) = (code, count) }
    }

    package var received: UInt64 = 0
    package var sent: UInt64 = 0
    /// From port 0, where no answer can go, or longer than we take.
    package var unusable: UInt64 = 0
    /// Not sent, by errno; the order is that of first appearance.
    package private(set) var failures: [Failure] = []
    /// Of failures beyond the kinds that `failures` has room for.
    package private(set) var otherFailures: UInt64 = 0
    /// ICMP messages about datagrams sent earlier.
    package var networkErrors: UInt64 = 0
    /// How often the socket was gone and another took its place.
    package var reopened: UInt64 = 0
    /// Bytes moved about in memory on their way out.
    package var copied: UInt64 = 0

    /// Linux names 133 errors, and sending meets some dozen of them.
    private static let mostKinds = 32

    package init() {}

    /// Datagrams that the system did not take.
    package var failed: UInt64 { failures.reduce(otherFailures) { $0 + $1.count } }

    package mutating func fail(_ code: Int32, count: UInt64 = 1) {
        if let index = failures.firstIndex(where: { $0.code == code }) {
            failures[index].count += count
        } else if failures.count < Self.mostKinds {
            failures.append(Failure(code: code, count: count))
        } else {
            otherFailures += count
        }
    }

    package mutating func add(_ other: SocketCounters) {
        received += other.received
        sent += other.sent
        unusable += other.unusable
        for failure in other.failures { fail(failure.code, count: failure.count) }
        otherFailures += other.otherFailures
        networkErrors += other.networkErrors
        reopened += other.reopened
        copied += other.copied
    }
}
