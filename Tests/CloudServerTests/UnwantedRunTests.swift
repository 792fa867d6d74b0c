import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport
import MastWasmRuntime
import Testing

/// Runs that nobody waits for: they hold up nobody, and what is said of waiting is true. A center has two threads here,
/// and a run of "long" takes a second of one.
@Suite struct UnwantedRunTests {
    private let long = Array("long".utf8)
    private let upper = Array("uppr".utf8)

    private func withCenter(_ body: @Sendable @escaping (SmallCloud, TestClient, Candidate) async throws -> Void) throws {
        let cloud = try SmallCloud(stations: 0)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            _ = try await client.push("long", long, to: center)
            _ = try await client.push("upper", upper, to: center)
            _ = try await client.run("upper", "compiled", on: center, id: "first")
            _ = try await client.run("long", "compiled", on: center, id: "second")
            cloud.engine.runs.store(0, ordering: .relaxed)
            try await body(cloud, client, center)
        }
    }

    /// Twenty runs of a second each, of which two execute when this returns.
    private func bury(_ cloud: SmallCloud, _ client: TestClient, _ center: Candidate, in group: inout ThrowingTaskGroup<Void, any Error>) async throws {
        for number in 0..<20 { group.addTask { _ = try? await client.run("long", "x", on: center, id: "unwanted-\(number)") } }
        while cloud.engine.runs.load(ordering: .relaxed) < 2 { try await cloud.sleep(.milliseconds(1)) }
        try await cloud.sleep(.milliseconds(50))
    }

    @Test func `runs whose caller gives up leave the queue and the threads at once`() throws {
        try withCenter { cloud, client, center in
            try await withThrowingTaskGroup(of: Void.self) { group in
                try await bury(cloud, client, center, in: &group)
                group.cancelAll()
                // A packet's way, and the next millisecond.
                try await cloud.sleep(.milliseconds(10))
                let result = try await client.run("upper", "wanted", on: center, id: "wanted")
                #expect(result.output == ByteString("WANTED") && result.queueMicroseconds < 1_000)
                #expect(cloud.engine.runs.load(ordering: .relaxed) == 3)
            }
        }
    }

    @Test func `runs whose deadline passes leave them too`() throws {
        try withCenter { cloud, client, center in
            try await withThrowingTaskGroup(of: Void.self) { group in
                let node = try client.node(center)
                for number in 0..<20 {
                    group.addTask {
                        var options = CallOptions()
                        options.deadline = .in(.milliseconds(200))
                        let request = RunRequest(
                            application: "long", input: ByteString("x"), runID: RunID(rawValue: "late-\(number)"), ticket: client.ticket.withLock { $0 })
                        let error = await #expect(throws: RPCError.self) { _ = try await node.call(RunMethods.run, request, options: options) }
                        #expect(error?.code == .deadlineExceeded)
                    }
                }
                try await group.waitForAll()
                try await cloud.sleep(.milliseconds(10))
                let result = try await client.run("upper", "wanted", on: center, id: "wanted")
                #expect(result.queueMicroseconds < 1_000)
                #expect(cloud.engine.runs.load(ordering: .relaxed) == 3)
            }
        }
    }

    @Test func `a run that somebody else joined goes on when the first caller leaves`() throws {
        try withCenter { cloud, client, center in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { _ = try? await client.run("long", "shared", on: center, id: "shared") }
                try await cloud.sleep(.milliseconds(300))
                async let second = client.run("long", "shared", on: center, id: "shared")
                try await cloud.sleep(.milliseconds(300))
                group.cancelAll()
                let result = try await second
                #expect(result.output == ByteString("SHARED") && result.executionMicroseconds == 1_000_000)
                #expect(cloud.engine.runs.load(ordering: .relaxed) == 1)
            }
        }
    }

    @Test func `a run that was given up can be asked for again`() throws {
        try withCenter { cloud, client, center in
            for _ in 0..<3 {
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { _ = try? await client.run("long", "x", on: center, id: "again") }
                    try await cloud.sleep(.milliseconds(300))
                    group.cancelAll()
                }
            }
            #expect(try await client.run("long", "x", on: center, id: "again").output == ByteString("X"))
            #expect(cloud.engine.runs.load(ordering: .relaxed) == 4)
        }
    }

    @Test func `waiting is what a run waited, and executing what it executed`() throws {
        try withCenter { cloud, client, center in
            let results = try await withThrowingTaskGroup(of: RunResult.self) { group in
                for number in 0..<6 { group.addTask { try await client.run("long", "x", on: center, id: "run-\(number)") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(results.map { $0.queueMicroseconds / 10_000 }.sorted() == [0, 0, 100, 100, 200, 200])
            #expect(results.allSatisfy { $0.executionMicroseconds == 1_000_000 })
        }
    }

    @Test func `a killed client's runs let everybody else's go first`() throws {
        try withCenter { cloud, client, center in
            try await withThrowingTaskGroup(of: Void.self) { group in
                let profile = try await cloud.user("ada", asked: client, at: center)
                let killed = cloud.client(profile, port: 51)
                _ = try await killed.attach()
                try await bury(cloud, killed, center, in: &group)
                cloud.network.unplug(port: 51)
                try await cloud.sleep(.milliseconds(2_300))
                let asked = cloud.simulation.now
                let result = try await client.run("upper", "wanted", on: center, id: "wanted")
                // No longer than until a thread is free.
                #expect(result.output == ByteString("WANTED") && cloud.simulation.now - asked < .milliseconds(1_020))
                group.cancelAll()
            }
        }
    }

    @Test func `a node that is told to stop refuses what waits at once, and keeps its grace`() throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            _ = try await client.push("ages", Array("ages".utf8), to: center)
            let (station, _) = try await cloud.station(0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                _ = try await client.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                let candidate = try await client.lookup("ages").candidates[0]
                let began = cloud.simulation.now
                for number in 0..<2 { group.addTask { _ = try? await client.run("ages", "x", on: candidate, id: "running-\(number)") } }
                while cloud.engine.runs.load(ordering: .relaxed) < 2 { try await cloud.sleep(.milliseconds(1)) }
                let node = try client.node(candidate)
                let request = RunRequest(
                    application: "ages", input: ByteString("x"), runID: RunID(rawValue: "waiting"), ticket: client.ticket.withLock { $0 })
                async let waiting = refusal { _ = try await node.call(RunMethods.run, request, options: CallOptions(maxAttempts: 1)) }
                try await cloud.sleep(.milliseconds(50))
                let told = cloud.simulation.now
                async let stopped: Void = station.shutDown(grace: .seconds(2))
                #expect(await waiting == .stopping)
                #expect(cloud.simulation.now - told < .milliseconds(10))
                await stopped
                #expect(cloud.simulation.now - told >= .seconds(2) && cloud.simulation.now - told < .milliseconds(2_200), "\(cloud.simulation.now - told)")
                #expect(cloud.simulation.now - began < .seconds(3))
                try await group.waitForAll()
            }
        }
    }
}
