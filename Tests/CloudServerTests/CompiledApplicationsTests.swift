import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastWasmRuntime
import Synchronization
import Testing

/// How a node comes to an application without compiling in its own process, and what it makes of a compiler's failure.
@Suite struct CompiledApplicationsTests {
    private let module = Array("uppr".utf8)

    private func executor(_ compiler: PlantedCompiler, _ store: any BlobStore) throws -> ThreadedRunExecutor {
        ThreadedRunExecutor(threads: 1, compiled: CompiledApplications(compiler: compiler, cache: try ArtifactCache(store)))
    }

    private func answer(_ application: any LoadedApplication, _ executor: ThreadedRunExecutor) async throws -> [UInt8] {
        try await executor.run(application, entry: "run", input: [97], limits: RunLimits()).bytes
    }

    @Test func `what was compiled once runs after a restart without a compiler`() async throws {
        let (compiler, store, engine) = (PlantedCompiler(), MemoryBlobStore(), StubEngine())
        let first = try executor(compiler, store)
        #expect(await first.kept(ContentDigest(of: module), for: engine) == nil)
        #expect(try await answer(try await first.load(module, with: engine), first) == [65])
        let second = try executor(compiler, store)
        let kept = try #require(await second.kept(ContentDigest(of: module), for: engine))
        #expect(try await answer(kept, second) == [65] && compiler.count == 1)
        // The node's own process compiled nothing.
        #expect(engine.loads.load(ordering: .relaxed) == 0)
    }

    @Test func `an engine that does not take its artifact after all gets a new one`() async throws {
        let (compiler, store) = (PlantedCompiler(), MemoryBlobStore())
        _ = try await executor(compiler, store).load(module, with: StubEngine())
        let cache = try ArtifactCache(store)
        let picky = ThreadedRunExecutor(threads: 1, compiled: CompiledApplications(compiler: compiler, cache: cache))
        #expect(await picky.kept(ContentDigest(of: module), for: StubEngine(takesArtifacts: false)) == nil)
        #expect(cache.counts.outdated == 1 && store.names() == [])
    }

    @Test func `a module that is none is not kept, and neither is what fails`() async throws {
        let (compiler, store) = (PlantedCompiler(), MemoryBlobStore())
        let executor = try executor(compiler, store)
        await #expect(throws: EngineError.self) { _ = try await executor.load(Array("none".utf8), with: StubEngine()) }
        compiler.behaviour.withLock { $0 = .fails(EngineError(.compilerCrashed, "crashed")) }
        await #expect(throws: EngineError.self) { _ = try await executor.load(module, with: StubEngine()) }
        #expect(compiler.count == 2 && store.names() == [])
    }

    @Test func `a disk that is full is no fault of the run`() async throws {
        let (compiler, store) = (PlantedCompiler(), FillableStore())
        let executor = try executor(compiler, store)
        store.isFull.withLock { $0 = true }
        #expect(try await answer(try await executor.load(module, with: StubEngine()), executor) == [65])
        #expect(executor.trouble?.contains("no space left on device") == true)
    }

