import MastTimebase
import MastTransport

/// A node's statement that it has just seen a client prove who it is. It says nothing else: what the user may do
/// stands in the user's root-signed record, which travels inside, and how long it holds is the same for all.
///
/// Signed with the issuing node's own key and carrying that node's root-signed record, so whoever knows the root
/// key can check it alone; bound to the client's transport key, so it is worth nothing to anybody who sees it.
/// It serves for runs only: operators prove themselves to the center (`IdentityProof.Scope`).
package struct Ticket: TrustRecord {
    package static var recordType: String { "ticket" }
    package static let lifetime = Interval.seconds(15 * 60)
    /// How far an issuer's clock may be ahead of the verifier's.
    package static let clockTolerance = Interval.seconds(60)

    package let userRecord: SignedRecord<UserRecord>
    /// What `userRecord` says; believed only in a ticket that came out of `verified`.
    package let user: UserRecord
    package let clientKey: PublicKey
    package let issuer: SignedRecord<NodeRecord>
    /// What `issuer` says; believed only in a ticket that came out of `verified`.
    package let issuerID: NodeID
    package let issued: WallTime

    package var notAfter: WallTime { issued + Self.lifetime }
    package var userID: String { user.userID }
    package var userName: String { user.name }
    package var serial: UInt64 { user.serial }
    package var grants: [Grant] { user.grants }
    package var quota: Quota { user.quota }

    /// A ticket for the device with `clientKey` of the user whose record this is.
    package init(
        user: SignedRecord<UserRecord>, clientKey: PublicKey, issuer: SignedRecord<NodeRecord>, at now: WallTime
    ) throws(TrustError) {
        self.userRecord = user
        self.user = try user.unverified()
        self.clientKey = clientKey
        self.issuer = issuer
        self.issuerID = try issuer.unverified().nodeID
        self.issued = now
    }

    package func write(to writer: inout CanonicalWriter) {
        userRecord.write(to: &writer)
        writer.key(clientKey)
        issuer.write(to: &writer)
        writer.time(issued)
    }

    package init(from reader: inout CanonicalReader) throws(TrustError) {
        userRecord = try SignedRecord(from: &reader, atMost: UserRecord.maximumBytes)
        user = try userRecord.unverified()
        clientKey = try reader.transportKey()
        issuer = try SignedRecord(from: &reader, atMost: NodeRecord.maximumBytes)
        issuerID = try issuer.unverified().nodeID
        issued = try reader.time()
    }

    /// How long the ticket still holds, by what the verifier knows of time.
    @discardableResult
    package func remaining(at time: CloudTime) throws(TrustError) -> Interval {
        // A ticket that begins a little ahead of a verifier's clock lives no longer for it.
        let left = time.readings.filter { $0 <= notAfter && issued <= $0 + Self.clockTolerance }.map { min(notAfter - $0, Self.lifetime) }
        if let longest = left.max() { return longest }
        throw time.best > notAfter ? .expired(of: "ticket", at: notAfter) : .notYet(of: "ticket", from: issued)
    }
}

extension SignedRecord<Ticket> {
    /// The ticket, if a node of this cloud signed it, for a device with `clientKey` of a user of this cloud.
    /// - Parameter time: nil where calendars are not compared.
    package func verified(root: SigningPublicKey, clientKey: PublicKey, at time: CloudTime?) throws(TrustError) -> Ticket {
        let claimed = try unverified()
        let issuer = try claimed.issuer.verified(by: root)
        let ticket = try verified(by: issuer.signingKey)
        let user = try ticket.userRecord.verified(by: root)
        guard ticket.clientKey == clientKey, user.devices.contains(where: { $0.transportKey == clientKey }) else {
            throw .wrongKey(of: "ticket")
        }
        if let time { try ticket.remaining(at: time) }
        return ticket
    }
}
