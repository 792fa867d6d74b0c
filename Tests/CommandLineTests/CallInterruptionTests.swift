import Foundation
import Testing

/// Ctrl-C in a call is a cancelled call: the server hears of it at once, and nothing more is said.
@Suite struct CallInterruptionTests {
    @Test(.timeLimit(.minutes(20)), arguments: [SIGINT, SIGTERM]) func theServerHearsOfIt(signal: Int32) async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let call = try program.begin(["call", server.address, "echo.v1.Echo/wait", "--peer-key", server.key, "-d", #"{"milliseconds":600000}"#, "-t", "1h"])
        // Its own question's connection is one of them.
        try await connections(at: server, program, become: 2)
        call.child.send(signal)
        let result = try await call.result(within: 20)
        #expect(result.status == 128 + signal)
        #expect(result.output == "" && result.errors == "")
        // Long before the connection would be found idle.
        try await connections(at: server, program, become: 1)
        #expect(await server.stop() == 0)
    }

    private func connections(at server: Server, _ program: Program, become count: Int) async throws {
        let end = Date(timeIntervalSinceNow: 15)
        var seen: Int?
        while Date() < end, seen != count {
            let answer = try await program.run("call", server.address, "mast.v1.Health/datagrams", "--peer-key", server.key).object()
            seen = answer["connections"] as? Int
        }
        #expect(seen == count)
    }
}
