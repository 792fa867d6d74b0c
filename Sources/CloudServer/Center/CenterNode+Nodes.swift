import MastCloudCore
import MastRPC
import MastTimebase

/// What the communication server asks for, for itself and for stations.
extension CenterNode {
    func admit(_ join: ForwardedJoin) throws -> JoinReply {
        do throws(CenterError) {
            let record = try registry.admit(join, at: host.wallTime())
            log.notice("station admitted", metadata: ["name": "\(join.request.name)", "address": "\(join.observedAddress)"])
            return JoinReply(record: record, servers: registry.choice.signed)
        } catch {
            log.warning("station refused", metadata: ["name": "\(join.request.name)", "reason": "\(error)"])
            if case .untrusted = error { throw RPCError(.permissionDenied, "cannot join: \(error)", effect: .none) }
            throw RPCError(center: error)
        }
    }

    func ticket(for query: IdentityQuery) throws(RPCError) -> SignedRecord<Ticket> {
        try registry.ticket(for: query, at: time.best)
    }

    func changes(since known: StateNumbers) throws(RPCError) -> SyncReply { try answering { try $0.changes(since: known) } }

    func seen(_ seen: NodesSeen) throws(RPCError) -> NodesSeenReply {
        try answering { registry in
            if let records = seen.records {
                try registry.recover(records, at: host.wallTime())
                log.notice("stations taken back that this center had lost", metadata: ["stations": "\(records.count)"])
            }
            let newer = try registry.seen(seen.sightings, at: host.wallTime())
            let unknown = registry.unknown(among: seen.sightings)
            return NodesSeenReply(records: newer, unknown: unknown.isEmpty ? nil : unknown)
        }
    }

    func module(_ digest: ContentDigest) throws(RPCError) -> [UInt8] { try answering { try $0.module(digest) } }
}

extension CenterRegistry {
    /// What a station answers from its own records, from the center's.
    package func ticket(for query: IdentityQuery, at now: WallTime) throws(RPCError) -> SignedRecord<Ticket> {
        try book.ticket(for: query, issuer: membership.record, signedBy: keys.node.signing, at: now)
    }
}

/// Where the center's own runs find what they need. The center owns them, and serves as long as they do.
struct CenterApplications: ApplicationSource {
    unowned let center: CenterNode

    func application(_ name: String, digest: ContentDigest?) async throws -> ApplicationPackage {
        guard let found = await center.registry.index.application(name, digest: digest) else {
            throw RunRefusal.unknownApplication.error("no application is called \(name)\(digest.map { " with SHA-256 \($0)" } ?? "")")
        }
        return found
    }

    func module(_ application: ApplicationPackage) async throws -> [UInt8] {
        do {
            return try await center.module(application.digest)
        } catch {
            center.log.error("stored module unusable", metadata: ["application": "\(application.name)", "reason": "\(error)"])
            throw RunRefusal.noReplica.error("the center's copy of \(application.name) is unusable: push it again")
        }
    }

    var revocations: RevocationLog? { get async { await center.registry.revocations } }
    var time: CloudTime { get async { await center.time } }
}
