import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// The users whose records a node stores, by the devices they hold. A node derives from it who made a proof.
struct IdentityBook: Sendable {
    private var users: [String: (record: UserRecord, signed: SignedRecord<UserRecord>)] = [:]
    private var owners: [PublicKey: String] = [:]
    var revocations = RevocationLog.empty

    var count: Int { users.count }

    /// Stores `user`, unless a newer record of the same user is here.
    /// - Parameter signed: the same, as the root key signed it; the caller has checked that.
    mutating func set(_ user: UserRecord, _ signed: SignedRecord<UserRecord>) {
        if let old = users[user.userID]?.record {
            guard old.epoch <= user.epoch else { return }
            for device in old.devices where owners[device.transportKey] == user.userID { owners[device.transportKey] = nil }
        }
        users[user.userID] = (user, signed)
        for device in user.devices { owners[device.transportKey] = user.userID }
    }

    /// Forgets all users but these.
    mutating func keep(_ isKept: (_ userID: String) -> Bool) {
        users = users.filter { isKept($0.key) }
        owners = owners.filter { isKept($0.value) }
    }

    /// The user who made a proof on the connection with that hash.
    /// - Throws: `notFound` for an unknown client, `unauthenticated` for a proof that is not good.
    private func owner(
        of clientKey: PublicKey?, _ proof: IdentityProof, _ scope: IdentityProof.Scope, handshakeHash: [UInt8]
    ) throws(RPCError) -> (record: UserRecord, signed: SignedRecord<UserRecord>, clientKey: PublicKey) {
        guard let clientKey, let userID = owners[clientKey], let user = users[userID],
            let device = user.record.devices.first(where: { $0.transportKey == clientKey })
        else { throw RPCError(.notFound, "no stored user record has this client's key", effect: .none) }
        do throws(TrustError) {
            if revocations.contains(user.record.serial) { throw TrustError.revoked(serial: user.record.serial) }
            try proof.verify(device: device, handshakeHash: handshakeHash, scope: scope)
        } catch {
            throw RPCError(.unauthenticated, "\(error)", effect: .none)
        }
        return (user.record, user.signed, clientKey)
    }

    /// A ticket for the client that made the proof.
    /// - Throws: `notFound` for an unknown client, `unauthenticated` for a proof that is not good.
    func ticket(
        for query: IdentityQuery, issuer: SignedRecord<NodeRecord>, signedBy key: SigningKeyPair, at now: WallTime
    ) throws(RPCError) -> SignedRecord<Ticket> {
        let user = try owner(of: PublicKey(bytes: query.clientKey.bytes), query.proof, .runs, handshakeHash: query.handshakeHash.bytes)
        do {
            return try SignedRecord(Ticket(user: user.signed, clientKey: user.clientKey, issuer: issuer, at: now), signedBy: key)
        } catch {
            throw RPCError(.internal, "no ticket can be made: \(error)", effect: .none)
        }
    }

    /// The operator who makes this call, by the records that are stored here.
    /// - Throws: `unauthenticated`, or `RunRefusal.notGranted` for a user who is no operator.
    func operating(_ context: CallContext) throws(RPCError) -> UserRecord {
        guard let proof = IdentityProof(operatorProof: context.metadata[operatorProofMetadataName]) else {
            throw RPCError(.unauthenticated, "\(context.method) needs an operator's proof over this connection", effect: .none)
        }
        do throws(RPCError) {
            let user = try owner(of: context.peerKey, proof, .operation, handshakeHash: context.connection.handshakeHash).record
            guard user.grants.mayOperate else { throw RunRefusal.notGranted.error("\(user.name) is not an operator of this cloud") }
            return user
        } catch {
            // To a caller who is not known, unknown and wrong are the same.
            throw error.code == .notFound ? RPCError(.unauthenticated, error.message, effect: .none) : error
        }
    }
}
