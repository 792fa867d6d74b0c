import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import Synchronization
import Testing

/// The real client against the real nodes, in virtual time.
@Suite struct ClientFailoverTests {
    private let upper = Array("uppr".utf8) + [UInt8](repeating: 7, count: 300_000)

    private func withClient(
        _ cloud: SmallCloud, port: UInt16 = 60, pool: any ResultPool = MemoryPool(), _ body: (CloudClient) async throws -> Void
    ) async throws {
        let host = cloud.network.host(cloud.operatorProfile.identity, port: port)
        let wire = RPCWire(
            host: host, communicationServer: cloud.operatorProfile.communicationServer,
            key: cloud.operatorProfile.communicationServerKey)
        let client = CloudClient(
            wire: wire, profile: cloud.operatorProfile, pool: pool, entropy: SeededGenerator(seed: 3))
        try await client.whileListening(body)
    }

    /// Waits until a run is served by whom it should be; a test that waits in vain fails at its limit of virtual time.
    private func settle(_ client: CloudClient, _ cloud: SmallCloud, stations: Int) async throws {
        while true {
            let nodes = try await client.status().nodes
            if nodes.count(where: { $0.role == .station && $0.isUp && !$0.replicas.isEmpty }) == stations { return }
            try await cloud.sleep(.milliseconds(20))
        }
    }

    @Test func `applications are pushed, listed, run and removed by the client`() throws {
        let cloud = try SmallCloud(stations: 0)
        try cloud.whileServing { cloud in
            try await withClient(cloud) { client in
                let sizes = Mutex<[Int]>([])
                let pushed = try await client.pushApplication(upper, name: "upper") { size in sizes.withLock { $0.append(size) } }
                #expect(pushed.application.digest == ContentDigest(of: upper))
                #expect(sizes.withLock { $0.last } == upper.count)
                #expect(try await client.listApplications().applications.map(\.name) == ["upper"])
                let outcome = try await client.run("upper", input: Array("hello".utf8))
                #expect(outcome.output == Array("HELLO".utf8) && outcome.servedBy?.role == .center)
                #expect(try await client.centerStatus().applications.count == 1)
                #expect(try await client.addUser("ada").userName == "ada")
                #expect(try await client.removeApplication("upper").applications.isEmpty)
                await #expect { try await client.run("upper", input: []) } throws: { error in
                    (error as? RunError)?.kind == .unknownApplication
                }
            }
        }
    }

    @Test func `killed stations lead to the sibling and the center, and a restarted one brings the runs back`() throws {
        let cloud = try SmallCloud(stations: 2)
        let stores = StationStores.inMemory()
        try cloud.whileServing { cloud in
            try await withClient(cloud) { client in
                _ = try await client.pushApplication(upper, name: "upper")
                let (a, portA) = try await cloud.station(0, stores: stores)
                let (b, portB) = try await cloud.station(1)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try? await a.run() }
                    group.addTask { try? await b.run() }
                    try await settle(client, cloud, stations: 2)
                    func run() async throws -> RunOutcome { try await client.run("upper", input: Array("x".utf8)) }

                    let first = try await run()
                    #expect(first.servedBy?.role == .station && first.attempts == 1)
                    let warm = try await run()
                    #expect(warm.timeline.duration < .milliseconds(200))

                    cloud.network.unplug(port: first.servedBy?.name == "station-0" ? portA : portB)
                    let second = try await run()
                    #expect(second.servedBy?.role == .station && second.servedBy != first.servedBy, "\(second.timeline)")
                    #expect(second.timeline.duration < .seconds(2), "\(second.timeline)")

                    cloud.network.unplug(port: portA)
                    cloud.network.unplug(port: portB)
                    let third = try await run()
                    #expect(third.servedBy?.role == .center, "\(third.timeline)")

                    let (again, _) = try await cloud.station(0, stores: stores)
                    group.addTask { try? await again.run() }
                    while try await run().servedBy?.name != "station-0" {
                        try await cloud.sleep(.milliseconds(50))
                    }
                    let back = try await run()
                    #expect(back.servedBy?.name == "station-0" && back.attempts == 1, "\(back.timeline)")
                    #expect(client.statistics.failed == 0 && client.statistics.duplicates == 0)
                    group.cancelAll()
                }
            }
        }
    }

    @Test func `many runs under way when a station is killed all get their one answer`() throws {
        let cloud = try SmallCloud(stations: 2)
        try cloud.whileServing { cloud in
            let pool = MemoryPool()
            try await withClient(cloud, pool: pool) { client in
                _ = try await client.pushApplication(upper, name: "upper")
                let (a, portA) = try await cloud.station(0)
                let (b, portB) = try await cloud.station(1)
                try await withThrowingTaskGroup(of: Void.self) { nodes in
                    nodes.addTask { try? await a.run() }
                    nodes.addTask { try? await b.run() }
                    try await settle(client, cloud, stations: 2)
                    let first = try await client.run("upper", input: Array("warm".utf8))
                    let victim = first.servedBy?.name == "station-0" ? portA : portB
                    let right = try await withThrowingTaskGroup(of: Bool.self) { group in
                        for number in 0..<200 {
                            group.addTask {
                                let outcome = try await client.run(
                                    "upper", input: Array("run \(number)".utf8), options: RunOptions(runID: RunID(rawValue: "r\(number)")))
                                return outcome.output == Array("RUN \(number)".utf8)
                            }
                            if number == 100 { cloud.network.unplug(port: victim) }
                            try await cloud.sleep(.milliseconds(2))
                        }
                        return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                    }
                    #expect(right == 200)
                    let statistics = try pool.statistics()
                    #expect(statistics.committed == 201 && statistics.duplicateSame == 0 && statistics.divergent == 0)
                    nodes.cancelAll()
                }
            }
        }
    }

    @Test func `a killed communication server that comes back loses and doubles no run`() throws {
        let cloud = try SmallCloud(stations: 1)
        let pool = MemoryPool()
        try cloud.run { cloud in
            try await withThrowingTaskGroup(of: Void.self) { nodes in
                nodes.addTask { try? await cloud.server.run() }
                try await cloud.startCenter(in: &nodes)
                try await withClient(cloud, pool: pool) { client in
                    _ = try await client.pushApplication(upper, name: "upper")
                    let (station, _) = try await cloud.station(0)
                    nodes.addTask { try? await station.run() }
                    try await settle(client, cloud, stations: 1)
                    let right = try await withThrowingTaskGroup(of: Bool.self) { group in
                        for number in 0..<150 {
                            group.addTask {
                                let outcome = try await client.run("upper", input: Array("run \(number)".utf8))
                                return outcome.output == Array("RUN \(number)".utf8)
                            }
                            if number == 50 {
                                let again = cloud.restartedServer()
                                nodes.addTask { try? await again.run() }
                            }
                            try await cloud.sleep(.milliseconds(4))
                        }
                        return try await group.reduce(0) { $0 + ($1 ? 1 : 0) }
                    }
                    #expect(right == 150)
                    #expect(client.statistics.failed == 0 && client.statistics.duplicates == 0, "\(client.statistics)")
                    #expect(try await client.run("upper", input: []).timeline.duration < .milliseconds(500))
                }
                nodes.cancelAll()
            }
        }
    }
}
