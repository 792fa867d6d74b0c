import MastRPC
import MastTimebase
import MastTransport
import MastUDPDriver
import Testing

private enum Echo {
    static let say = Unary<String, String>("echo.v1.Echo/say", .readOnly)
    static let count = ServerStream<Int, Int>("echo.v1.Echo/count", .readOnly)
    static let bytes = Unary<ByteString, ByteString>("echo.v1.Echo/bytes", .idempotent)

    static let server = RPCServer {
        say.handle { $0 }
        bytes.handle { $0 }
        count.handle { limit, writer in
            for number in 0..<limit { try await writer.send(number) }
        }
    }
}

@Suite struct LoopbackTests {
    @Test(arguments: [NetworkAddress.loopback(port: 0), NetworkAddress(high: 0, low: 1, port: 0)])
    func callsCrossRealSockets(bind: NetworkAddress) async throws {
        try await withEchoServer(bind: bind) { server, client in
            for index in 0..<200 {
                let answer = try await client.call(Echo.say, "call \(index)")
                #expect(answer == "call \(index)")
            }
            let large = ByteString((0..<1_000_000).map { UInt8(truncatingIfNeeded: $0 &* 13) })
            let same = try await client.call(Echo.bytes, large) == large
            #expect(same)
            let sum = try await client.stream(Echo.count, 500) { numbers in
                var sum = 0
                for try await number in numbers { sum += number }
                return sum
            }
            #expect(sum == 500 * 499 / 2)
        }
    }

    @Test func aHundredCallsAtOnce() async throws {
        try await withEchoServer { server, client in
            let answers = try await withThrowingTaskGroup(of: String.self) { group in
                for index in 0..<100 { group.addTask { try await client.call(Echo.say, "\(index)") } }
                return try await group.reduce(into: []) { $0.append($1) }
            }
            #expect(answers.sorted() == (0..<100).map(String.init).sorted())
        }
    }

    @Test func anOccupiedPortIsAClearError() async throws {
        try await withUDPHost(bind: .loopback(port: 0)) { first in
            _ = await #expect(throws: UDPDriverError.self) {
                _ = try await withUDPHost(bind: first.localAddress) { _ in 0 }
            }
        }
    }

    @Test func aServersKeyCanBeAskedFor() async throws {
        try await withEchoServer { server, _ in
            try await withUDPHost(bind: .loopback(port: 0)) { other in
                let key = try await other.peerKey(of: server.localAddress)
                #expect(key == server.publicKey)
            }
        }
    }
}

private func withEchoServer(
    bind: NetworkAddress = .loopback(port: 0), _ body: @escaping @Sendable (RPCHost, RPCClient) async throws -> Void
) async throws {
    try await withUDPHost(bind: bind) { server in
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.serve(Echo.server) }
            try await withUDPHost(bind: bind) { host in
                let client = host.client(to: server.localAddress, peerKey: server.publicKey)
                // The server's task may not have begun to serve; a call that comes too early is refused without effect.
                for _ in 0..<500 {
                    if (try? await client.call(Echo.say, "ready?")) != nil { break }
                    try await host.sleep(for: .milliseconds(10))
                }
                try await body(server, client)
            }
            group.cancelAll()
        }
    }
}
