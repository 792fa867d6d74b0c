import MastDatagrams
import MastRPC
import MastTimebase
import MastTransport
import MastUDPDriver
import Testing

/// Deadlines depend on no socket, and a datagram that cannot be sent is that call's alone.
@Suite(.timeLimit(.minutes(20))) struct SocketTroubleTests {
    private static let say = Unary<String, String>("test.v1.Echo/say", .readOnly)
    private static let server = RPCServer { say.handle { $0 } }

    @Test(arguments: SocketLoop.allCases) func aCallThatCannotBeSentEndsAtItsDeadline(loop: SocketLoop) async throws {
        try await withUDPHost(bind: .loopback(port: 0), loop: loop) { host in
            // Nothing can be sent to port 0: each attempt is an error of the system's.
            let client = host.client(to: .loopback(port: 0), peerKey: host.publicKey)
            let began = host.now()
            let error = await #expect(throws: RPCError.self) {
                _ = try await client.call(Self.say, "", options: CallOptions(deadline: .in(.milliseconds(300))))
            }
            #expect(error?.code == .deadlineExceeded && error?.cause == .unreachable)
            #expect(host.now() - began >= .milliseconds(300))
            let pinged = await #expect(throws: RPCError.self) { _ = try await client.ping(within: .milliseconds(100)) }
            #expect(pinged?.cause == .unreachable)
        }
    }

    @Test(arguments: SocketLoop.allCases) func aHostThatCannotReachOnePeerServesTheOthers(loop: SocketLoop) async throws {
        try await withUDPHost(bind: .loopback(port: 0), loop: loop) { server in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await server.serve(Self.server) }
                let lost = server.client(to: .loopback(port: 0), peerKey: server.publicKey)
                _ = try? await lost.ping(within: .milliseconds(50))
                let answer = try await withUDPHost(bind: .loopback(port: 0)) { host in
                    try await host.client(to: server.localAddress, peerKey: server.publicKey).call(Self.say, "still here", options: CallOptions(deadline: .in(.seconds(20))))
                }
                #expect(answer == "still here")
                group.cancelAll()
            }
        }
    }

    /// The system's own word on why, not only that it took too long.
    @Test func aRefusedPortIsNamed() async throws {
        let closed = try await withUDPHost(bind: .loopback(port: 0)) { $0.localAddress }
        try await withUDPHost(bind: .loopback(port: 0)) { host in
            let error = await #expect(throws: RPCError.self) {
                _ = try await host.client(to: closed, peerKey: host.publicKey).call(Self.say, "", options: CallOptions(deadline: .in(.milliseconds(200))))
            }
            #expect(error?.message.contains(PathHint.connectionRefused.description) == true, "\(error?.message ?? "")")
        }
    }

    /// `localhost` is ::1 first on most systems, and a server that listens on 127.0.0.1 is not there.
    @Test func aNameWithAnAddressThatRefusesReachesTheOther() async throws {
        try await withUDPHost(bind: .loopback(port: 0)) { server in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await server.serve(Self.server) }
                let answer = try await withUDPHost { host in
                    let key = try await host.peerKey(of: "localhost:\(server.localAddress.port)")
                    return try await host.client(to: "localhost:\(server.localAddress.port)", peerKey: key)
                        .call(Self.say, "by name", options: CallOptions(deadline: .in(.seconds(20))))
                }
                #expect(answer == "by name")
                group.cancelAll()
            }
        }
    }

    @Test func aNameThatIsNobodysIsSaid() async throws {
        try await withUDPHost { host in
            let error = await #expect(throws: RPCError.self) { _ = try await host.peerKey(of: "no-such-host.invalid:4600", within: .seconds(30)) }
            #expect(error?.message.contains("no-such-host.invalid") == true)
        }
    }
}
