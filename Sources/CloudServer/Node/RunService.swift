import Logging
import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import MastWasmRuntime
import Synchronization

/// Where a node gets applications from: a station's replicas, the center's store.
protocol ApplicationSource: Sendable {
    /// - Throws: `RunRefusal.unknownApplication`.
    func application(_ name: String, digest: ContentDigest?) async throws -> ApplicationPackage
    /// The verified module; may take as long as a transfer.
    /// - Throws: `RunRefusal.noReplica`.
    func module(_ application: ApplicationPackage) async throws -> [UInt8]
    var revocations: RevocationLog? { get async }
    var time: CloudTime { get async }
}

/// Bounds of a node's running; each is what a node of a few cores and some hundred megabytes can bear.
package struct RunConfiguration: Sendable {
    /// Runs executing or waiting; beyond that they are refused with a time to come back. A user's first run finds room in
    /// a quarter more.
    package var maximumActiveRuns = 256
    /// Input of one run, in bytes.
    package var maximumInputBytes = 16 << 20
    /// Inputs of all runs that wait or execute, in bytes; beyond that they are refused with a time to come back. Memory
    /// holds some three times as much: an input as it came, decoded, and in its application.
    package var maximumHeldBytes = 256 << 20
    /// Output of one run: what fits into a message beside the rest of a result.
    package var maximumOutputBytes = Int(ApplicationLimits.most.outputBytes)
    /// Memory of one run: the engine's own maximum.
    package var maximumMemoryBytes = Int(ApplicationLimits.most.memoryBytes)
    /// A client that was not heard for so long lets others go first: while it waits it gives a sign of life every half
    /// second, and if it is gone for good its connection ends it.
    package var clientPatience = Interval.seconds(2)
    /// A client that was not heard for so long loses its runs to others who wait for their threads. Most outages of a
    /// radio are over by then; a client that comes back later asks again, which costs it no more than the time that
    /// the run had had. Without others who wait, a run goes on until its connection ends, and its result is kept.
    package var silenceThatEnds = Interval.seconds(10)
    /// Results kept for clients that ask again.
    package var rememberedResults = 4096
    package var rememberedResultBytes = 64 << 20
    /// Compiled applications kept, by the size of their modules (compiled code is some four times as large).
    package var compiledModuleBytes = 64 << 20
    package var compiledCount = 64
    /// How long a module is not compiled again after a failure that may pass.
    package var compilerPatience = Interval.seconds(60)

    package init() {}
}