    @Test func `a module that would break the limits is refused before it is compiled`() async throws {
        let compiler = PlantedCompiler(limits: CompilationLimits(memoryBytes: 64 << 20))
        let executor = try executor(compiler, MemoryBlobStore())
        // A code section with one function of 60,000 bytes.
        let length: [UInt8] = [0xe0, 0xd4, 0x03]
        let module = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 10, 0xe4, 0xd4, 0x03, 1] + length + [UInt8](repeating: 0, count: 60_000)
        let error = await #expect(throws: EngineError.self) { _ = try await executor.load(module, with: StubEngine()) }
        #expect(error?.kind == .tooCostlyHere && error?.message.contains("limit is 64 MB") == true && compiler.count == 0, "\(String(describing: error))")
    }

    @Test func `the end of the process ends the compiler, and whoever waits for it`() async throws {
        let executor = try executor(PlantedCompiler(.hangs), MemoryBlobStore())
        await withThrowingTaskGroup(of: Void.self) { [module] group in
            group.addTask { _ = try await executor.load(module, with: StubEngine()) }
            executor.abandon()
            await #expect(throws: CancellationError.self) { try await group.next() }
        }
    }

    // MARK: A station

    private static let patience = Interval.seconds(1)

    /// A station that has a replica of `module`, released as "app", and a client of it.
    private func withStation(
        _ compiler: PlantedCompiler, _ store: any BlobStore = MemoryBlobStore(),
        _ body: @Sendable @escaping (SmallCloud, TestClient, BaseStationNode, Candidate) async throws -> Void
    ) throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.whileServing { [module] cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            _ = try await client.push("app", module, to: center)
            let cache = try ArtifactCache(store: store, capacityBytes: 1 << 20, key: NodeKeys(seed: 1).artifactKey, log: quiet) { cloud.simulation.now }
            var configuration = StationConfiguration()
            configuration.runs.compilerPatience = Self.patience
            let (station, _) = try await cloud.station(0, configuration: configuration, compiled: CompiledApplications(compiler: compiler, cache: cache))
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                _ = try await client.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                try await body(cloud, client, station, try #require(try await client.lookup("app").candidates.first))
                group.cancelAll()
            }
        }
    }

    @Test func `a station refuses for good what is over all limits, and leaves to others what is over its own`() throws {
        for (kind, expected) in [
            (EngineError.Kind.tooCostly, RunRefusal.unloadable), (.compilerCrashed, .unloadable), (.tooCostlyHere, .engineFailure),
        ] {
            let compiler = PlantedCompiler(.fails(EngineError(kind, "this module needs more than 64 MB to compile")))
            try withStation(compiler) { cloud, client, _, candidate in
                for number in 0..<3 {
                    let given = await refusal { _ = try await client.run("app", "x", on: candidate, id: "\(number)") }
                    #expect(given == expected, "\(kind)")
                    try await cloud.sleep(Self.patience)
                }
                #expect(compiler.count == 1)
            }
        }
    }

    @Test func `a compiler that was killed is asked again, but not at once`() throws {
        let compiler = PlantedCompiler(.fails(EngineError(.compilerFailed, "killed")))
        try withStation(compiler) { cloud, client, _, candidate in
            for number in 0..<2 {
                #expect(await refusal { _ = try await client.run("app", "x", on: candidate, id: "\(number)") } == .engineFailure)
            }
            #expect(compiler.count == 1)
            compiler.behaviour.withLock { $0 = .compiles }
            try await cloud.sleep(Self.patience)
            #expect(try await client.run("app", "x", on: candidate, id: "later").output == ByteString("X"))
        }
    }

    @Test func `a station that is told to stop ends its compiler at once`() throws {
        let compiler = PlantedCompiler(.hangs)
        try withStation(compiler) { cloud, client, station, candidate in
            let node = try client.node(candidate)
            let request = RunRequest(
                application: "app", input: ByteString("x"), runID: RunID(rawValue: "waiting"), ticket: client.ticket.withLock { $0 })
            async let waiting = refusal { _ = try await node.call(RunMethods.run, request, options: CallOptions(maxAttempts: 1)) }
            while compiler.count == 0 { try await cloud.sleep(.milliseconds(1)) }
            let told = cloud.simulation.now
            async let stopped: Void = station.shutDown(grace: .seconds(5))
            #expect(await waiting == .stopping)
            await stopped
            #expect(cloud.simulation.now - told < .milliseconds(200))
        }
    }

    @Test func `a withdrawn application leaves the disk, and a full disk shows in the status`() throws {
        let store = FillableStore()
        try withStation(PlantedCompiler(), store) { [module] cloud, client, _, candidate in
            _ = try await client.run("app", "x", on: candidate, id: "1")
            #expect(store.names() == [ContentDigest(of: module).description])
            let center = try #require(try await client.attach().center)
            _ = try await client.push("next", Array("trap".utf8), to: center)
            _ = try await client.node(center).call(
                AdminMethods.removeApplication, RemoveApplication(name: "app", version: nil), options: try await client.asOperator(center))
            while !store.names().isEmpty { try await cloud.sleep(.milliseconds(50)) }
            store.isFull.withLock { $0 = true }
            _ = try await client.run("next", "x", on: candidate, id: "2")
            let status = try await client.wait { $0.nodes.contains { !$0.health.troubles.isEmpty } }
            let troubles = status.nodes.flatMap(\.health.troubles)
            #expect(troubles == ["compiled applications are not kept on disk: the disk is full: no space left on device"])
        }
    }
}
