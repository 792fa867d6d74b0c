import Logging
import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import MastWasmRuntime

/// A base station: runs applications near the clients. It registers with the communication server, takes copies of
/// applications and user records, says who clients are, and keeps working while the center is away.
package actor BaseStationNode: ControlledNode {
    private let host: RPCHost
    private let contact: ServerContact
    private let version: String
    private let link: ControlLink
    private let vault: StationVault
    private let runs: RunService
    private let auditor: RunAuditor
    private let log: Logger
    private let onRegistered: (@Sendable () -> Void)?
    /// Replicas as the communication server was last told.
    private var reportedReplicas: [ContentDigest] = []
    private var heartbeatReplicas: [ContentDigest] = []
    private let signals: AsyncStream<Void>
    private let signal: AsyncStream<Void>.Continuation
    private var newest = StateNumbers()
    /// The number of the list that the communication server holds.
    private var serverRevocations: StateNumber = 0
    /// The index after which artifacts of withdrawn applications were deleted.
    private var cleanedReleases: StateNumber = 0
    /// No maintenance before this, after one that failed.
    private var restUntil = Instant.zero

    /// - Parameters:
    ///   - host: made with `keys.identity`.
    ///   - onRegistered: called after each successful registration.
    /// - Throws: `StorageError` when the stores cannot be read, `TrustError` when the membership is not genuine.
    package init(
        host: RPCHost, membership: Membership, keys: NodeKeys, stores: StationStores, engine: any ApplicationEngine,
        executor: any RunExecutor, configuration: StationConfiguration = StationConfiguration(),
        log: Logger, onRegistered: (@Sendable () -> Void)? = nil
    ) throws {
        let record = try membership.record.verified(by: membership.rootKey)
        guard record.role == .station else { throw StorageError(.corrupt, "this is the membership of a \(record.role), and none of a station: choose the folder of a station") }
        guard record.transportKey == keys.identity.publicKey else { throw TrustError.wrongKey(of: "node record") }
        self.host = host
        contact = ServerContact(try membership.choice, root: membership.rootKey, host: host)
        version = configuration.version
        self.log = log
        self.onRegistered = onRegistered
        link = ControlLink(host: host, contact: contact, log: log)
        vault = try StationVault(
            membership: membership, keys: keys, stores: stores, contact: contact, host: host, configuration: configuration,
            log: log)
        runs = RunService(
            host: host, engine: engine, executor: executor, source: vault, nodeID: record.nodeID, nodeName: record.name,
            signing: keys.signing, root: membership.rootKey, configuration: configuration.runs, log: log)
        auditor = RunAuditor(root: membership.rootKey, node: membership.record, host: host, log: log) { [contact] divergence in
            var options = CallOptions()
            options.deadline = .in(.seconds(5))
            _ = try await contact.client.call(ControlMethods.reportDivergence, divergence, options: options)
        }
        // One pending signal stands for any number of them.
        (signals, signal) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
    }

    /// Serves until cancelled, or until `shutDown` has drained the host.
    package func run() async throws {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.host.serve(self.server()) }
            group.addTask { await self.runs.serve() }
            group.addTask { try await self.link.run(self) }
            group.addTask { try await self.maintain() }
            group.addTask { try await self.auditor.serve() }
            defer { group.cancelAll() }
            try await group.next()
        }
        await host.settle(reason: "the station stops")
    }

    /// Refuses new runs and those that wait, lets the others finish for at most `grace`, then tells all peers. `run` returns
    /// by itself.
    package func shutDown(grace: Interval) async {
        await runs.stop()
        await host.drain(grace: grace)
        await host.settle(reason: "the station stops")
    }

    private nonisolated func server() -> RPCServer {
        let (runs, auditor, vault, contact) = (runs, auditor, vault, contact)
        return RPCServer(
            authorize: { context in
                switch MethodRight.needed(for: context.method) {
                case .anonymous: return
                case .communicationServer where contact.trusts(context.peerKey): return
                default: throw RPCError(.permissionDenied, "\(context.method) is not for this peer", effect: .none)
                }
            }, placement: .taskThreads
        ) {
            RunMethods.run.handle { request, context in
                try await vault.checkServing()
                return try await auditor.run(request, from: vault) { try await runs.run(request, context) }
            }
            StationMethods.verifyIdentity.handle { query in IdentityAnswer(ticket: try await vault.ticket(for: query)) }
            StationMethods.announce.handle { announcement in
                await self.announced(announcement)
                return Nothing()
            }
            StationMethods.fetchReplica.handle { request, writer in
                try await ReplicaTransfer.send(try await vault.replica(request.digest), to: writer)
            }
        }
    }

    private func announced(_ announcement: Announcement) async {
        await vault.take(announcement.revocations, heard: announcement.numbers.revocations)
        await vault.take(announcement.record)
        await vault.take(announcement.servers)
        if let releases = announcement.releases {
            do { try await vault.take(releases) } catch { log.warning("announcement refused", metadata: ["reason": "\(error)"]) }
        }
        await learned(announcement.numbers)
    }

    // MARK: Keeping up with the center

    private func maintain() async throws {
        for await _ in signals {
            try Task.checkCancellation()
            do {
                if await vault.numbers.lacksRecords(of: newest) { try await vault.sync() }
                try await vault.refreshReplicas()
            } catch {
                try Task.checkCancellation()
                log.info("not up to date yet", metadata: ["reason": "\(error)"])
                restUntil = host.now() + .seconds(2)
            }
        }
    }

    private func wake() async {
        let numbers = await vault.numbers
        let wantsReplicas = await vault.wantsReplicas
        if numbers.lacksRecords(of: newest) || wantsReplicas, host.now() >= restUntil { signal.yield() }
    }

    // MARK: Under the communication server's eyes

    func registration() async -> RegisterRequest {
        reportedReplicas = await vault.replicaDigests
        return RegisterRequest(
            record: await vault.membership.record, incarnation: host.incarnation, replicas: reportedReplicas, load: await runs.load,
            releases: await vault.signedReleases, revocations: await vault.signedRevocations, servers: await vault.signedServers,
            lostRevocations: await vault.lostRevocations, users: await vault.signedUsersNumber, numbers: await vault.numbers,
            health: await health(), clock: host.wallTime())
    }

    private func health() async -> NodeHealth {
        NodeHealth(
            version: version, diskFreeBytes: await vault.diskFreeBytes,
            troubles: await vault.troubles + runs.troubles + [auditor.trouble].compactMap(\.self))
    }

    func heartbeat() async -> HeartbeatRequest {
        let replicas = await vault.replicaDigests
        heartbeatReplicas = replicas
        let numbers = await vault.numbers
        return HeartbeatRequest(
            incarnation: host.incarnation, load: await runs.load, replicas: replicas == reportedReplicas ? nil : replicas,
            numbers: numbers, revocations: numbers.revocations > serverRevocations ? await vault.signedRevocations : nil,
            health: await health(), clock: host.wallTime(), replicaTroubles: await vault.reportedTroubles)
    }

    func accepted(_ reply: HeartbeatReply) async {
        reportedReplicas = heartbeatReplicas
        serverRevocations = reply.heldRevocations
        await vault.take(clockOffset: reply.clockOffsetMilliseconds.map { .milliseconds($0) })
        await vault.take(reply.revocations, heard: reply.numbers.revocations)
        await vault.take(reply.servers)
        await learned(reply.numbers)
    }

    func registered(_ reply: RegisterReply) async {
        await vault.take(reply.revocations, heard: reply.numbers.revocations)
        await vault.take(reply.record)
        await vault.take(reply.servers)
        await vault.take(clockOffset: reply.clockOffsetMilliseconds.map { .milliseconds($0) })
        await vault.taken()
        onRegistered?()
        restUntil = .zero
        await vault.peersChanged()
        await learned(reply.numbers)
    }

    private func learned(_ numbers: StateNumbers) async {
        newest = newest.joined(numbers)
        await forgetWithdrawn()
        await wake()
    }

    private func forgetWithdrawn() async {
        let releases = await vault.releases
        guard releases.number != cleanedReleases else { return }
        cleanedReleases = releases.number
        await runs.forget(allBut: releases.applications.map(\.digest))
    }

    /// Runs executed since the start, for status and tests.
    package var executedRuns: UInt64 { get async { await runs.executedRuns } }
    /// How far the station's copy of the center's state is.
    package var numbers: StateNumbers { get async { await vault.numbers } }
    package var heldReplicas: [ContentDigest] { get async { await vault.replicaDigests } }
}
