import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// Checks tickets against the root key, and remembers those that were good: two signature checks cost more than
/// a small run.
struct TicketVerifier: Sendable {
    let root: SigningPublicKey
    /// By the digest of the whole signed ticket. 4,096 tickets of about 1 KB, fewer of larger ones.
    private var known = BoundedCache<ContentDigest, Ticket>(maximumCost: 8 << 20, maximumCount: 4096)
    /// The last good ticket of each client.
    private var current = BoundedCache<PublicKey, Ticket>(maximumCost: 8 << 20, maximumCount: 4096)

    init(root: SigningPublicKey) { self.root = root }

    /// The client's good ticket: the one it shows, else the one it showed before.
    /// - Throws: `RunRefusal.ticketNeeded` as an `RPCError`.
    mutating func verify(
        _ shown: SignedRecord<Ticket>?, clientKey: PublicKey, at now: CloudTime, revocations: RevocationLog?
    ) throws(RPCError) -> Ticket {
        do {
            let ticket = try find(shown, clientKey: clientKey, at: now)
            try revocations?.check(ticket)
            return ticket
        } catch {
            throw RunRefusal.ticketNeeded.error("\(error)")
        }
    }

    private mutating func find(_ shown: SignedRecord<Ticket>?, clientKey: PublicKey, at now: CloudTime) throws(TrustError) -> Ticket {
        guard let shown else {
            guard let ticket = current.value(clientKey) else { throw .unknown("client: it showed no ticket") }
            try ticket.remaining(at: now)
            return ticket
        }
        let name = ContentDigest(of: shown.payload.bytes + shown.signature.bytes)
        if let ticket = known.value(name) {
            guard ticket.clientKey == clientKey else { throw .wrongKey(of: "ticket") }
            try ticket.remaining(at: now)
            current.insert(clientKey, ticket, cost: Self.cost(ticket))
            return ticket
        }
        let ticket = try shown.verified(root: root, clientKey: clientKey, at: now)
        known.insert(name, ticket, cost: Self.cost(ticket))
        current.insert(clientKey, ticket, cost: Self.cost(ticket))
        return ticket
    }

    /// Bytes, nearly: the user's record is there signed and read.
    private static func cost(_ ticket: Ticket) -> Int { 512 + 2 * ticket.userRecord.payload.bytes.count }
}
