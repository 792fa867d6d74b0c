import MastTimebase
import MastTransport

/// A node's statement, for a few minutes, who a client is. Signed with the issuing node's own key and carrying
/// that node's root-signed record, so whoever knows the root key can check it alone; bound to the client's
/// transport key, so it is worth nothing to anybody who sees it.
package struct Ticket: TrustRecord {
    package static var recordType: String { "ticket" }
    package static let lifetime = Interval.seconds(15 * 60)

    package var userID: String
    package var userName: String
    package var serial: UInt64
    package var grants: [Grant]
    package var quota: Quota
    package var clientKey: PublicKey
    package var issuer: SignedRecord<NodeRecord>
    package var notAfter: WallTime

    /// A ticket for the device with `clientKey` of `user`.
    package init(
        user: UserRecord, clientKey: PublicKey, issuer: SignedRecord<NodeRecord>, at now: WallTime,
        lifetime: Interval = Ticket.lifetime
    ) {
        self.userID = user.userID
        self.userName = user.name
        self.serial = user.serial
        self.grants = user.grants
        self.quota = user.quota
        self.clientKey = clientKey
        self.issuer = issuer
        self.notAfter = now + lifetime
    }

    package func write(to writer: inout CanonicalWriter) {
        writer.text(userID)
        writer.text(userName)
        writer.integer(serial)
        writer.list(grants) { $1.write(to: &$0) }
        writer.integer(quota.concurrentRuns)
        writer.integer(quota.fuelPerRun)
        writer.key(clientKey)
        issuer.write(to: &writer)
        writer.time(notAfter)
    }

    package init(from reader: inout CanonicalReader) throws(TrustError) {
        userID = try reader.text(atMost: maximumNameBytes)
        userName = try reader.text(atMost: maximumNameBytes)
        serial = try reader.integer()
        grants = try reader.list(atMost: 64) { (reader) throws(TrustError) in try Grant(from: &reader) }
        quota = Quota(concurrentRuns: try reader.integer(), fuelPerRun: try reader.integer())
        clientKey = try reader.transportKey()
        issuer = try SignedRecord<NodeRecord>(from: &reader)
        notAfter = try reader.time()
    }
}

extension SignedRecord<Ticket> {
    /// The ticket, if a node of this cloud signed it, for `clientKey`, and it has not expired.
    package func verified(root: SigningPublicKey, clientKey: PublicKey, at now: WallTime) throws(TrustError) -> Ticket {
        let claimed = try unverified()
        let issuer = try claimed.issuer.verified(by: root)
        let ticket = try verified(by: issuer.signingKey)
        guard ticket.clientKey == clientKey else { throw .wrongKey(of: "ticket") }
        guard now <= ticket.notAfter else { throw .expired(of: "ticket", at: ticket.notAfter) }
        return ticket
    }
}
