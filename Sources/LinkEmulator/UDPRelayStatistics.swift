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
    /// Datagrams to a client's port that did not come from the target.
    package internal(set) var strangers = 0
    /// How late departures left, against the link's time.
    package internal(set) var lateness = IntervalHistogram()

    package init() {}

    package subscript(direction: LinkDirection) -> LinkStatistics { direction == .up ? up : down }
}
