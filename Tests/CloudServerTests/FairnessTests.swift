import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import Synchronization
import Testing

/// Who waits for whom: users at one node, and runs among nodes. Every node has two threads here, and a run of "long"
/// takes a second of one.
@Suite struct FairnessTests {
    private let long = Array("long".utf8)
    private let upper = Array("uppr".utf8)

    private func withCenter(_ body: @Sendable @escaping (SmallCloud, TestClient, Candidate) async throws -> Void) throws {
        let cloud = try SmallCloud(stations: 0)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            for (name, module) in [("long", long), ("upper", upper)] {
                _ = try await client.push(name, module, to: center)
                _ = try await client.run(name, "compiled", on: center, id: name)
            }
            cloud.engine.runs.store(0, ordering: .relaxed)
            try await body(cloud, client, center)
        }
    }

    private func request(_ application: String, _ id: String, _ client: TestClient, patience: Interval?) -> RunRequest {
        RunRequest(
            application: application, input: ByteString("x"), runID: RunID(rawValue: id), ticket: client.ticket.withLock { $0 }, patience: patience)
    }

    // MARK: At one node

    @Test func `beside sixty-four runs of one user, another's waits for one of them at most`() throws {
        try withCenter { cloud, client, center in
            let light = cloud.client(try await cloud.user("ada", asked: client, at: center), port: 51)
            _ = try await light.attach()
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<64 { group.addTask { _ = try? await client.run("long", "x", on: center, id: "heavy-\(number)") } }
                try await cloud.sleep(.milliseconds(1_500))
                var waits: [Int64] = []
                for number in 0..<8 { waits.append(try await light.run("upper", "x", on: center, id: "light-\(number)").queueMicroseconds / 1_000) }
                #expect(waits.allSatisfy { $0 <= 1_000 }, "\(waits) ms")
                #expect(waits.contains { $0 > 100 })
                group.cancelAll()
            }
        }
    }

    @Test func `two users who both ask for more than there is get half of it each`() throws {
        try withCenter { cloud, client, center in
            let other = cloud.client(try await cloud.user("ada", asked: client, at: center), port: 51)
            _ = try await other.attach()
            try await withThrowingTaskGroup(of: String?.self) { group in
                @Sendable func ask(_ name: String, _ asking: TestClient, _ number: Int) async -> String? {
                    let result = try? await asking.run("long", "x", on: center, id: "\(name)-\(number)")
                    return result == nil ? nil : name
                }
                for number in 0..<40 { group.addTask { await ask("many", client, number) } }
                try await cloud.sleep(.milliseconds(20))
                for number in 0..<10 { group.addTask { await ask("few", other, number) } }
                try await cloud.sleep(.milliseconds(10_500))
                group.cancelAll()
                let ended = try await group.reduce(into: []) { $0 += [$1].compactMap(\.self) }
                // Two threads, ten seconds: ten runs each, but for those that began before the other one came.
                let counts = ["many", "few"].map { name in ended.count { $0 == name } }
                #expect(counts[0] + counts[1] == 20 && (9...11).contains(counts[1]), "\(counts)")
            }
        }
    }

    // MARK: Offered elsewhere

    @Test func `a run that would wait longer than its patience is told so at once, with the wait and the load`() throws {
        try withCenter { cloud, client, center in
            let node = try client.node(center)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<6 { group.addTask { _ = try? await client.run("long", "x", on: center, id: "heavy-\(number)") } }
                try await cloud.sleep(.milliseconds(100))
                let asked = cloud.simulation.now
                let error = await #expect(throws: RPCError.self) {
                    _ = try await node.call(RunMethods.run, request("upper", "offered", client, patience: .seconds(2)), options: CallOptions(maxAttempts: 1))
                }
                #expect(cloud.simulation.now - asked < .milliseconds(10))
                let load = try #require(error.flatMap { RunRefusal.load($0) })
                // Six seconds of two threads, less what has passed.
                #expect(load.running == 2 && load.queued >= 4 && (2_800...3_000).contains(load.wait.milliseconds), "\(load)")
                #expect(error?.retryAfter.map { ($0 - load.wait).magnitude < .milliseconds(10) } == true)
                let patient = try await node.call(RunMethods.run, request("upper", "waits", client, patience: .seconds(4)))
                #expect((2_700...3_000).contains(patient.queueMicroseconds / 1_000))
                group.cancelAll()
            }
        }
    }

    @Test func `one that has waited for its patience against what was expected goes too`() throws {
        let cloud = try SmallCloud(stations: 0)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            _ = try await client.push("long", long, to: center)
            let node = try client.node(center)
            try await withThrowingTaskGroup(of: Void.self) { group in
                // Nobody knows yet how long they take.
                for number in 0..<2 { group.addTask { _ = try? await client.run("long", "x", on: center, id: "first-\(number)") } }
                try await cloud.sleep(.milliseconds(8))
                let asked = cloud.simulation.now
                let refused = await refusal {
                    _ = try await node.call(RunMethods.run, request("long", "offered", client, patience: .milliseconds(50)), options: CallOptions(maxAttempts: 1))
                }
                #expect(refused == .overloaded)
                #expect((50...60).contains((cloud.simulation.now - asked).milliseconds))
                try await group.waitForAll()
            }
            #expect(cloud.engine.runs.load(ordering: .relaxed) == 2)
        }
    }

    @Test func `whoever asks again without patience keeps the place that the first call had`() throws {
        try withCenter { cloud, client, center in
            let node = try client.node(center)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<2 { group.addTask { _ = try? await client.run("long", "x", on: center, id: "heavy-\(number)") } }
                try await cloud.sleep(.milliseconds(20))
                async let first = node.call(RunMethods.run, request("upper", "one", client, patience: .seconds(1)))
                try await cloud.sleep(.milliseconds(100))
                async let second = node.call(RunMethods.run, request("upper", "one", client, patience: nil))
                #expect(try await first == second)
                try await group.waitForAll()
            }
        }
    }

    // MARK: Runs that nobody asks after

    /// Runs of eight seconds of a client that is killed when they have begun, on both threads, and beside them another
    /// client's, which gives a sign of life as a client does that waits. Returns how long that one waited.
    private func waitBesideKilled(othersWait: Bool) throws -> (wait: Interval, executed: Int) {
        var runs = RunConfiguration()
        runs.silenceThatEnds = .seconds(4)
        let cloud = try SmallCloud(stations: 0, runs: runs)
        let figures = Mutex<(Interval, Int)>((.zero, 0))
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            for (name, module) in [("ages", Array("ages".utf8)), ("upper", upper)] { _ = try await client.push(name, module, to: center) }
            _ = try await client.run("upper", "compiled", on: center, id: "upper")
            let killed = cloud.client(try await cloud.user("ada", asked: client, at: center), port: 51)
            _ = try await killed.attach()
            cloud.engine.runs.store(0, ordering: .relaxed)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for number in 0..<2 { group.addTask { _ = try? await killed.run("ages", "x", on: center, id: "unwanted-\(number)") } }
                while cloud.engine.runs.load(ordering: .relaxed) < 2 { try await cloud.sleep(.milliseconds(1)) }
                cloud.network.unplug(port: 51)
                let node = try client.node(center)
                group.addTask {
                    while !Task.isCancelled {
                        if let handle = node.connection?.handle { client.host.withEndpoint { endpoint, now in endpoint.ping(handle, at: now) } }
                        try await cloud.sleep(.milliseconds(500))
                    }
                }
                if !othersWait { try await cloud.sleep(.milliseconds(7_990)) }
                let asked = cloud.simulation.now
                _ = try await client.run("upper", "wanted", on: center, id: "wanted")
                let waited = cloud.simulation.now - asked
                figures.withLock { $0 = (waited, cloud.engine.runs.load(ordering: .relaxed)) }
                group.cancelAll()
            }
        }
        return figures.withLock { $0 }
    }

    @Test func `runs that execute for a killed client end when it was silent for long and others wait`() throws {
        let (wait, executed) = try waitBesideKilled(othersWait: true)
        // The bound, and a look now and then.
        #expect(wait >= .seconds(4) && wait < .milliseconds(4_600), "\(wait)")
        #expect(executed == 3)
    }

    @Test func `they go on while nobody waits`() throws {
        #expect(try waitBesideKilled(othersWait: false).wait < .milliseconds(20))
    }

    @Test func `waiting for a replica and for the compiler is waiting`() throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            // Three tenths of a second of a compiler.
            _ = try await client.push("upper", upper + [UInt8](repeating: 7, count: 300_000), to: center)
            let (station, _) = try await cloud.station(0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try? await station.run() }
                _ = try await client.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                let candidate = try await client.lookup("upper").candidates[0]
                let asked = cloud.simulation.now
                let result = try await client.run("upper", "x", on: candidate, id: "cold")
                let waited = cloud.simulation.now - asked
                #expect(result.queueMicroseconds >= 300_000)
                // All that it took, but for the handshake and the way.
                #expect(waited - .microseconds(result.queueMicroseconds + result.executionMicroseconds) < .milliseconds(20))
                #expect(try await client.run("upper", "x", on: candidate, id: "warm").queueMicroseconds == 0)
                group.cancelAll()
            }
        }
    }

    // MARK: Among nodes

    private func withClients(
        _ cloud: SmallCloud, _ count: Int, _ body: @Sendable @escaping (SmallCloud, [CloudClient]) async throws -> Void
    ) async throws {
        try await withThrowingTaskGroup(of: Void.self) { nodes in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            for (name, module) in [("long", long), ("upper", upper)] { _ = try await client.push(name, module, to: center) }
            for number in 0..<2 {
                let (station, _) = try await cloud.station(number)
                nodes.addTask { try? await station.run() }
            }
            _ = try await client.wait { $0.nodes.count { $0.role == .station && $0.replicas.count == 2 } == 2 }
            var clients: [CloudClient] = []
            for number in 0..<count {
                let profile = try await cloud.user("user-\(number)", asked: client, at: center)
                let host = cloud.network.host(profile.identity, port: UInt16(60 + number))
                let wire = RPCWire(host: host, communicationServer: profile.communicationServer, key: profile.communicationServerKey)
                clients.append(CloudClient(wire: wire, profile: profile, pool: MemoryPool(), entropy: SeededGenerator(seed: UInt64(number))))
            }
            for client in clients { nodes.addTask { try? await client.whileListening { _ in try await cloud.sleep(.seconds(250)) } } }
            try await body(cloud, clients)
            nodes.cancelAll()
        }
    }

    private func served(_ outcomes: [RunOutcome]) -> [String: Int] {
        outcomes.reduce(into: [:]) { $0[$1.servedBy?.name ?? "", default: 0] += 1 }
    }

    @Test func `four clients that start together do not all choose the same station`() throws {
        let cloud = try SmallCloud(stations: 2)
        try cloud.whileServing { cloud in
            try await withClients(cloud, 4) { cloud, clients in
                let outcomes = try await withThrowingTaskGroup(of: RunOutcome.self) { group in
                    for client in clients { group.addTask { try await client.run("long", input: [97]) } }
                    return try await group.reduce(into: []) { $0.append($1) }
                }
                #expect(served(outcomes) == ["station-0": 2, "station-1": 2])
                #expect(outcomes.allSatisfy { $0.queueMicroseconds / 1_000 < 100 })
            }
        }
    }

    @Test func `sixty-four runs of one user use all nodes, and another's warm client hardly waits`() throws {
        let cloud = try SmallCloud(stations: 2)
        try cloud.whileServing { cloud in
            try await withClients(cloud, 2) { cloud, clients in
                let (heavy, light) = (clients[0], clients[1])
                _ = try await light.run("upper", input: [97])
                _ = try await heavy.run("long", input: [97])
                let began = cloud.simulation.now
                let (waits, outcomes) = try await withThrowingTaskGroup(of: RunOutcome.self) { group in
                    for _ in 0..<64 { group.addTask { try await heavy.run("long", input: [97], options: RunOptions(timeout: .seconds(120))) } }
                    try await cloud.sleep(.milliseconds(500))
                    var waits: [Int64] = []
                    while waits.count < 20 {
                        waits.append(try await light.run("upper", input: [97]).timeline.duration.milliseconds)
                        try await cloud.sleep(.milliseconds(50))
                    }
                    return (waits, try await group.reduce(into: [RunOutcome]()) { $0.append($1) })
                }
                // Six threads for sixty-four seconds: eleven, if none is ever idle.
                let took = cloud.simulation.now - began
                #expect(took < .milliseconds(14_000), "\(took)")
                #expect(served(outcomes).values.allSatisfy { $0 >= 16 } && served(outcomes).count == 3, "\(served(outcomes))")
                // One run of another at a time; twice that where a node has yet to compile the application, which takes a turn too.
                #expect(waits.allSatisfy { $0 <= 2_000 } && waits.count { $0 > 1_100 } <= 1, "\(waits)")
                #expect(outcomes.allSatisfy { $0.attempts <= 4 })
            }
        }
    }
}
