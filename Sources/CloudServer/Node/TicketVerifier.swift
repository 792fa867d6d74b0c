import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// Checks tickets against the root key, and remembers those that were good: two signature checks cost more than
/// a small run.
struct TicketVerifier: Sendable {
    let root: SigningPublicKey
    /// By the digest of the whole signed ticket. 4,096 tickets of about 1 KB.
    private var known = BoundedCache<ContentDigest, Ticket>(maximumCount: 4096)
    /// The last good ticket of each client.
    private var current = BoundedCache<PublicKey, Ticket>(maximumCount: 4096)

    init(root: SigningPublicKey) { self.root = root }

    /// The client's good ticket: the one it shows, else the one it showed before.
    /// - Throws: `RunRefusal.ticketNeeded` as an `RPCError`.
    mutating func verify(
        _ shown: SignedRecord<Ticket>?, clientKey: PublicKey, at now: WallTime, revocations: RevocationLog?
    ) throws(RPCError) -> Ticket {
        do {
            let ticket = try find(shown, clientKey: clientKey, at: now)
            if let revocations, revocations.contains(ticket.serial) { throw TrustError.revoked(serial: ticket.serial) }
            return ticket
        } catch {
            throw RunRefusal.ticketNeeded.error("\(error)")
        }
    }

    private mutating func find(_ shown: SignedRecord<Ticket>?, clientKey: PublicKey, at now: WallTime) throws(TrustError) -> Ticket {
        guard let shown else {
            guard let ticket = current.value(clientKey) else { throw .unknown("client: it showed no ticket") }
            guard now <= ticket.notAfter else { throw .expired(of: "ticket", at: ticket.notAfter) }
            return ticket
        }
        let name = ContentDigest(of: shown.payload.bytes + shown.signature.bytes)
        if let ticket = known.value(name) {
            guard ticket.clientKey == clientKey else { throw .wrongKey(of: "ticket") }
            guard now <= ticket.notAfter else { throw .expired(of: "ticket", at: ticket.notAfter) }
            current.insert(clientKey, ticket)
            return ticket
        }
        let ticket = try shown.verified(root: root, clientKey: clientKey, at: now)
        known.insert(name, ticket)
        current.insert(clientKey, ticket)
        return ticket
    }
}
