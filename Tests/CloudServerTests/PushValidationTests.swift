import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastWasmRuntime
import Testing

/// What the center takes, and what a run says of something that it should not have taken.
@Suite struct PushValidationTests {
    private let upper = Array("uppr".utf8)
    private let garbage = Array("garbage".utf8)

    private func withCenter(_ body: @Sendable @escaping (SmallCloud, TestClient, Candidate) async throws -> Void) throws {
        let cloud = try SmallCloud(stations: 0)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            try await body(cloud, client, try #require(try await client.attach().center))
        }
    }

    private func error(_ body: () async throws -> Void) async -> RPCError? {
        do { try await body() } catch { return error as? RPCError }
        return nil
    }

    @Test func `what is no application is not released, and what was newest stays newest`() throws {
        try withCenter { cloud, client, center in
            _ = try await client.push("app", upper, to: center)
            let refused = await error { _ = try await client.push("app", garbage, to: center) }
            #expect(refused?.code == .invalidArgument && refused?.message.contains("not a module") == true, "\(String(describing: refused))")
            #expect(try await client.lookup("app").digest == ContentDigest(of: upper))
            #expect(try await client.run("app", "still", on: center, id: "1").output == ByteString("STILL"))
        }
    }

    @Test func `what has no such entry is not released`() throws {
        try withCenter { cloud, client, center in
            _ = try await client.push("app", upper, to: center)
            let request = PushApplication(name: "other", digest: ContentDigest(of: upper), entry: "absent")
            let node = try client.node(center)
            let refused = await error { _ = try await node.call(AdminMethods.pushApplication, request, options: try await client.asOperator(center)) }
            #expect(refused?.code == .invalidArgument && refused?.message.contains("absent") == true, "\(String(describing: refused))")
            #expect(await refusal { _ = try await client.lookup("other") } == .unknownApplication)
        }
    }

    @Test func `a module over the limit is refused at its first chunk, and the refusal says the limit`() throws {
        try withCenter { cloud, client, center in
            let module = upper + [UInt8](repeating: 1, count: ApplicationPackage.maximumBytes - 3)
            let refused = await error { _ = try await client.push("large", module, to: center) }
            #expect(refused?.code == .invalidArgument && refused?.message.contains("\(ApplicationPackage.maximumBytes)") == true)
            #expect(cloud.engine.loads.load(ordering: .relaxed) == 0)
            #expect(ApplicationPackage.refusal(ofBytes: module.count - 1) == nil)
        }
    }

    @Test func `the limit of a module is one for all roles`() {
        #expect(WasmtimeEngine.Configuration().maximumModuleBytes == ApplicationPackage.maximumBytes)
        #expect(WasmtimeEngine.Configuration().maximumMemoryBytes == RunConfiguration().maximumMemoryBytes)
        #expect(RunConfiguration().maximumOutputBytes < HostConfiguration.cloud.envelope.messageBytes)
    }

    @Test func `limits that no run can have are capped, and the operator is told which`() throws {
        try withCenter { cloud, client, center in
            _ = try await client.push("app", upper, to: center)
            let asked = ApplicationLimits(fuel: 1_000, memoryBytes: 2 << 30, outputBytes: 64 << 20)
            let request = PushApplication(name: "wide", digest: ContentDigest(of: upper), limits: asked)
            let reply = try await client.node(center).call(AdminMethods.pushApplication, request, options: try await client.asOperator(center))
            #expect(reply.application.limits == ApplicationLimits(fuel: 1_000, memoryBytes: 256 << 20, outputBytes: 16 << 20))
            #expect(reply.warnings?.count == 2 && reply.warnings?.first?.contains("268435456 memory bytes") == true, "\(String(describing: reply.warnings))")
            #expect(try await client.push("app", upper, to: center).warnings == nil)
        }
    }

    /// Released by a center that did not look.
    private func withRelease(_ module: [UInt8], limits: ApplicationLimits = .standard, _ body: @Sendable @escaping (SmallCloud, CloudClient) async throws -> Void) throws {
        let cloud = try SmallCloud(stations: 1)
        var registry = try CenterRegistry(keys: cloud.keys, membership: cloud.membership, store: cloud.centerStore)
        let request = PushApplication(name: "app", digest: ContentDigest(of: module), limits: limits)
        _ = try registry.release(request, module: module, at: cloud.simulation.time.wallTime)
        try cloud.whileServing { cloud in
            let (station, _) = try await cloud.station(0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                let profile = cloud.operatorProfile
                let wire = RPCWire(
                    host: cloud.network.host(profile.identity, port: 60), communicationServer: profile.communicationServer,
                    key: profile.communicationServerKey)
                let client = CloudClient(wire: wire, profile: profile, pool: MemoryPool(), entropy: SeededGenerator(seed: 3))
                try await client.whileListening { client in
                    while try await client.status().nodes.count(where: { $0.role == .station && !$0.replicas.isEmpty }) == 0 {
                        try await cloud.sleep(.milliseconds(20))
                    }
                    try await body(cloud, client)
                }
                group.cancelAll()
            }
        }
    }

    @Test func `a run of what cannot be loaded ends at once with the cause, and is tried once`() throws {
        try withRelease(garbage) { cloud, client in
            for _ in 0..<3 {
                let error = await #expect(throws: RunError.self) { _ = try await client.run("app", input: []) }
                #expect(error?.kind == .unrunnable && error?.message.contains("not a module") == true, "\(String(describing: error))")
                #expect(error?.timeline.entries.count { $0.what.hasPrefix("asking") } == 1)
            }
            #expect(cloud.engine.loads.load(ordering: .relaxed) == 1)
        }
    }

    @Test func `an output that no message can carry ends its run at once`() throws {
        var limits = ApplicationLimits.standard
        limits.outputBytes = 64 << 20
        try withRelease(Array("huge".utf8), limits: limits) { cloud, client in
            let error = await #expect(throws: RunError.self) { _ = try await client.run("app", input: []) }
            guard case .trapped(let trap) = error?.kind else { return #expect(Bool(false), "\(String(describing: error))") }
            #expect(trap.kind == "badOutput" && cloud.engine.runs.load(ordering: .relaxed) == 1)
        }
    }
}
