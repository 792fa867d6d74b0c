import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// The users whose records a node stores, by the devices they hold. A node derives from it who made a proof.
struct IdentityBook: Sendable {
    private var users: [String: UserRecord] = [:]
    private var owners: [PublicKey: String] = [:]
    var revocations: RevocationLog?

    var count: Int { users.count }

    /// Stores `user`, unless a newer record of the same user is here.
    mutating func set(_ user: UserRecord) {
        if let old = users[user.userID] {
            guard old.epoch <= user.epoch else { return }
            for device in old.devices where owners[device.transportKey] == user.userID { owners[device.transportKey] = nil }
        }
        users[user.userID] = user
        for device in user.devices { owners[device.transportKey] = user.userID }
    }

    /// A ticket for the client that made the proof.
    /// - Throws: `notFound` for an unknown client, `unauthenticated` for a proof that is not good.
    func ticket(
        for query: IdentityQuery, issuer: SignedRecord<NodeRecord>, signedBy key: SigningKeyPair, at now: WallTime
    ) throws(RPCError) -> SignedRecord<Ticket> {
        guard let clientKey = PublicKey(bytes: query.clientKey.bytes), let userID = owners[clientKey], let user = users[userID],
            let device = user.devices.first(where: { $0.transportKey == clientKey })
        else { throw RPCError(.notFound, "no stored user record has this client's key", effect: .none) }
        do {
            if let revocations, revocations.contains(user.serial) { throw TrustError.revoked(serial: user.serial) }
            try query.proof.verify(device: device, handshakeHash: query.handshakeHash.bytes)
            return try SignedRecord(Ticket(user: user, clientKey: clientKey, issuer: issuer, at: now), signedBy: key)
        } catch {
            throw RPCError(.unauthenticated, "\(error)", effect: .none)
        }
    }
}
