import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport
import Testing

/// Restarts, damage, overload and stopping.
@Suite struct CloudTroubleTests {
    private let upper = Array("uppr".utf8)

    @Test func `a restarted communication server knows its cloud again, and routes are the same`() throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.run { cloud in
            try await withThrowingTaskGroup(of: Void.self) { nodes in
                let first = try await withThrowingTaskGroup(of: Void.self) { servers in
                    servers.addTask { try await cloud.server.run() }
                    try await cloud.startCenter(in: &nodes)
                    let (station, _) = try await cloud.station(0)
                    nodes.addTask { try await station.run() }
                    let client = cloud.client(cloud.operatorProfile, port: 50)
                    _ = try await client.push("upper", upper, to: try #require(try await client.attach().center))
                    _ = try await client.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                    let placement = try await client.lookup("upper")
                    _ = try await client.run("upper", "a", on: placement.candidates[0], id: "1")
                    servers.cancelAll()
                    return (client, placement)
                }
                let (client, placement) = first
                let server = cloud.restartedServer()
                nodes.addTask { try await server.run() }
                // The client's own connection died with the server: it dials and attaches again.
                client.control.close(reason: "test")
                while (try? await client.attach()) == nil { try await cloud.sleep(.milliseconds(20)) }
                let status = try await client.wait { status in status.nodes.filter(\.isUp).count == 2 }
                #expect(status.applications.map(\.name) == ["upper"])
                let again = try await client.lookup("upper")
                #expect(again.candidates.map(\.route) == placement.candidates.map(\.route))
                // The end-to-end connection outlived the server, or was made again: either way the run works.
                #expect(try await client.run("upper", "b", on: again.candidates[0], id: "2").output == ByteString("B"))
                nodes.cancelAll()
            }
        }
    }

    @Test func `one run id that is asked for twenty times at once is executed once`() throws {
        let cloud = try SmallCloud(stations: 0)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            _ = try await client.push("upper", upper, to: center)
            let results = try await withThrowingTaskGroup(of: RunResult.self) { group in
                for _ in 0..<20 { group.addTask { try await client.run("upper", "same", on: center, id: "one") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(Set(results).count == 1 && results.count == 20)
            #expect(cloud.engine.runs.load(ordering: .relaxed) == 1)
            #expect(cloud.engine.loads.load(ordering: .relaxed) == 1)
        }
    }

    @Test func `a node with more runs than it takes refuses at once and says when to come back`() throws {
        var runs = RunConfiguration()
        runs.maximumActiveRuns = 2
        let cloud = try SmallCloud(stations: 0, runs: runs)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            _ = try await client.push("long", Array("long".utf8), to: center)
            try await withThrowingTaskGroup(of: RunResult.self) { group in
                for id in ["1", "2"] { group.addTask { try await client.run("long", "x", on: center, id: id) } }
                while cloud.engine.runs.load(ordering: .relaxed) < 2 { try await cloud.sleep(.milliseconds(5)) }
                var options = CallOptions()
                options.maxAttempts = 1
                let request = RunRequest(
                    application: "long", input: ByteString("x"), runID: RunID(rawValue: "3"), ticket: client.ticket.withLock { $0 })
                let node = try client.node(center)
                let once = options
                let error = await #expect(throws: RPCError.self) { _ = try await node.call(RunMethods.run, request, options: once) }
                #expect(error.flatMap { RunRefusal($0) } == .overloaded)
                #expect(error?.retryAfter != nil && error?.effect == Effect.none)
                for try await result in group { #expect(result.output == ByteString("X")) }
                #expect(try await client.run("long", "x", on: center, id: "3").output == ByteString("X"))
            }
        }
    }

    @Test func `a damaged replica is fetched anew and never run`() throws {
        let cloud = try SmallCloud(stations: 1)
        let replicas = MemoryBlobStore()
        let stores = StationStores(files: MemoryBlobStore(), users: MemoryBlobStore(), replicas: replicas)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            _ = try await client.push("upper", upper, to: center)
            let (station, _) = try await cloud.station(0, stores: stores)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                _ = try await client.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                let name = ContentDigest(of: upper).description
                replicas.write(name, Array("trap".utf8))
                let candidate = try await client.lookup("upper").candidates[0]
                #expect(try await client.run("upper", "x", on: candidate, id: "1").output == ByteString("X"))
                #expect(replicas.read(name) == upper)
                group.cancelAll()
            }
        }
    }

    @Test func `a station that is told to stop finishes what it runs, and its cloud hears of it`() throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            _ = try await client.push("long", Array("long".utf8), to: center)
            let (station, _) = try await cloud.station(0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                _ = try await client.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                let candidate = try await client.lookup("long").candidates[0]
                async let running = client.run("long", "last", on: candidate, id: "1")
                while cloud.engine.runs.load(ordering: .relaxed) < 1 { try await cloud.sleep(.milliseconds(5)) }
                async let stopped: Void = station.shutDown(grace: .seconds(5))
                #expect(try await running.output == ByteString("LAST"))
                await stopped
                // `run` has returned by itself.
                try await group.waitForAll()
                _ = try await client.wait { $0.nodes.contains { $0.role == .station && !$0.isUp } }
                #expect(try await client.lookup("long").candidates.map(\.name) == ["center"])
            }
        }
    }
}
