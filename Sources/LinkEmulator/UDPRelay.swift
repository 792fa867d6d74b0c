import MastLinkModel
import MastTimebase
import NIOCore
import NIOPosix

/// A live link between real programs: a UDP socket whose datagrams reach the target as the link model says,
/// and the answers likewise. No privilege is needed.
///
/// The links begin at `start`, at their time zero. Each client address has its own socket towards the target, so
/// the target can tell clients apart; an answer goes back to the client whose socket it came to. Packets count
/// with their IP and UDP headers.
package final class UDPRelay: Sendable {
    /// Where clients send to, with the port that the system chose.
    package let localAddress: NetworkAddress
    package let target: NetworkAddress
    private let core: NIOLoopBound<RelayCore>
    private let loop: any EventLoop
    /// Nil when the caller's event loop is used.
    private let ownGroup: MultiThreadedEventLoopGroup?

    private init(
        localAddress: NetworkAddress, target: NetworkAddress, core: NIOLoopBound<RelayCore>, loop: any EventLoop,
        ownGroup: MultiThreadedEventLoopGroup?
    ) {
        (self.localAddress, self.target, self.core, self.loop, self.ownGroup) = (localAddress, target, core, loop, ownGroup)
    }

    /// Opens the socket. Throws `UDPRelayError`. Without a group the relay has a thread of its own, which keeps
    /// its departures punctual.
    package static func start(
        _ configuration: UDPRelayConfiguration, group: MultiThreadedEventLoopGroup? = nil
    ) async throws -> UDPRelay {
        let ownGroup = group == nil ? MultiThreadedEventLoopGroup(numberOfThreads: 1) : nil
        let loop = (group ?? ownGroup ?? .singleton).next()
        do {
            let core = try await loop.submit {
                NIOLoopBound(try RelayCore(loop: loop, configuration: configuration), eventLoop: loop)
            }.get()
            let address = try await loop.flatSubmit { core.value.listen() }.get()
            return UDPRelay(
                localAddress: address, target: configuration.target, core: core, loop: loop, ownGroup: ownGroup)
        } catch {
            try? await ownGroup?.shutdownGracefully()
            throw error
        }
    }

    /// Closes the sockets; what is in the links is lost. Once stopped, other calls do nothing or throw.
    package func stop() async {
        let core = core
        try? await loop.flatSubmit { core.value.stop() }.get()
        try? await ownGroup?.shutdownGracefully()
    }

    /// The time since the relay's start, which is the links' time.
    package func now() async throws -> Instant {
        let core = core
        return try await loop.submit { core.value.now }.get()
    }

    /// Cuts the link by hand, from now for `duration` or until `unblock`; nil means both directions.
    package func block(
        _ direction: LinkDirection? = nil, mode: Outage.Mode = .hold, for duration: Interval = .max
    ) async throws {
        let core = core
        try await loop.submit {
            let outage = Outage(start: core.value.now.sinceStart, duration: duration, mode: mode)
            for each in LinkDirection.allCases where direction ?? each == each { core.value.block(each, outage) }
        }.get()
    }

    /// Ends an outage, set by hand or by the scenario, and cancels the scenario's later ones.
    package func unblock(_ direction: LinkDirection? = nil) async throws {
        let core = core
        try await loop.submit {
            for each in LinkDirection.allCases where direction ?? each == each { core.value.unblock(each) }
        }.get()
    }

    /// Gives every client a new port towards the target, as a NAT that lost its table does. What the target
    /// sends to the old ports is lost. Returns when the new ones are in use.
    package func rebind() async throws {
        let core = core
        try await loop.flatSubmit { core.value.rebind() }.get()
    }

    package func statistics() async throws -> UDPRelayStatistics {
        let core = core
        return try await loop.submit { core.value.statistics() }.get()
    }
}
