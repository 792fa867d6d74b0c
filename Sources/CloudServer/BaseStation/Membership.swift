import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// What makes a node part of a cloud: its root-signed record, whom to believe and whom to call. With it a restart
/// needs no token and no center.
package struct Membership: Sendable, Hashable {
    package var record: SignedRecord<NodeRecord>
    package var rootKey: SigningPublicKey
    package var communicationServer: HostPort
    package var communicationServerKey: PublicKey
    /// The signed list that was in force when these two were set.
    package var servers: SignedRecord<CommunicationServers>

    package init(
        record: SignedRecord<NodeRecord>, rootKey: SigningPublicKey, communicationServer: HostPort,
        communicationServerKey: PublicKey, servers: SignedRecord<CommunicationServers>
    ) {
        self.servers = servers
        self.record = record
        self.rootKey = rootKey
        self.communicationServer = communicationServer
        self.communicationServerKey = communicationServerKey
    }

    static let file = "membership"

    package static func load(from store: some BlobStore) throws -> Membership? {
        guard let bytes = try store.read(file) else { return nil }
        do {
            var reader = CanonicalReader(bytes)
            let record = try SignedRecord<NodeRecord>(fileBytes: try reader.bytes(atMost: 65_536))
            guard let root = SigningPublicKey(bytes: try reader.bytes(atMost: 32)),
                let server = try? HostPort(try reader.text(atMost: HostPort.mostBytes)),
                let key = PublicKey(bytes: try reader.bytes(atMost: 32))
            else { throw TrustError.malformed("membership") }
            let servers = try SignedRecord<CommunicationServers>(fileBytes: try reader.bytes(atMost: 65_536))
            try reader.finish()
            _ = try record.verified(by: root)
            _ = try servers.verified(by: root)
            return Membership(record: record, rootKey: root, communicationServer: server, communicationServerKey: key, servers: servers)
        } catch {
            throw StorageError(.corrupt, "the file \"\(file)\" is damaged (\(error)); join again with a new token in an empty folder")
        }
    }

    package func save(to store: some BlobStore) throws {
        var writer = CanonicalWriter()
        writer.bytes(record.fileBytes)
        writer.bytes(rootKey.bytes)
        writer.text(communicationServer.description)
        writer.bytes(communicationServerKey.bytes)
        writer.bytes(servers.fileBytes)
        try store.write(Self.file, writer.bytes)
    }

    /// The same with a newer record of the same keys.
    package func renewed(_ newer: SignedRecord<NodeRecord>) throws(TrustError) -> Membership {
        let (old, new) = (try record.verified(by: rootKey), try newer.verified(by: rootKey))
        guard new.transportKey == old.transportKey, new.signingKey == old.signingKey, new.role == old.role else {
            throw .wrongKey(of: "node record")
        }
        guard new.epoch > old.epoch else { throw .outdated(of: "node record", known: old.epoch, offered: new.epoch) }
        var membership = self
        membership.record = newer
        return membership
    }

    /// Whom to dial, by what stands here.
    package var choice: ServerChoice {
        get throws(TrustError) {
            try ServerChoice(servers, given: CommunicationServer(address: communicationServer, key: communicationServerKey), root: rootKey)
        }
    }

    /// The same at the server that `choice` has come to.
    package func moved(to choice: ServerChoice) -> Membership {
        var membership = self
        (membership.communicationServer, membership.communicationServerKey) = (choice.dialled.address, choice.dialled.key)
        membership.servers = choice.signed
        return membership
    }

    /// The same with another way to the cloud: the server that a new token knows of.
    package func led(by token: JoinToken) -> Membership {
        var membership = self
        (membership.communicationServer, membership.communicationServerKey) = (token.communicationServer, token.communicationServerKey)
        return membership
    }

    /// Joins the cloud that `token` invites to. Sends keys, a name and a proof of knowing the token's secret.
    /// - Throws: the center's `RPCError`, or `TrustError` when the answer is not what the token's root key signed.
    package static func join(
        _ token: JoinToken, name: String, keys: NodeKeys, addresses: [NetworkAddress], host: RPCHost,
        within: Interval = .seconds(20)
    ) async throws -> Membership {
        guard isValidName(name) else { throw TrustError.malformed("station name \"\(name)\"") }
        // Whether the token still holds is the center's to say, which made it by its own clock.
        let client = host.client(at: token.communicationServer, peerKey: token.communicationServerKey)
        var options = CallOptions()
        options.deadline = .in(within)
        let request = JoinRequest(
            token: token, name: name, transportKey: keys.identity.publicKey, signingKey: keys.signing.publicKey,
            addresses: addresses)
        let reply = try await client.call(ControlMethods.join, request, options: options)
        let record = try reply.record.verified(by: token.rootKey)
        guard record.transportKey == keys.identity.publicKey, record.signingKey == keys.signing.publicKey else {
            throw TrustError.wrongKey(of: "node record")
        }
        _ = try reply.servers.verified(by: token.rootKey)
        return Membership(
            record: reply.record, rootKey: token.rootKey, communicationServer: token.communicationServer,
            communicationServerKey: token.communicationServerKey, servers: reply.servers)
    }
}
