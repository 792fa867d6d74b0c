import Logging
import MastLinkModel
import MastTimebase

/// What a relay shall do.
package struct UDPRelayConfiguration: Sendable {
    package enum Sharing: Sendable {
        /// All clients stand in one cell: one link up and one down.
        case oneCell
        /// Each client has a link of its own.
        case perClient
    }

    /// Where clients send to; port 0 lets the system choose (`UDPRelay.localAddress`).
    package var listen: NetworkAddress
    /// Where their datagrams go: the addresses of one target, at least one, in the order in which they are tried. The next is
    /// taken when the system says that nobody is there and nobody has answered.
    package var targets: [NetworkAddress]
    package var scenario: LinkScenario
    package var sharing = Sharing.oneCell
    /// Clients (addresses) at one time; datagrams of further ones are dropped and counted. Each holds a socket.
    package var maximumClients = 1_024
    /// A client silent in both directions for this long loses its mapping, and with it its port, as at a NAT.
    package var clientIdle = Interval.seconds(120)
    /// Payload that may stand in the links at one time. The model's infinite queue ends here, because memory
    /// does: what comes beyond is dropped and counted.
    package var maximumHeldBytes = 256 << 20
    /// From this long before a departure, the relay polls instead of sleeping: sleepers wake up late, by 50 µs
    /// and more. It goes on reading sockets meanwhile. Zero never polls.
    package var pollBeforeDeparture = Interval.microseconds(100)
    /// Called on the relay's own thread for every datagram that arrives, leaves or is dropped; it must not block.
    package var tap: (@Sendable (RelayedDatagram) -> Void)?
    /// Called on the same thread with the events of the cell's links, in order of time for each direction. Not
    /// where each client has links of its own.
    package var log: (@Sendable (LinkDirection, [LinkEvent]) -> Void)?

    /// Hears of datagrams that the system did not take, now and then.
    package var logger: Logger?

    package init(listen: NetworkAddress = .loopback(port: 0), target: NetworkAddress, scenario: LinkScenario) {
        (self.listen, targets, self.scenario) = (listen, [target], scenario)
    }
}

/// One datagram at one end of the relay's link.
package struct RelayedDatagram: Sendable {
    package enum Stage: Hashable, Sendable {
        case arrived
        case delivered
        case dropped(LinkDropReason)
    }

    package var direction: LinkDirection
    package var stage: Stage
    /// The link's time, from the relay's start.
    package var at: Instant
    package var client: NetworkAddress
    /// The relay's own address towards the target on this client's behalf, once it has one.
    package var upstream: NetworkAddress?
    package var target: NetworkAddress
    package var payload: [UInt8]
}

/// Why a relay did not start; one line that says what and what to do.
package struct UDPRelayError: Error, Sendable, CustomStringConvertible {
    package var address: NetworkAddress
    package var reason: String

    package var description: String { reason }
}
