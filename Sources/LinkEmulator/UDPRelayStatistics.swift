import MastLinkModel
import MastTimebase

/// A relay's counts since its start.
package struct UDPRelayStatistics: Sendable {
    /// The links' own counts; the sum over clients where each has links of its own.
    package internal(set) var up = LinkStatistics()
    package internal(set) var down = LinkStatistics()
    package internal(set) var clients = 0
    package internal(set) var clientsExpired = 0
    /// Datagrams dropped because there were too many clients.
    package internal(set) var refusedClients = 0
    /// Datagrams dropped because the links held too many bytes.
    package internal(set) var overflowDrops = 0
    /// Delivered by the link, but not taken by a socket.
    package internal(set) var socketDrops = 0
    /// Datagrams from port 0, where no answer can go.
    package internal(set) var unusable = 0
    /// Datagrams to a client's port that did not come from the target.
    package internal(set) var strangers = 0
    /// How late departures left, against the link's time.
    package internal(set) var lateness = IntervalHistogram()

    /// What each client got of the links: those there are, and the last `mostFormerShares` that went.
    package internal(set) var shares: [ClientShare] = []

    package static let mostFormerShares = 1_000

    /// One client's part.
    package struct ClientShare: Sendable, Hashable {
        package struct Way: Sendable, Hashable {
            /// Bytes with the headers of IP and UDP.
            package internal(set) var offeredBytes = 0
            package internal(set) var deliveredBytes = 0
            package internal(set) var deliveredPackets = 0
            package internal(set) var droppedPackets = 0
        }
        package internal(set) var client: NetworkAddress
        package internal(set) var up = Way()
        package internal(set) var down = Way()
        /// From its first datagram to its last.
        package internal(set) var first: Instant
        package internal(set) var last: Instant

        package subscript(direction: LinkDirection) -> Way {
            get { direction == .up ? up : down }
            set { if direction == .up { up = newValue } else { down = newValue } }
        }
    }

    /// Jain's index of fairness (DEC-TR-301, 1984) of what the clients that wanted something got: from 1 over their number
    /// to 1 for equal shares; nil of fewer than two.
    package func fairness(_ direction: LinkDirection) -> Double? {
        let bytes = shares.filter { $0[direction].offeredBytes > 0 }.map { Double($0[direction].deliveredBytes) }
        let squares = bytes.reduce(0) { $0 + $1 * $1 }
        guard bytes.count >= 2, squares > 0 else { return nil }
        let sum = bytes.reduce(0, +)
        return sum * sum / (Double(bytes.count) * squares)
    }

    package init() {}

    package subscript(direction: LinkDirection) -> LinkStatistics { direction == .up ? up : down }
}
