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
///
/// It orders changes: one at a time, each announced once it is stored. Storing may wait for a disk, so the actor runs on
/// an executor of its own.
package actor CenterNode: ControlledNode {
    let host: RPCHost
    let contact: ServerContact
    let log: Logger
    var registry: CenterRegistry
    var uploads: ModuleUploads
    private let executor: any SerialExecutor
    private let link: ControlLink
    private let membership: Membership
    private let record: NodeRecord
    private let engine: any ApplicationEngine
    private let runExecutor: any RunExecutor
    private let configuration: CenterConfiguration
    private var storage: StorageTroubles
    private var entropy: any RandomNumberGenerator & Sendable
    /// The number of the list that the communication server holds.
    private var serverRevocations: StateNumber = 0
    private let onRegistered: (@Sendable () -> Void)?
    private let diskFreeBytes: @Sendable () -> Int64?
    private let changesMade: AsyncStream<Void>
    let changeMade: AsyncStream<Void>.Continuation
    /// The node's own runs, which ask it for what they need.
    private lazy var runs = RunService(
        host: host, engine: engine, executor: runExecutor, source: CenterApplications(center: self), nodeID: record.nodeID,
        nodeName: record.name, signing: registry.keys.node.signing, root: membership.rootKey, configuration: configuration.runs, log: log)
    /// Its own executing counts as a witness's, and reports to itself.
    private lazy var auditor = RunAuditor(root: membership.rootKey, node: membership.record, host: host, log: log) { [unowned self] divergence in
        _ = try await self.reported(divergence)
    }

    package nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }

    /// - Parameters:
    ///   - host: made with `registry.keys.node.identity`.
    ///   - runExecutor: where applications run.
    ///   - entropy: makes users' keys and tokens.
    ///   - executor: where the center's own work is done, waiting for its store included: a `CenterThread`, or the simulator's.
    ///   - diskFreeBytes: beside the center's database, for status.
    package init(
        host: RPCHost, registry: CenterRegistry, engine: any ApplicationEngine, runExecutor: any RunExecutor,
        entropy: any RandomNumberGenerator & Sendable, executor: any SerialExecutor,
        configuration: CenterConfiguration = CenterConfiguration(), log: Logger, diskFreeBytes: @escaping @Sendable () -> Int64? = { nil },
        onRegistered: (@Sendable () -> Void)? = nil
    ) throws {
        self.executor = executor
        self.diskFreeBytes = diskFreeBytes
        self.host = host
        self.registry = registry
        self.engine = engine
        self.runExecutor = runExecutor
        self.entropy = entropy
        self.configuration = configuration
        self.log = log
        self.onRegistered = onRegistered
        membership = registry.membership
        record = try membership.record.verified(by: membership.rootKey)
        uploads = ModuleUploads(capacityBytes: configuration.uploadBytes, patience: configuration.uploadPatience)
        contact = ServerContact(registry.choice, root: membership.rootKey, host: host)
        link = ControlLink(host: host, contact: contact, log: log)
        storage = StorageTroubles(log: log)
        (changesMade, changeMade) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// Serves until cancelled, or until `shutDown` has drained the host.
    package func run() async throws {
        let (server, runs, auditor) = (server(), runs, auditor)
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.host.serve(server) }
            group.addTask { await runs.serve() }
            group.addTask { try await self.link.run(self) }
            group.addTask { try await self.announceChanges() }
            group.addTask { try await auditor.serve() }
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
        await host.settle(reason: "the center stops")
    }

    private func server() -> RPCServer {
        let (runs, auditor, source, contact) = (runs, auditor, CenterApplications(center: self), contact)
        return RPCServer(
            authorize: { context in
                switch MethodRight.needed(for: context.method) {
                case .anonymous: return
                case .communicationServer where contact.trusts(context.peerKey): return
                case .operator: try await self.checkOperator(context)
                default: throw RPCError(.permissionDenied, "\(context.method) is not for this peer", effect: .none)
                }
            }, placement: .taskThreads
        ) {
            RunMethods.run.handle { request, context in
                try await auditor.run(request, from: source) { try await runs.run(request, context) }
            }
            CenterMethods.join.handle { join in try await self.admit(join) }
            CenterMethods.verifyIdentity.handle { query in IdentityAnswer(ticket: try await self.ticket(for: query)) }
            CenterMethods.sync.handle { request in try await self.changes(since: request.known) }
            CenterMethods.fetchApplication.handle { request, writer in
                try await ReplicaTransfer.send(try await self.module(request.digest), to: writer)
            }
            CenterMethods.nodesSeen.handle { seen in try await self.seen(seen) }
            CenterMethods.reportDivergence.handle { divergence in try await self.reported(divergence) }
            AdminMethods.uploadChunk.handle { chunk in try await self.upload(chunk) }
            AdminMethods.pushApplication.handle { request in
                var request = request
                let (limits, warnings) = runs.capped(request.limits ?? .standard)
                let module = try await self.uploaded(request.digest)
                try await runs.validate(module, digest: request.digest, entry: request.entry ?? "run", limits: limits)
                request.limits = limits
                var reply = try await self.push(request)
                let all = warnings + [ModuleCost(module).warning].compactMap(\.self) + (reply.warnings ?? [])
                reply.warnings = all.isEmpty ? nil : all
                return reply
            }
            AdminMethods.listApplications.handle { _ in await self.applications() }
            AdminMethods.removeApplication.handle { request in
                let gone = try await self.remove(request)
                for digest in gone { await runs.forget(digest) }
                var list = await self.applications()
                list.effect = await self.registry.effect
                return list
            }
            AdminMethods.addUser.handle { request in AddUserReply(profile: try await self.addUser(request)) }
            AdminMethods.removeUser.handle { request in
                try await self.removeUser(request)
                return await self.registry.effect
            }
            AdminMethods.makeJoinToken.handle { request in try await self.makeJoinToken(request) }
            AdminMethods.removeStation.handle { request in try await self.removeStation(request) }
            AdminMethods.readmitStation.handle { request in try await self.readmitStation(request) }
            AdminMethods.renameStation.handle { request in try await self.renameStation(request) }
            AdminMethods.communicationServers.handle { _ in CommunicationServersReply(servers: await self.registry.choice.signed) }
            AdminMethods.setCommunicationServers.handle { request in try await self.setServers(request) }
            AdminMethods.status.handle { _ in await self.registry.status }
        }
    }

    // MARK: Changes

    private static let database = "the center's state"

    /// A change of the registry: that it could be stored ends a complaint of before.
    func changing<Answer>(_ body: (inout CenterRegistry) throws -> Answer) throws(RPCError) -> Answer {
        if runsTwice { throw RPCError(center: CenterError.twice) }
        let answer = try answering(body)
        storage.succeeded(Self.database)
        return answer
    }

    /// One answer of the registry to somebody far away.
    func answering<Answer>(_ body: (inout CenterRegistry) throws -> Answer) throws(RPCError) -> Answer {
        do {
            return try body(&registry)
        } catch {
            // What is not stored was not done; whoever asked hears why, and so does whoever looks after the disk.
            if case CenterError.storage(let reason) = error { storage.failed(Self.database, reason, at: host.now()) }
            throw RPCError(center: error)
        }
    }

    func withEntropy<Answer>(_ body: (inout CenterRegistry, inout AnyGenerator, WallTime) throws -> Answer) throws(RPCError) -> Answer {
        var generator = AnyGenerator(base: entropy)
        defer { entropy = generator.base }
        return try changing { try body(&$0, &generator, host.wallTime()) }
    }

    /// Tells the communication server of changes, until cancelled. What does not get through, heartbeats repeat.
    private func announceChanges() async throws {
        for await _ in changesMade {
            try Task.checkCancellation()
            var options = CallOptions()
            options.deadline = .in(.seconds(5))
            do {
                _ = try await contact.client.call(ControlMethods.announce, registry.published, options: options)
            } catch {
                log.info("change not announced yet", metadata: ["reason": "\(error)"])
            }
        }
    }

    // MARK: Under the communication server's eyes

    func registration() async -> RegisterRequest {
        let (load, news) = (await runs.load, registry.published)
        return RegisterRequest(
            record: membership.record, incarnation: host.incarnation, replicas: [], load: load, releases: news.releases,
            revocations: news.revocations, servers: news.servers, numbers: news.numbers, health: health, clock: host.wallTime())
    }

    func heartbeat() async -> HeartbeatRequest {
        let (load, news) = (await runs.load, registry.published)
        return HeartbeatRequest(
            incarnation: host.incarnation, load: load, replicas: nil, numbers: news.numbers,
            revocations: news.numbers.revocations > serverRevocations ? news.revocations : nil, health: health, clock: host.wallTime())
    }

    private var health: NodeHealth {
        NodeHealth(
            version: configuration.version, diskFreeBytes: diskFreeBytes(),
            troubles: storage.lines + [supersededComplaint, time.complaint].compactMap(\.self) + losses + runs.troubles)
    }

    func registered(_ reply: RegisterReply) {
        hear(runsTwice: reply.runsTwice)
        take(clockOffset: reply.clockOffsetMilliseconds.map { .milliseconds($0) })
        hear(reply.numbers, revocations: reply.revocations, servers: reply.servers, lost: reply.lost)
        onRegistered?()
    }

    func accepted(_ reply: HeartbeatReply) {
        serverRevocations = reply.heldRevocations
        hear(runsTwice: reply.runsTwice)
        take(clockOffset: reply.clockOffsetMilliseconds.map { .milliseconds($0) })
        hear(reply.numbers, revocations: reply.revocations, servers: reply.servers, lost: reply.lost)
    }

    /// By the communication server, which hears both.
    private var runsTwice = false

    private func hear(runsTwice now: Bool?) {
        runsTwice = now ?? false
    }

    /// What a restored center was told that it lacks of what it once released; for status until it is there again, or the
    /// center is restarted. The latest four.
    private var lost: [LostState] = []
    private var losses: [String] {
        var lines: [String] = []
        for line in lost.flatMap({ registry.losses($0) }) where !lines.contains(line) { lines.append(line) }
        return lines
    }
    private var supersededComplaint: String? {
        registry.superseding == nil ? nil : "its database is an older copy: it changes nothing until mast center restore or adopt"
    }

    /// What others hold that this center lacks. Revocations are taken back at once; the rest needs an operator.
    private func hear(
        _ numbers: StateNumbers, revocations: SignedRecord<RevocationLog>?, servers: SignedRecord<CommunicationServers>?, lost: LostState?
    ) {
        let wasSuperseded = registry.superseding != nil
        do throws(CenterError) {
            let lists = (lost?.revocations ?? []).prefix(16) + [revocations].compactMap(\.self)
            if try registry.recover(Array(lists)) {
                log.notice("revocations taken back that this center had lost", metadata: ["number": "\(registry.revocations.number)"])
                changeMade.yield()
            }
            try registry.recover(servers)
            try registry.hear(numbers)
        } catch {
            log.error("what others hold cannot be taken", metadata: ["reason": "\(error)"])
        }
        if let superseding = registry.superseding, !wasSuperseded {
            log.error("\(CenterError.superseded(own: registry.numbers, others: superseding))")
        }
        let known = losses
        if let lost, !self.lost.contains(lost) {
            self.lost.append(lost)
            if self.lost.count > 4 { self.lost.removeFirst() }
        }
        for line in losses where !known.contains(line) { log.error("\(line)") }
    }

    private var clockOffset: Interval?
    var time: CloudTime { CloudTime(own: host.wallTime(), offset: clockOffset) }

    /// What the communication server makes of this clock.
    private func take(clockOffset offset: Interval?) {
        let before = time.complaint
        clockOffset = offset
        if before == nil, let complaint = time.complaint { log.warning("\(complaint)") }
    }

    package var executedRuns: UInt64 { get async { await runs.executedRuns } }
}

/// A generator whose type is known only at run time.
struct AnyGenerator: RandomNumberGenerator {
    var base: any RandomNumberGenerator & Sendable
    mutating func next() -> UInt64 { base.next() }
}

extension RPCError {
    /// What an error of the center is to somebody far away.
    package init(center error: any Error) {
        switch error {
        case let error as RPCError: self = error
        case let error as CenterError:
            let code: StatusCode =
                switch error {
                case .malformed: .invalidArgument
                case .unknown: .notFound
                case .exists: .alreadyExists
                case .full: .resourceExhausted
                case .conflict, .superseded, .twice, .lastOperator: .failedPrecondition
                case .untrusted(.digestMismatch): .dataLoss
                case .untrusted: .permissionDenied
                case .storage(let error) where error.kind == .full: .resourceExhausted
                case .storage: .unavailable
                }
            self.init(code, "\(error)", effect: .none)
        default: self.init(.internal, "\(error)", effect: .none)
        }
    }
}
