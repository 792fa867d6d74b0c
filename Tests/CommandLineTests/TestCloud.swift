import Foundation
import Testing

/// A communication server, a center and two stations as processes, with an application, on one machine.
final class TestCloud {
    enum Role: CaseIterable, Sendable { case commserver, center, stationA, stationB }

    let program: Program
    /// The operator's.
    let profile: String
    let address: String
    let serverKey: String
    private(set) var servers: [Role: Server] = [:]
    /// Its own client's and its nodes' ways to the communication server, when they are recorded.
    private(set) var relays: [Server] = []

    static func hasEngine() async throws -> Bool {
        let program = try Program()
        defer { program.remove() }
        return try await program.run("doctor").status == 0
    }

    /// - Parameter recorded: two relays stand before the communication server, `client.pcap` and `nodes.pcap` hold what they carry.
    init(recorded: Bool = false) async throws {
        program = try Program()
        serverKey = try #require(try await program.run("commserver", "init", "--dir", program.path("commserver"), "--json").object()["key"] as? String)
        // The address goes into profiles and tokens, so a port is needed before the server runs.
        let probe = try await Server(program, ["echo", "--listen", "0"])
        address = probe.address
        #expect(await probe.stop() == 0)
        var (clientWay, nodeWay) = (address, address)
        if recorded {
            for name in ["client", "nodes"] {
                relays.append(try await Server(program, ["link", "relay", "--target", address, "--record", program.path(name + ".pcap")]))
            }
            (clientWay, nodeWay) = (relays[0].address, relays[1].address)
        }
        let made = try await program.run(
            "center", "init", "--dir", program.path("center"), "--commserver", nodeWay, "--commserver-key", serverKey, "--tokens", "2", "--json"
        ).object()
        profile = try #require(made["profile"] as? String)
        if recorded {
            let file = URL(fileURLWithPath: profile)
            let text = String(decoding: try Data(contentsOf: file), as: UTF8.self)
            try #require(text.contains(nodeWay))
            try Data(text.replacingOccurrences(of: nodeWay, with: clientWay).utf8).write(to: file)
        }
        let tokens = try #require(made["joinTokens"] as? [String])
        servers[.commserver] = try await Server(
            program, ["commserver", "--dir", program.path("commserver"), "--listen", address, "--root", try #require(made["rootKey"] as? String)])
        try await start(.center)
        for (role, token) in zip([Role.stationA, .stationB], tokens) {
            servers[role] = try await Server(program, ["station", "--dir", program.path("\(role)"), "--name", "\(role)", "--join", token, "--listen", "127.0.0.1:0"])
        }
        let pushed = try await program.run("app", "push", "--sample", "textsearch", "--profile", profile)
        #expect(pushed.status == 0, "\(pushed.errors)")
        try await waitForReplicas()
    }

    /// Each role needs nothing but its folder.
    func start(_ role: Role) async throws {
        let folder = program.path("\(role)")
        servers[role] = switch role {
        case .commserver: try await Server(program, ["commserver", "--dir", folder, "--listen", address])
        case .center: try await Server(program, ["center", "--dir", folder, "--listen", "127.0.0.1:0"])
        case .stationA, .stationB: try await Server(program, ["station", "--dir", folder, "--listen", "127.0.0.1:0"])
        }
    }

    func kill(_ role: Role) async { #expect(await servers[role]?.stop(SIGKILL) == -SIGKILL) }

    func status() async throws -> [String: Any] { try await program.run("status", "--profile", profile, "--json").object() }

    /// Stations fetch what the center releases by themselves.
    func waitForReplicas() async throws {
        let end = Date(timeIntervalSinceNow: 60)
        while Date() < end {
            let nodes = (try? await status())?["nodes"] as? [[String: Any]] ?? []
            let holding = nodes.filter { $0["up"] as? Bool == true && $0["role"] as? String == "station" && ($0["replicas"] as? [String])?.count == 1 }
            if holding.count == 2, nodes.count(where: { $0["up"] as? Bool == true }) == 3 { return }
            // What may change comes with a heartbeat; a server that ends is not waited for.
            for role in Role.allCases {
                guard let ending = await servers[role]?.child.ending(within: .milliseconds(50)) else { continue }
                Issue.record("\(role) \(ending) while its replicas were waited for")
                return
            }
        }
        Issue.record("the stations have no replicas after 60 s: \((try? await status()) ?? [:])")
    }

    /// In order, the relays last, so that their recordings are whole.
    func stop() async {
        for role in [Role.stationA, .stationB, .center, .commserver] { #expect(await servers[role]?.stop() == 0) }
        for relay in relays { #expect(await relay.stop() == 0) }
        program.remove()
    }

    /// An input for textsearch, and what it must answer.
    static func search(_ lines: [String], for pattern: String) -> (input: String, answer: String) {
        let found = lines.enumerated().filter { $0.element.contains(pattern) }
        return (
            "-F \(pattern)\n" + lines.map { $0 + "\n" }.joined(),
            found.map { "\($0.offset + 1):\($0.element)\n" }.joined() + "# \(found.count) of \(lines.count) lines match\n"
        )
    }
}
