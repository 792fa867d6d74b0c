import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import Testing

/// What a node holds for runs that wait, counted in bytes, and what compiling may take from them.
@Suite struct RunAdmissionTests {
    @Test func `inputs are taken up to a number of bytes, then refused with a time, and taken again`() throws {
        var runs = RunConfiguration()
        runs.maximumInputBytes = 1_000
        runs.maximumHeldBytes = 2_500
        let cloud = try SmallCloud(stations: 0, runs: runs)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            _ = try await client.push("long", Array("long".utf8), to: center)
            let node = try client.node(center)
            @Sendable func run(_ id: String, _ bytes: Int) async throws -> RunResult {
                let request = RunRequest(
                    application: "long", input: ByteString([UInt8](repeating: 97, count: bytes)), runID: RunID(rawValue: id),
                    ticket: client.ticket.withLock { $0 })
                return try await node.call(RunMethods.run, request, options: CallOptions(maxAttempts: 1))
            }
            try await withThrowingTaskGroup(of: RunResult.self) { group in
                // The second one joins the first: it is here twice.
                for (id, bytes) in [("a", 1_000), ("a", 1_000), ("c", 500)] { group.addTask { try await run(id, bytes) } }
                try await cloud.sleep(.milliseconds(100))
                let error = await #expect(throws: RPCError.self) { _ = try await run("d", 1) }
                #expect(error.flatMap { RunRefusal($0) } == .overloaded && error?.retryAfter != nil)
                for try await result in group { #expect(result.output != nil) }
                #expect(try await run("d", 1_000).output != nil)
            }
        }
    }

    @Test func `users who fill a node leave room for one who has nothing there`() throws {
        var runs = RunConfiguration()
        runs.maximumActiveRuns = 8
        let cloud = try SmallCloud(stations: 0, runs: runs)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            _ = try await client.push("long", Array("long".utf8), to: center)
            let other = cloud.client(try await cloud.user("ada", asked: client, at: center), port: 51)
            _ = try await other.attach()
            @Sendable func run(_ client: TestClient, _ id: String) async throws -> RunResult {
                let request = RunRequest(
                    application: "long", input: ByteString("x"), runID: RunID(rawValue: id), ticket: client.ticket.withLock { $0 })
                return try await client.node(center).call(RunMethods.run, request, options: CallOptions(maxAttempts: 1))
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<8 { group.addTask { _ = try await run(client, "\(number)") } }
                try await cloud.sleep(.milliseconds(100))
                #expect(await refusal { _ = try await run(client, "more") } == .overloaded)
                #expect(try await run(other, "first").output == ByteString("X"))
                try await group.waitForAll()
            }
        }
    }

    @Test func `compiling leaves a thread to runs`() throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            _ = try await client.push("small", Array("uppr".utf8), to: center)
            // Half a second of a compiler each.
            for name in ["large-1", "large-2"] {
                _ = try await client.push(name, Array("uppr\(name)".utf8) + [UInt8](repeating: 7, count: 500_000), to: center)
            }
            let (station, _) = try await cloud.station(0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                _ = try await client.wait { $0.nodes.contains { $0.role == .station && $0.replicas.count == 3 } }
                let candidate = try await client.lookup("small").candidates[0]
                _ = try await client.run("small", "x", on: candidate, id: "1")
                let began = cloud.simulation.now
                for name in ["large-1", "large-2"] { group.addTask { _ = try? await client.run(name, "x", on: candidate, id: name) } }
                try await cloud.sleep(.milliseconds(100))
                #expect(try await client.run("small", "x", on: candidate, id: "2").queueMicroseconds < 1_000)
                #expect(cloud.simulation.now - began < .milliseconds(200))
                group.cancelAll()
            }
        }
    }
}
