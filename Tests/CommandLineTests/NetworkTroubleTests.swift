import Foundation
import Testing

/// Networks as phones and servers have them: firewalls, missing routes, interfaces that go and come. A failed send costs the
/// datagram, and nothing else. Needs root, `ip` and `nft`.
@Suite(.enabled(if: Lan.isPossible, "network namespaces need root, ip and nft"), .serialized)
struct NetworkTroubleTests {
    private static let greeting = ["-d", #"{"text":"hello"}"#]

    private func call(_ lan: Lan, from client: String, _ address: String, _ key: String, within limit: String) async throws -> Program.Result {
        try await lan.inside(client).run(["call", address, "echo.v1.Echo/say", "--peer-key", key, "-t", limit] + Self.greeting)
    }

    private func withEcho(_ others: [String], _ body: (Lan, Server) async throws -> Void) async throws {
        let program = try Program()
        defer { program.remove() }
        let lan = try await Lan(program, ["server"] + others)
        let server = try await Server(lan.inside("server"), ["echo", "--listen", "\(lan.address("server")):4600"])
        try await body(lan, server)
        #expect(await server.stop() == 0)
    }

    @Test(.timeLimit(.minutes(20))) func aServerOutlivesDatagramsFromPortZero() async throws {
        try await withEcho(["client"]) { lan, server in
            for _ in 0..<3 { try await lan.datagramsFromPortZero(at: "client", to: server.address) }
            let answer = try await call(lan, from: "client", server.address, server.key, within: "20s")
            #expect(answer.status == 0, "\(answer.errors)")
        }
    }

    @Test(.timeLimit(.minutes(20)), arguments: Lan.Fault.allCases) func aServerServesAgainWhenItsNetworkDoes(fault: Lan.Fault) async throws {
        try await withEcho(["client"]) { lan, server in
            #expect(try await call(lan, from: "client", server.address, server.key, within: "20s").status == 0)
            try await lan.begin(fault, at: "server")
            let during = try await call(lan, from: "client", server.address, server.key, within: "1s")
            #expect(during.status == 69, "\(during.errors)")
            try await lan.end(fault, at: "server")
            let after = try await call(lan, from: "client", server.address, server.key, within: "30s")
            #expect(after.status == 0, "\(after.errors)")
        }
    }

    /// Where today's phones are when they leave a network: the answer comes at the deadline, and says why.
    @Test(.timeLimit(.minutes(20)), arguments: Lan.Fault.allCases) func aClientWithoutANetworkEndsAtItsDeadline(fault: Lan.Fault) async throws {
        try await withEcho(["client"]) { lan, server in
            try await lan.begin(fault, at: "client")
            for arguments in [["call", server.address, "echo.v1.Echo/say", "-t", "1s"], ["ping", server.address, "-c", "1", "-t", "1s"]] {
                for key in [[], ["--peer-key", server.key]] {
                    let result = try await lan.inside("client").run(arguments + key, within: 10)
                    #expect(result.status == 69, "\(arguments + key): \(result.errors)")
                }
            }
        }
    }

    /// A name with an IPv6 address first, where the server is at the IPv4 address alone.
    @Test(.timeLimit(.minutes(20)), arguments: Lan.IPv6.allCases) func aNameLeadsToTheAddressThatAnswers(ipv6: Lan.IPv6) async throws {
        try await withEcho(["client"]) { lan, server in
            try await lan.setUp(ipv6, of: "server", seenBy: "client")
            for key in [[], ["--peer-key", server.key]] {
                let arguments = ["call", "server.example:4600", "echo.v1.Echo/say", "-t", "10s"] + key + Self.greeting
                let result = try await lan.runKnowing("server.example", [lan.address6("server"), lan.address("server")], at: "client", arguments)
                #expect(result.status == 0, "\(result.errors)")
            }
        }
    }

    /// One command that lives through all of it.
    @Test(.timeLimit(.minutes(20))) func aClientGoesOnWhenItsNetworkReturns() async throws {
        try await withEcho(["client"]) { lan, server in
            let ping = try lan.inside("client").start(
                ["ping", server.address, "--peer-key", server.key, "-c", "0", "-i", "20ms", "-t", "30s"], output: .pipe)
            let lines = try #require(ping.output)
            func answered(_ count: Int) async {
                var seen = 0
                while seen < count, let line = await lines.line(within: .seconds(60)) { if line.contains("answer from") { seen += 1 } }
                #expect(seen == count)
            }
            await answered(3)
            for fault in Lan.Fault.allCases {
                try await lan.begin(fault, at: "client")
                while let line = await lines.line(within: .seconds(60)), !line.hasPrefix("no answer") {}
                try await lan.end(fault, at: "client")
                await answered(3)
            }
            ping.send(SIGINT)
            #expect(await ping.ending(within: .seconds(20))?.code == 0)
        }
    }

    @Test(.timeLimit(.minutes(20))) func oneBannedClientEndsNoRelay() async throws {
        try await withEcho(["relay", "banned", "client"]) { lan, server in
            let relay = try await Server(lan.inside("relay"), ["link", "relay", "--target", server.address, "--listen", "\(lan.address("relay")):4700"])
            #expect(try await call(lan, from: "banned", relay.address, server.key, within: "20s").status == 0)
            try await lan.ban("banned", at: "relay")
            try await lan.datagramsFromPortZero(at: "client", to: relay.address)
            #expect(try await call(lan, from: "banned", relay.address, server.key, within: "1s").status == 69)
            let other = try await call(lan, from: "client", relay.address, server.key, within: "20s")
            #expect(other.status == 0, "\(other.errors)")
            #expect(await relay.stop() == 0)
        }
    }

    /// Each role of a cloud, one after the other, under each fault: none is lost for good.
    @Test(.enabled("the wasmtime library is installed", { try await TestCloud.hasEngine() }), .timeLimit(.minutes(20)))
    func everyRoleSurvivesEachFault() async throws {
        let program = try Program()
        defer { program.remove() }
        let lan = try await Lan(program, ["commserver", "center", "station", "client"])
        let address = "\(lan.address("commserver")):4460"
        let serverKey = try #require(try await program.run("commserver", "init", "--dir", program.path("commserver"), "--json").object()["key"] as? String)
        let made = try await program.run(
            "center", "init", "--dir", program.path("center"), "--commserver", address, "--commserver-key", serverKey, "--json"
        ).object()
        let (profile, root) = (try #require(made["profile"] as? String), try #require(made["rootKey"] as? String))
        let token = try #require((made["joinTokens"] as? [String])?.first)
        let servers = [
            try await Server(lan.inside("commserver"), ["commserver", "--dir", program.path("commserver"), "--listen", address, "--root", root]),
            try await Server(lan.inside("center"), ["center", "--dir", program.path("center")]),
            try await Server(lan.inside("station"), ["station", "--dir", program.path("station"), "--name", "station", "--join", token]),
        ]
        let client = lan.inside("client")
        let pushed = try await client.run("app", "push", "--sample", "textsearch", "--profile", profile)
        #expect(pushed.status == 0, "\(pushed.errors)")
        let (input, answer) = TestCloud.search(["one", "two"], for: "one")
        let file = try program.write("input.txt", Array(input.utf8))
        for role in ["commserver", "center", "station"] {
            for fault in Lan.Fault.allCases {
                try await lan.begin(fault, at: role)
                // Long enough for each to have sent something: heartbeats go once a second.
                _ = try await client.run("status", "--profile", profile, "-t", "1s")
                try await lan.end(fault, at: role)
                try await lan.datagramsFromPortZero(at: "client", to: address)
                let run = try await client.run(["run", "textsearch", "--input", file, "--profile", profile, "--run-id", "\(role)-\(fault.rawValue)", "-t", "60s"], within: 90)
                #expect(run.status == 0 && run.output == answer, "\(role), \(fault): \(run.errors)")
            }
        }
        for server in servers.reversed() { #expect(await server.stop() == 0) }
    }
}
