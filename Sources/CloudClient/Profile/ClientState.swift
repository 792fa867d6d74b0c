import Foundation
import MastCloudCore
import MastTimebase
import MastTransport

/// What a client may keep between processes: it spares round trips and is never needed.
public struct ClientState: Codable, Hashable, Sendable {
    package static let version = 3
    package var formatVersion = ClientState.version
    package var ticket: SignedRecord<Ticket>?
    package var placements: [Placement]
    package var revocations: SignedRecord<RevocationLog>?
    /// Where the communication server is since it moved; newer than what the profile says.
    package var servers: SignedRecord<CommunicationServers>?

    package init(
        ticket: SignedRecord<Ticket>?, placements: [Placement], revocations: SignedRecord<RevocationLog>? = nil,
        servers: SignedRecord<CommunicationServers>? = nil
    ) {
        (self.ticket, self.placements, self.revocations, self.servers) = (ticket, placements, revocations, servers)
    }
}

/// Keeps a client's state. Calls are short and synchronous.
public protocol ClientStateStore: Sendable {
    /// Nil when there is none, or none that can be used.
    func load() -> ClientState?
    func save(_ state: ClientState) throws
}

/// A state file beside a profile, readable by its owner only: a ticket is worth something to its holder's device.
public struct ClientStateFile: ClientStateStore {
    public let path: String

    public init(path: String) { self.path = path }

    public func load() -> ClientState? {
        guard let bytes = DurableFile.read(path, limit: 4 << 20),
            let state = try? JSONDecoder().decode(ClientState.self, from: Data(bytes)), state.formatVersion == ClientState.version
        else { return nil }
        return state
    }

    public func save(_ state: ClientState) throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys]
        try DurableFile.replace(path, with: Array(try encoder.encode(state)), mode: 0o600)
    }
}

extension CloudClient.State {
    /// Takes over an earlier process's ticket, if it is still good.
    mutating func restore(_ kept: ClientState, rootKey: SigningPublicKey, clientKey: PublicKey, wall: WallTime, now: Instant) {
        if let signed = kept.revocations, let log = try? signed.verified(by: rootKey) { (revocations, signedRevocations) = (log, signed) }
        if let signed = kept.servers, (try? servers.take(signed, root: rootKey)) != nil { servers.moved() }
        guard let ticket = kept.ticket,
            let claims = try? ticket.verified(root: rootKey, clientKey: clientKey, at: CloudTime(own: wall)), (try? revocations.check(claims)) != nil
        else { return }
        self.ticket = ticket
        user = (claims.userID, claims.quota.fuelPerRun)
        ticketEnds = now + ((try? claims.remaining(at: CloudTime(own: wall))) ?? .zero)
    }
}
