import MastDatagrams
import MastLinkModel
import MastTimebase

/// A live link between real programs: a UDP socket whose datagrams reach the target as the link model says,
/// and the answers likewise. No privilege is needed.
///
/// The links begin at `start`, at their time zero. Each client address has its own socket towards the target, so
/// the target can tell clients apart; an answer goes back to the client whose socket it came to. Packets count
/// with their IP and UDP headers.
package final class UDPRelay: Sendable {
    /// Where clients send to, with the port that the system chose.
    package let localAddress: NetworkAddress
    private let core: RelayCore
    private let loop: any DatagramLoop

    private init(localAddress: NetworkAddress, core: RelayCore, loop: any DatagramLoop) {
        (self.localAddress, self.core, self.loop) = (localAddress, core, loop)
    }

    /// Opens the socket, on a thread of its own. Throws `UDPRelayError`.
    package static func start(_ configuration: UDPRelayConfiguration) async throws -> UDPRelay {
        let core = RelayCore(configuration)
        do {
            let loop = try DatagramLoops.make(core, log: configuration.logger.map { SocketLog($0) }, isPunctual: true)
            do {
                let address = try await loop.run { try core.listen(on: loop) }
                return UDPRelay(localAddress: address, core: core, loop: loop)
            } catch {
                await loop.stop()
                throw error
            }
        } catch { throw UDPRelayError(address: configuration.listen, reason: "\(error)") }
    }

    /// Closes the sockets; what is in the links is lost. Once stopped, other calls do nothing or throw.
    package func stop() async {
        let core = core
        _ = try? await loop.run { core.stop() }
        await loop.stop()
    }

    /// The time since the relay's start, which is the links' time.
    package func now() async throws -> Instant {
        let core = core
        return try await loop.run { core.now }
    }

    /// Cuts the link by hand, from now for `duration` or until `unblock`; nil means both directions.
    package func block(
        _ direction: LinkDirection? = nil, mode: Outage.Mode = .hold, for duration: Interval = .max
    ) async throws {
        let core = core
        try await loop.run {
            let outage = Outage(start: core.now.sinceStart, duration: duration, mode: mode)
            for each in LinkDirection.allCases where direction ?? each == each { core.block(each, outage) }
        }
    }

    /// Ends an outage, set by hand or by the scenario, and cancels the scenario's later ones.
    package func unblock(_ direction: LinkDirection? = nil) async throws {
        let core = core
        try await loop.run {
            for each in LinkDirection.allCases where direction ?? each == each { core.unblock(each) }
        }
    }

    /// Gives every client a new port towards the target, as a NAT that lost its table does. What the target
    /// sends to the old ports is lost. Returns when the new ones are in use.
    package func rebind() async throws {
        let core = core
        try await loop.run { try core.rebind(.port) }
    }

    package func statistics() async throws -> UDPRelayStatistics {
        let core = core
        return try await loop.run { core.statistics() }
    }
}