/// Executes runs for clients: the part that a station and the center have in common.
actor RunService {
    private struct RunKey: Hashable, Sendable {
        var client: PublicKey
        var runID: RunID
    }

    /// A run under way: what it is a function of, and the connections on which it was asked for.
    private final class Audience: Sendable {
        let fingerprint: ContentDigest
        /// SHA-256 of the input.
        let input: ContentDigest
        private let connections: Mutex<[PeerConnection]>
        private let offer: Mutex<Interval?>

        init(_ fingerprint: ContentDigest, input: ContentDigest, _ connection: PeerConnection, patience: Interval?) {
            (self.fingerprint, self.input) = (fingerprint, input)
            connections = Mutex([connection])
            offer = Mutex(patience)
        }

        /// Bounded by the calls that a host lets be under way.
        func add(_ connection: PeerConnection, patience new: Interval?) {
            connections.withLock { if !$0.contains(connection) { $0.append(connection) } }
            offer.withLock { old in old = old.flatMap { old in new.map { max(old, $0) } } }
        }

        /// Of whoever has the most.
        var patience: Interval? { offer.withLock { $0 } }

        func isSilent(at now: Instant, for patience: Interval) -> Bool {
            connections.withLock { $0 }.allSatisfy { connection in
                guard let heard = connection.statistics?.lastReceived else { return true }
                return now - heard > patience
            }
        }
    }

    /// One executed run, and what it was a function of.
    private struct Remembered: Sendable {
        var fingerprint: ContentDigest
        var result: RunResult
    }

    private let host: RPCHost
    private let engine: any ApplicationEngine
    private let executor: any RunExecutor
    private let source: any ApplicationSource
    private let nodeID: NodeID
    private let nodeName: String
    private let signing: SigningKeyPair
    private let configuration: RunConfiguration
    private let log: Logger

    private var verifier: TicketVerifier
    private var remembered: BoundedCache<RunKey, Remembered>
    private var compiled: BoundedCache<ContentDigest, any LoadedApplication>
    /// Modules that cannot be compiled here, and why: for good, or until it may be tried again.
    private var unloadable = BoundedCache<ContentDigest, (error: EngineError, until: Instant?)>(maximumCount: 256)
    private let flights = SharedWork<RunKey, RunResult>()
    /// A compiled application is worth having, and is kept.
    private let loads = SharedWork<ContentDigest, any LoadedApplication>(outlivesCallers: true)
    private let slots: RunSlots
    /// A compiler takes up to some gigabytes for a large module: one at a time, which also leaves runs their threads.
    private let compilers: RunSlots
    /// As many as `active`, or fewer.
    private var underWay: [RunKey: Audience] = [:]
    private var active = 0
    private var executing = 0
    private var activeByUser: [String: Int] = [:]
    /// Inputs of those who wait for a run, whether they began it or joined.
    private var heldBytes = 0
    private var isStopping = false
    private(set) var executedRuns: UInt64 = 0

    init(
        host: RPCHost, engine: any ApplicationEngine, executor: any RunExecutor, source: any ApplicationSource,
        nodeID: NodeID, nodeName: String, signing: SigningKeyPair, root: SigningPublicKey, configuration: RunConfiguration, log: Logger
    ) {
        self.signing = signing
        self.host = host
        self.engine = engine
        self.executor = executor
        self.source = source
        self.nodeID = nodeID
        self.nodeName = nodeName
        self.configuration = configuration
        self.log = log
        verifier = TicketVerifier(root: root)
        remembered = BoundedCache(
            maximumCost: configuration.rememberedResultBytes, maximumCount: configuration.rememberedResults)
        compiled = BoundedCache(maximumCost: configuration.compiledModuleBytes, maximumCount: configuration.compiledCount)
        slots = RunSlots(capacity: executor.capacity, closing: Self.stopping(nodeName), host: host)
        compilers = RunSlots(capacity: 1, closing: Self.stopping(nodeName), host: host)
    }

    /// As a user sees it who has nothing here yet.
    var load: NodeLoad { load(for: RunSlots.Order(user: "", weight: Quota().concurrentRuns)) }

    /// What does not execute waits for a thread, a replica or a compiler.
    private func load(for order: RunSlots.Order) -> NodeLoad {
        NodeLoad(running: executing, queued: max(0, active - executing), capacity: executor.capacity, wait: slots.wait(for: order))
    }

    /// Does what is asked for, until cancelled.
    nonisolated func serve() async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask { await self.flights.serve() }
            group.addTask { await self.loads.serve() }
            group.addTask { await self.endUnheard() }
        }
    }

    /// While others wait, looks after the runs of those who were not heard for long.
    private func endUnheard() async {
        for await _ in slots.waits {
            while slots.isWaitedFor {
                do { try await host.sleep(for: configuration.clientPatience / 4) } catch { return }
                guard slots.isWanted else { continue }
                let now = host.now()
                let unheard = underWay.filter { $0.value.isSilent(at: now, for: configuration.silenceThatEnds) }.keys
                for key in unheard.sorted(by: { ($0.runID, $0.client) < ($1.runID, $1.client) }) {
                    log.debug("ended, not heard of", metadata: ["run": "\(key.runID)"])
                    flights.end(key, RunRefusal.overloaded.error("you were not heard for \(configuration.silenceThatEnds.milliseconds) ms, and others waited: ask again", retryAfter: .milliseconds(50)))
                }
            }
        }
    }

    /// Refuses new runs, and those that do not execute yet: another node serves them sooner. The others go on.
    func stop() {
        isStopping = true
        slots.close()
        compilers.close()
        // Whoever waits for a compiler does not execute yet.
        executor.abandon()
    }

    private static func stopping(_ name: String) -> RPCError { RunRefusal.stopping.error("\(name) is stopping") }

    func run(_ request: RunRequest, _ context: CallContext) async throws -> RunResult {
        guard !isStopping else { throw Self.stopping(nodeName) }
        let arrived = host.now()
        guard request.runID.isValid else {
            throw RunRefusal.badRequest.error("a run id has 1 to 128 letters, digits, dots, dashes or underscores")
        }
        guard request.input.bytes.count <= configuration.maximumInputBytes else {
            throw RunRefusal.badRequest.error(
                "the input has \(request.input.bytes.count) bytes; at most \(configuration.maximumInputBytes) are taken")
        }
        let ticket = try verifier.verify(
            request.ticket, clientKey: context.peerKey, at: await source.time, revocations: await source.revocations)
        guard ticket.grants.mayRun(request.application) else {
            throw RunRefusal.notGranted.error("\(ticket.userName) may not run \(request.application)")
        }
        let key = RunKey(client: context.peerKey, runID: request.runID)
        let input = ContentDigest(of: request.input.bytes)
        let fingerprint = Self.fingerprint(request, input)
        if let earlier = remembered.value(key) {
            guard earlier.fingerprint == fingerprint else { throw Self.reused(request.runID) }
            return earlier.result
        }
        let size = request.input.bytes.count
        guard size <= max(configuration.maximumHeldBytes, configuration.maximumInputBytes) - heldBytes else {
            throw RunRefusal.overloaded.error("\(nodeName) holds \(heldBytes) bytes of inputs", retryAfter: .milliseconds(200))
        }
        heldBytes += size
        defer { heldBytes -= size }
        if let audience = underWay[key], audience.fingerprint != fingerprint { throw Self.reused(request.runID) }
        if let place = flights.join(key) {
            underWay[key]?.add(context.connection, patience: request.patience)
            return try await told(place.value(), ticket)
        }
        try admit(ticket)
        let audience = Audience(fingerprint, input: input, context.connection, patience: request.patience)
        underWay[key] = audience
        active += 1
        activeByUser[ticket.userID, default: 0] += 1
        return try await told(flights.start(key) { try await self.lead(request, ticket, key, audience, arrived: arrived) }.value(), ticket)
    }

    /// The result, and beside it how things are here now.
    private func told(_ result: RunResult, _ ticket: Ticket) -> RunResult {
        var result = result
        result.load = load(for: RunSlots.Order(user: ticket.userID, weight: ticket.quota.concurrentRuns, application: result.digest))
        return result
    }

    private func lead(
        _ request: RunRequest, _ ticket: Ticket, _ key: RunKey, _ audience: Audience, arrived: Instant
    ) async throws -> RunResult {
        defer {
            // One that was given up may end after the next of the same name has begun.
            if underWay[key] === audience { underWay[key] = nil }
            active -= 1
            let left = (activeByUser[ticket.userID] ?? 1) - 1
            activeByUser[ticket.userID] = left > 0 ? left : nil
        }
        let result = try await execute(request, ticket, audience, arrived: arrived)
        remembered.insert(
            key, Remembered(fingerprint: audience.fingerprint, result: result), cost: 512 + (result.output?.bytes.count ?? 0))
        return result
    }

    private func admit(_ ticket: Ticket) throws(RPCError) {
        // A quarter more for those who have nothing here: the others cannot fill it.
        let most = configuration.maximumActiveRuns
        guard active < (activeByUser[ticket.userID] == nil ? most + most / 4 : most) else {
            throw RunRefusal.overloaded.error("\(nodeName) has \(active) runs under way", retryAfter: .milliseconds(100))
        }
        guard UInt64(activeByUser[ticket.userID] ?? 0) < ticket.quota.concurrentRuns else {
            throw RunRefusal.overloaded.error(
                "\(ticket.userName) has \(ticket.quota.concurrentRuns) runs under way, the most allowed",
                retryAfter: .milliseconds(50))
        }
    }

    private func execute(
        _ request: RunRequest, _ ticket: Ticket, _ audience: Audience, arrived: Instant
    ) async throws -> RunResult {
        let application = try await source.application(request.application, digest: request.digest)
        let (host, silence) = (host, configuration.clientPatience)
        let order = RunSlots.Order(
            user: ticket.userID, weight: ticket.quota.concurrentRuns, application: application.digest,
            isSilent: { audience.isSilent(at: host.now(), for: silence) }, patience: { audience.patience })
        do {
            // Nothing is fetched and compiled for a run that will be offered elsewhere.
            if !compiled.contains(application.digest) { try slots.consider(order) }
            let loaded = try await loaded(application)
            return try await slots.use(order) {
                try await execute(request, ticket, application, loaded, input: audience.input, arrived: arrived)
            }
        } catch let error as RunSlots.TooLong {
            throw RunRefusal.overloaded.error(
                "a run would wait some \(error.wait.milliseconds) ms for a thread of \(nodeName)", retryAfter: error.wait, load: load(for: order))
        }
    }

    /// On a thread that is free.
    private func execute(
        _ request: RunRequest, _ ticket: Ticket, _ application: ApplicationPackage, _ loaded: any LoadedApplication,
        input: ContentDigest, arrived: Instant
    ) async throws -> RunResult {
        var limits = application.limits.capped(by: request.limits ?? application.limits)
        limits.fuel = min(limits.fuel, ticket.quota.fuelPerRun)
        let bounds = runLimits(limits)
        let entry = request.entry ?? application.entry
        let started = host.now()
        executing += 1
        defer { executing -= 1 }
        var result = RunResult(
            runID: request.runID, nodeID: nodeID, nodeName: nodeName, application: application.name,
            version: application.version, digest: application.digest, output: nil, trap: nil, fuelUsed: 0,
            peakMemoryBytes: 0, executionMicroseconds: 0, queueMicroseconds: (started - arrived).microseconds)
        do {
            let output = try await executor.run(
                loaded, entry: entry, input: request.input.bytes, limits: bounds)
            result.output = ByteString(output.bytes)
            result.fuelUsed = output.fuelUsed
            result.peakMemoryBytes = UInt64(clamping: output.peakMemoryBytes)
        } catch let trap as Trap {
            // The only trap that says nothing about the run itself.
            if trap.kind == .overloaded {
                throw RunRefusal.overloaded.error(trap.message, retryAfter: .milliseconds(50))
            }
            result.trap = RunTrap(kind: trap.kind.rawValue, message: trap.message)
            result.fuelUsed = trap.fuelUsed
            result.peakMemoryBytes = UInt64(clamping: trap.peakMemoryBytes)
        }
        result.executionMicroseconds = (host.now() - started).microseconds
        executedRuns += 1
        let question = Receipt.Question(
            runID: request.runID, userID: ticket.userID, application: application.digest, entry: entry, input: input,
            limits: ApplicationLimits(
                fuel: bounds.fuel, memoryBytes: UInt64(bounds.memoryBytes), outputBytes: UInt64(bounds.outputBytes)))
        result.receipt = try receipt(question, result)
        log.debug(
            "ran",
            metadata: [
                "run": "\(request.runID)", "application": "\(application.name)", "user": "\(ticket.userName)",
                "outcome": "\(result.trap?.kind ?? "output")", "fuel": "\(result.fuelUsed)",
            ])
        return result
    }

    /// This node's signature under what it did.
    private func receipt(_ question: Receipt.Question, _ result: RunResult) throws -> SignedRecord<Receipt> {
        let outcome: Receipt.Outcome =
            if let trap = result.trap { .trap(trap.kind) } else {
                .output(MerkleRoot(of: result.output?.bytes ?? []), bytes: UInt64(result.output?.bytes.count ?? 0))
            }
        return try SignedRecord(
            Receipt(question: question, outcome: outcome, fuelUsed: result.fuelUsed, nodeID: nodeID, executed: host.wallTime()), signedBy: signing)
    }

    /// The compiled application, compiling it first if need be.
    private func loaded(_ application: ApplicationPackage) async throws -> any LoadedApplication {
        if let ready = compiled.value(application.digest) { return ready }
        return try await loaded(application.digest) { try await self.source.module(application) }
    }

    private func loaded(_ digest: ContentDigest, _ module: @escaping @Sendable () async throws -> [UInt8]) async throws -> any LoadedApplication {
        let place = loads.join(digest) ?? loads.start(digest) {
            if let ready = await self.kept(digest) { return ready }
            return try await self.compile(digest, try await module())
        }
        return try await place.value()
    }

    private func kept(_ digest: ContentDigest) async -> (any LoadedApplication)? {
        let ready = await executor.kept(digest, for: engine)
        // Code is some three times as large as its module, whose size is not known here.
        if let ready { compiled.insert(digest, ready, cost: 1 << 20) }
        return ready
    }

    private func compile(_ digest: ContentDigest, _ module: [UInt8]) async throws -> any LoadedApplication {
        try await compilers.use {
            if let known = unloadable.value(digest), known.until.map({ host.now() < $0 }) ?? true { throw Self.refusal(known.error) }
            return try await slots.use { try await compileNow(digest, module) }
        }
    }

    private func compileNow(_ digest: ContentDigest, _ module: [UInt8]) async throws -> any LoadedApplication {
        do {
            let ready = try await executor.load(module, with: engine)
            compiled.insert(digest, ready, cost: max(1, module.count))
            return ready
        } catch let error as EngineError {
            switch error.kind {
            case .compilerFailed: unloadable.insert(digest, (error, host.now() + configuration.compilerPatience))
            case .tooCostlyHere: unloadable.insert(digest, (error, nil))
            default: if error.isModulesFault { unloadable.insert(digest, (error, nil)) }
            }
            throw Self.refusal(error)
        } catch is CancellationError where isStopping {
            throw Self.stopping(nodeName)
        }
    }

    /// What is the module's fault is so everywhere; of the rest another node may make more.
    private static func refusal(_ error: EngineError) -> RPCError {
        (error.isModulesFault ? RunRefusal.unloadable : .engineFailure).error("the application cannot be loaded: \(error)")
    }

    // MARK: Before a release

    /// What a run can have of `limits`, and a line on each limit that is more than that.
    nonisolated func capped(_ limits: ApplicationLimits) -> (limits: ApplicationLimits, warnings: [String]) {
        let most = ApplicationLimits(
            fuel: Quota().fuelPerRun, memoryBytes: UInt64(configuration.maximumMemoryBytes), outputBytes: UInt64(configuration.maximumOutputBytes))
        let rows = [("fuel", limits.fuel, most.fuel), ("memory bytes", limits.memoryBytes, most.memoryBytes), ("output bytes", limits.outputBytes, most.outputBytes)]
        return (limits.capped(by: most), rows.filter { $0.1 > $0.2 }.map { "a run gets at most \($0.2) \($0.0), not the \($0.1) asked for" })
    }

    /// Compiles a module and makes an instance of it within its limits, as each run will.
    /// - Throws: `invalidArgument` with the cause, when no run of it could succeed.
    func validate(_ module: [UInt8], digest: ContentDigest, entry: String, limits: ApplicationLimits) async throws {
        do {
            let application: any LoadedApplication
            if let ready = compiled.value(digest) { application = ready } else { application = try await loaded(digest) { module } }
            let limits = runLimits(limits)
            try await slots.use { try await executor.rehearse(application, entry: entry, limits: limits) }
        } catch let error as RPCError where RunRefusal(error) == .unloadable {
            throw RPCError(.invalidArgument, "not released: \(error.message)", effect: .none)
        } catch let error as RPCError where RunRefusal(error) == .engineFailure {
            throw RPCError(.failedPrecondition, "not released: \(error.message)", effect: .none)
        } catch let trap as Trap {
            if trap.kind == .overloaded { throw RunRefusal.overloaded.error(trap.message, retryAfter: .milliseconds(50)) }
            throw RPCError(.invalidArgument, "not released: it does not start: \(trap)", effect: .none)
        }
    }

    private func runLimits(_ limits: ApplicationLimits) -> RunLimits {
        RunLimits(
            fuel: limits.fuel, memoryBytes: min(Int(clamping: limits.memoryBytes), configuration.maximumMemoryBytes),
            outputBytes: min(Int(clamping: limits.outputBytes), configuration.maximumOutputBytes))
    }

    /// Drops what was compiled of a withdrawn application.
    func forget(_ digest: ContentDigest) {
        compiled.remove(digest)
        executor.forget(digest)
    }

    /// Deletes what the disk keeps of applications that are not among these.
    func forget(allBut digests: [ContentDigest]) { executor.forget(allBut: digests) }

    /// What goes wrong here, a line each.
    nonisolated var troubles: [String] { executor.trouble.map { [$0] } ?? [] }

    private static func fingerprint(_ request: RunRequest, _ input: ContentDigest) -> ContentDigest {
        var writer = CanonicalWriter()
        writer.text(request.application)
        writer.text(request.digest?.description ?? "")
        writer.text(request.entry ?? "")
        // Not the bytes: there may be megabytes of them.
        writer.bytes(input.bytes)
        writer.integer(request.limits?.fuel ?? 0)
        writer.integer(request.limits?.memoryBytes ?? 0)
        writer.integer(request.limits?.outputBytes ?? 0)
        return ContentDigest(of: writer.bytes)
    }

    private static func reused(_ runID: RunID) -> RPCError {
        RunRefusal.runIDInUse.error("run id \(runID) belongs to another request; choose a new one")
    }
}
