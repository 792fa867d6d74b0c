import MastRPC
import MastTimebase
import MastTransport
import MastUDPDriver
import Synchronization
import Testing

#if os(Linux)
/// One host on several cores: what its peers see is one.
@Suite(.timeLimit(.minutes(20))) struct ShardTests {
    private static let say = Unary<String, String>("test.v1.Echo/say", .readOnly)
    private static let server = RPCServer { say.handle { $0 } }
    private static let options = CallOptions(deadline: .in(.seconds(60)))

    private static func withServer(cores: Int, _ body: @Sendable @escaping (RPCHost) async throws -> Void) async throws {
        try await withUDPHost(bind: .loopback(port: 0), cores: cores) { host in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await host.serve(server) }
                try await body(host)
                group.cancelAll()
            }
        }
    }

    @Test func connectionsLandOnEveryCoreAndCallsSucceed() async throws {
        try await Self.withServer(cores: 2) { server in
            #expect(server.shards.count == 2)
            try await withThrowingTaskGroup(of: String.self) { group in
                for number in 0..<20 {
                    group.addTask {
                        try await withUDPHost(bind: .loopback(port: 0)) { host in
                            let client = host.client(to: server.localAddress, peerKey: server.publicKey)
                            for round in 0..<5 { _ = try await client.call(Self.say, "\(number) \(round)", options: Self.options) }
                            return try await client.call(Self.say, "\(number)", options: Self.options)
                        }
                    }
                }
                let answers = try await group.reduce(into: []) { $0.append($1) }
                #expect(Set(answers) == Set((0..<20).map(String.init)))
            }
            // By ephemeral keys: one in half a million runs has all on one side.
            let served = server.shards.map { $0.ownStatistics.served }
            #expect(served.allSatisfy { $0 > 0 } && served.reduce(0, +) == 120, "\(served)")
            #expect(server.statistics.served == 120)
        }
    }

    @Test(arguments: [1, 2, 3]) func aClientWhoseAddressChangesStaysWithItsCore(cores: Int) async throws {
        try await Self.withServer(cores: cores) { server in
            // Each at another address, so that hashing addresses would send some of them to another core.
            for _ in 0..<4 {
                try await RebindingRelay.with(server.localAddress) { address, rebind in
                    try await withUDPHost(bind: .loopback(port: 0)) { host in
                        let client = host.client(to: address, peerKey: server.publicKey)
                        #expect(try await client.call(Self.say, "before", options: Self.options) == "before")
                        let before = host.statistics
                        for _ in 0..<4 {
                            try await rebind()
                            #expect(try await client.call(Self.say, "after", options: Self.options) == "after")
                        }
                        // One connection all the time.
                        #expect(host.statistics.connections == 1 && host.statistics.retries == before.retries)
                    }
                }
            }
            #expect(server.statistics.served == 20)
            #expect(server.statistics.connections <= 4)
        }
    }

    @Test func aServersKeyCanBeAskedOfAnyCore() async throws {
        try await Self.withServer(cores: 2) { server in
            for _ in 0..<8 {
                let key = try await withUDPHost(bind: .loopback(port: 0)) { try await $0.peerKey(of: server.localAddress, within: .seconds(60)) }
                #expect(key == server.publicKey)
            }
        }
    }

    /// Its socket shares a port with its own kind alone.
    @Test func anOccupiedPortIsAClearErrorForSeveralCoresToo() async throws {
        try await Self.withServer(cores: 2) { server in
            for cores in [1, 2] {
                _ = await #expect(throws: UDPDriverError.self) { try await withUDPHost(bind: server.localAddress, cores: cores) { _ in 0 } }
            }
        }
    }

    @Test func aHostOfSeveralCoresDialsAndCloses() async throws {
        try await Self.withServer(cores: 2) { server in
            try await withUDPHost(bind: .loopback(port: 0), cores: 2) { host in
                let key = try await host.peerKey(of: server.localAddress, within: .seconds(60))
                let client = host.client(to: server.localAddress, peerKey: key)
                #expect(try await client.call(Self.say, "dialled", options: Self.options) == "dialled")
                #expect(server.connections.count == 1 && host.connections.count == 1)
            }
            // The close was heard, on whichever core.
            for _ in 0..<500 where !server.connections.isEmpty { try await server.sleep(for: .milliseconds(10)) }
            #expect(server.connections.isEmpty)
        }
    }

    @Test func drainingEndsAllCores() async throws {
        try await withUDPHost(bind: .loopback(port: 0), cores: 2) { server in
            async let serving: Void = server.serve(Self.server)
            try await withUDPHost(bind: .loopback(port: 0)) { host in
                let client = host.client(to: server.localAddress, peerKey: server.publicKey)
                // Serving begins in a task of its own, on one core after the other.
                for attempt in 0..<1_000 {
                    do {
                        _ = try await client.call(Self.say, "", options: Self.options)
                        break
                    } catch let error as RPCError where error.code == .unavailable && attempt < 999 {
                        try await host.sleep(for: .milliseconds(10))
                    }
                }
            }
            await server.drain(grace: .seconds(10))
            try await serving
        }
    }
}
#endif
