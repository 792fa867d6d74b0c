import Logging
import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import MastWasmRuntime

/// How the center behaves.
package struct CenterConfiguration: Sendable {
    package var runs = RunConfiguration()
    /// Unfinished uploads kept in memory, and for how long after their last chunk.
    package var uploadBytes = 256 << 20
    package var uploadPatience = Interval.seconds(300)
    /// Of the program, for status.
    package var version = ""

    package init() {}
}

/// The center: keeps applications, stations and users, signs what others believe, and runs applications itself
/// when no station can. Nobody reaches it but through the communication server, which it dials.
package actor CenterNode: ControlledNode {
    private let host: RPCHost
    private let link: ControlLink
    private let desk: CenterDesk
    private let runs: RunService
    private let auditor: RunAuditor
    private let membership: Membership
    private let version: String
    private let log: Logger
    /// The number of the list that the communication server holds.
    private var serverRevocations: UInt64 = 0
    private let onRegistered: (@Sendable () -> Void)?
    private let diskFreeBytes: @Sendable () -> Int64?

    /// - Parameters:
    ///   - host: made with `office.keys.node.identity`.
    ///   - entropy: makes users' keys and tokens.
    ///   - diskFreeBytes: beside the center's database, for status.
    package init(
        host: RPCHost, office: CenterOffice, engine: any ApplicationEngine, executor: any RunExecutor,
        entropy: any RandomNumberGenerator & Sendable,
        configuration: CenterConfiguration = CenterConfiguration(), log: Logger, diskFreeBytes: @escaping @Sendable () -> Int64? = { nil },
        onRegistered: (@Sendable () -> Void)? = nil
    ) throws {
        self.diskFreeBytes = diskFreeBytes
        self.host = host
        self.membership = office.membership
        version = configuration.version
        self.log = log
        self.onRegistered = onRegistered
        let record = try membership.record.verified(by: membership.rootKey)
        let control = host.client(at: membership.communicationServer, peerKey: membership.communicationServerKey)
        link = ControlLink(host: host, client: control, log: log)
        let desk = CenterDesk(office: office, control: control, host: host, entropy: entropy, configuration: configuration, log: log)
        self.desk = desk
        runs = RunService(
            host: host, engine: engine, executor: executor, source: desk, nodeID: record.nodeID, nodeName: record.name,
            signing: office.keys.node.signing, root: membership.rootKey, configuration: configuration.runs, log: log)
        auditor = RunAuditor(root: membership.rootKey, node: membership.record, host: host, log: log) { divergence in
            _ = try await desk.reported(divergence)
        }
    }

    /// Serves until cancelled, or until `shutDown` has drained the host.
    package func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.host.serve(self.server()) }
            group.addTask { await self.runs.serve() }
            group.addTask { try await self.link.run(self) }
            group.addTask { try await self.desk.announceChanges() }
            group.addTask { try await self.auditor.serve() }
            defer { group.cancelAll() }
            try await group.next()
        }
        await host.settle(reason: "the center stops")
    }

    /// Refuses new runs and those that wait, lets the others finish for at most `grace`, then tells all peers. `run` returns
    /// by itself.
    package func shutDown(grace: Interval) async {
        await runs.stop()
        await host.drain(grace: grace)
        await runs.abandon()
        await host.settle(reason: "the center stops")
    }

    private nonisolated func server() -> RPCServer {
        let (desk, runs, auditor, serverKey) = (desk, runs, auditor, membership.communicationServerKey)
        return RPCServer(
            authorize: { context in
                switch MethodRight.needed(for: context.method) {
                case .anonymous: return
                case .communicationServer where context.peerKey == serverKey: return
                case .operator: try await desk.checkOperator(context)
                default: throw RPCError(.permissionDenied, "\(context.method) is not for this peer", effect: .none)
                }
            }
        ) {
            RunMethods.run.handle { request, context in
                try await auditor.run(request, from: desk) { try await runs.run(request, context) }
            }
            CenterMethods.join.handle { join in JoinReply(record: try await desk.admit(join)) }
            CenterMethods.verifyIdentity.handle { query in IdentityAnswer(ticket: try await desk.ticket(for: query)) }
            CenterMethods.sync.handle { request in await desk.changes(since: request.known) }
            CenterMethods.fetchApplication.handle { request, writer in
                try await ReplicaTransfer.send(try await desk.module(request.digest), to: writer)
            }
            CenterMethods.nodesSeen.handle { seen in try await desk.seen(seen) }
            CenterMethods.reportDivergence.handle { divergence in try await desk.reported(divergence) }
            AdminMethods.uploadChunk.handle { chunk in try await desk.upload(chunk) }
            AdminMethods.pushApplication.handle { request in
                var request = request
                let (limits, warnings) = runs.capped(request.limits ?? .standard)
                let module = try await desk.uploaded(request.digest)
                try await runs.validate(module, digest: request.digest, entry: request.entry ?? "run", limits: limits)
                request.limits = limits
                var reply = try await desk.push(request)
                reply.warnings = warnings.isEmpty ? nil : warnings
                return reply
            }
            AdminMethods.listApplications.handle { _ in await desk.applications() }
            AdminMethods.removeApplication.handle { request in
                let gone = try await desk.remove(request)
                for digest in gone { await runs.forget(digest) }
                return await desk.applications()
            }
            AdminMethods.addUser.handle { request in AddUserReply(profile: try await desk.addUser(request)) }
            AdminMethods.removeUser.handle { request in
                try await desk.removeUser(request)
                return Nothing()
            }
            AdminMethods.makeJoinToken.handle { request in try await desk.makeJoinToken(request) }
            AdminMethods.removeStation.handle { request in try await desk.removeStation(request) }
            AdminMethods.readmitStation.handle { request in try await desk.readmitStation(request) }
            AdminMethods.renameStation.handle { request in try await desk.renameStation(request) }
            AdminMethods.status.handle { _ in await desk.status() }
        }
    }

    // MARK: Under the communication server's eyes

    func registration() async -> RegisterRequest {
        let news = await desk.published()
        return RegisterRequest(
            record: membership.record, incarnation: host.incarnation, replicas: [], load: await runs.load, releases: news.releases,
            revocations: news.revocations, numbers: news.numbers, health: await health(), clock: host.wallTime())
    }

    func heartbeat() async -> HeartbeatRequest {
        let news = await desk.published()
        return HeartbeatRequest(
            incarnation: host.incarnation, load: await runs.load, replicas: nil, numbers: news.numbers,
            revocations: news.numbers.revocations > serverRevocations ? news.revocations : nil, health: await health(),
            clock: host.wallTime())
    }

    private func health() async -> NodeHealth {
        NodeHealth(version: version, diskFreeBytes: diskFreeBytes(), troubles: await desk.time.complaint.map { [$0] } ?? [])
    }

    func registered(_ reply: RegisterReply) async {
        await desk.take(clockOffset: reply.clockOffsetMilliseconds.map { .milliseconds($0) })
        onRegistered?()
        await complainIfBehind(reply.numbers)
    }

    func accepted(_ reply: HeartbeatReply) async {
        serverRevocations = reply.heldRevocations
        await desk.take(clockOffset: reply.clockOffsetMilliseconds.map { .milliseconds($0) })
        await complainIfBehind(reply.numbers)
    }

    private var hasComplained = false
    private func complainIfBehind(_ numbers: StateNumbers) async {
        guard !hasComplained, await desk.published().numbers.isBehind(numbers) else { return }
        hasComplained = true
        log.error("stations hold newer records than this center: its folder is an old copy, and they refuse what it releases now")
    }

    package var executedRuns: UInt64 { get async { await runs.executedRuns } }
}
