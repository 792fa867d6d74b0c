import Foundation
import MastCalls
import MastCloudCore
import Testing

/// Whoever is asked may answer with a text that a terminal would obey.
@Suite struct HostileTextTests {
    /// Clears the screen, sets the title, colours by a C1 sequence, turns the direction, and forges a line of ours.
    static let poison = "\u{1B}[2J\u{1B}]0;owned\u{7}\u{9B}31m\u{202E}\u{2066}\u{200B}\u{2028}\r\nmast: all is well\u{0}\u{7F}"

    /// What may not reach a terminal, told apart from the program's own way of telling.
    private func expectHarmless(_ text: String, _ location: SourceLocation = #_sourceLocation) {
        for scalar in text.unicodeScalars where scalar != "\n" {
            let isBad = scalar.value < 0x20 || (0x7F...0x9F).contains(scalar.value) || (0x200B...0x200F).contains(scalar.value)
                || (0x2028...0x202E).contains(scalar.value) || (0x2060...0x206F).contains(scalar.value) || scalar.value == 0xFEFF
            #expect(!isBad, "U+\(String(scalar.value, radix: 16)) in \(text.debugDescription.prefix(300))", sourceLocation: location)
            if isBad { return }
        }
        #expect(!text.split(separator: "\n").contains { $0.hasPrefix("mast: all is well") }, sourceLocation: location)
    }

    private func expectHarmless(_ result: Program.Result, longest: Int = 40_000, _ location: SourceLocation = #_sourceLocation) {
        expectHarmless(result.output, location)
        expectHarmless(result.errors, location)
        #expect(result.output.count + result.errors.count <= longest, sourceLocation: location)
    }

    private struct Answer: Codable, Sendable {
        var text: String
        enum CodingKeys: String, CodingKey { case text = "te\u{1B}[31m\u{202E}xt" }
    }

    private enum Evil: RPCService {
        static let say = Unary<Nothing, Answer>("evil.v1.Evil/say", .readOnly)
        static let fail = Unary<Nothing, Nothing>("evil.v1.Evil/fail", .readOnly)
        static let named = Unary<Nothing, Nothing>("evil.v1.\(HostileTextTests.poison)/\(String(repeating: "x", count: 50_000))", .readOnly)
    }

    private func serving(_ server: RPCServer, identity: StaticKeyPair? = nil, _ body: @Sendable @escaping (RPCHost) async throws -> Void) async throws {
        try await withUDPHost(bind: .loopback(port: 0), identity: identity) { host in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await host.serve(server) }
                group.addTask { try await body(host) }
                try await group.next()
                group.cancelAll()
            }
        }
    }

    /// The servers of these tests live in this process, beside all other tests, and may get no thread for a long time: whoever
    /// got no answer asks again.
    private func answered(_ program: Program, _ arguments: [String]) async throws -> Program.Result {
        for _ in 0..<20 {
            let result = try await program.run(arguments, within: 300)
            if result.status != 104 && result.status != 114 && !(result.status == 69 && result.output.isEmpty) { return result }
        }
        return try await program.run(arguments, within: 300)
    }

    @Test("A server's names, shapes, answers and errors come escaped and bounded; JSON says them exactly")
    func server() async throws {
        let program = try Program()
        defer { program.remove() }
        let evil = RPCServer {
            Evil.say.handle { _ in Answer(text: Self.poison) }
            Evil.fail.handle { _ in throw RPCError(.aborted, String(repeating: Self.poison, count: 1_000), effect: .none) }
            Evil.named.handle { _ in Nothing() }
        }
        try await serving(evil) { host in
            let (address, key) = (host.localAddress.description, host.publicKey.description)
            let list = try await answered(program, ["list", address, "--peer-key", key])
            #expect(list.status == 0 && list.output.contains("evil.v1.Evil/say"), "\(list.errors)")
            expectHarmless(list)

            let described = try await answered(program, ["describe", address, "evil.v1.Evil/say", "--peer-key", key])
            #expect(described.status == 0, "\(described.errors)")
            expectHarmless(described)

            let said = try await answered(program, ["call", address, "evil.v1.Evil/say", "--peer-key", key])
            #expect(said.status == 0, "\(said.errors)")
            expectHarmless(said)
            #expect(try said.object()["te\u{1B}[31m\u{202E}xt"] as? String == Self.poison)

            let failed = try await answered(program, ["call", address, "evil.v1.Evil/fail", "--peer-key", key])
            #expect(failed.status == 110)
            #expect(failed.errorLines.count == 1)
            expectHarmless(failed, longest: 8_000)
            let asJSON = try await answered(program, ["call", address, "evil.v1.Evil/fail", "--peer-key", key, "--json"])
            expectHarmless(asJSON)
            let account = try JSONSerialization.jsonObject(with: Data(asJSON.errors.utf8)) as? [String: Any]
            #expect((account?["message"] as? String)?.hasPrefix("\u{1B}[2J") == true)
        }
    }

    @Test("A communication server's names and troubles, too")
    func cloud() async throws {
        let program = try Program()
        defer { program.remove() }
        var generator = SeededGenerator(seed: 3)
        let (root, signing, nodeSigning) = (SigningKeyPair(using: &generator), SigningKeyPair(using: &generator), SigningKeyPair(using: &generator))
        let (server, user, node) = (StaticKeyPair(using: &generator), StaticKeyPair(using: &generator), StaticKeyPair(using: &generator))
        let now = WallTime(milliseconds: Int64(Date().timeIntervalSince1970 * 1_000))
        let record = try SignedRecord(
            UserRecord(
                userID: "u", name: "ada", devices: [DeviceKeys(transportKey: user.publicKey, signingKey: signing.publicKey)], grants: [Grant(role: .user)],
                quota: Quota(), serial: 1, epoch: 1, issued: now), signedBy: root)
        let issuer = try SignedRecord(
            NodeRecord(role: .station, name: "s", transportKey: node.publicKey, signingKey: nodeSigning.publicKey, addresses: [], epoch: 1, issued: now),
            signedBy: root)
        let ticket = try SignedRecord(Ticket(user: record, clientKey: user.publicKey, issuer: issuer, at: now), signedBy: nodeSigning)
        let many = String(repeating: Self.poison, count: 5_000)
        let evil = RPCServer {
            ControlMethods.attach.handle { _ in AttachReply(ticket: ticket, userName: Self.poison, ticketLife: .seconds(600), route: 7, center: nil) }
            ControlMethods.status.handle { _ in
                let health = NodeHealth(version: many, diskFreeBytes: .max, troubles: [many])
                let application = ApplicationPackage(
                    name: Self.poison, version: Self.poison, digest: ContentDigest(of: []), sizeBytes: 1, entry: "run", limits: .standard, sequence: 1, issued: now)
                return CloudStatus(
                    nodes: [.init(
                        nodeID: NodeID(rawValue: Self.poison), name: many, role: .station, isUp: true, address: many, route: 1, load: NodeLoad(), replicas: [],
                        heartbeatAgeMilliseconds: .min, roundTripMicroseconds: .max, health: health, runsTwice: true, sharesName: true, isBehind: true,
                        clockOffset: nil)],
                    applications: [ApplicationStatus(application, isNewest: true)], releaseNumber: 1, revocationNumber: 1, troubles: [many], clockOffset: nil,
                    attachedClients: 0, cachedApplications: 0, cachedBytes: 0)
            }
        }
        try await serving(evil, identity: server) { host in
            let here = HostPort(host.localAddress)
            let profile = ClientProfile(
                userName: "ada", communicationServer: here, communicationServerKey: server.publicKey,
                servers: try SignedRecord(CommunicationServers(number: 1, servers: [.init(address: here, key: server.publicKey)]), signedBy: root),
                rootKey: root.publicKey, identity: user, signing: signing, userRecord: record)
            let path = try program.write("profile.json", [UInt8](try JSONEncoder().encode(profile)))
            chmod(path, 0o600)
            // The server lives in this process, beside all other tests: it may be long in answering.
            let patiently = ["--profile", path, "-t", "4m"]
            let status = try await answered(program, ["status"] + patiently)
            #expect(status.status == 69 && status.output.contains("commserver"), "\(status.errors)")
            expectHarmless(status)
            let asJSON = try await answered(program, ["status", "--json"] + patiently)
            expectHarmless(asJSON, longest: .max)
            let object = try #require(try? asJSON.object(), "\(asJSON.status): \(asJSON.errors.prefix(400))")
            #expect((object["applications"] as? [[String: Any]])?.first?["name"] as? String == Self.poison)
        }
    }

    @Test("What a stranger calls itself stands escaped in a role's log")
    func log() async throws {
        let program = try Program()
        defer { program.remove() }
        let key = try #require(try await program.run("commserver", "init", "--dir", program.path("comm"), "--json").object()["key"] as? String)
        let probe = try await Server(program, ["echo", "--listen", "0"])
        let address = probe.address
        #expect(await probe.stop() == 0)
        let made = try await program.run("center", "init", "--dir", program.path("center"), "--commserver", address, "--commserver-key", key, "--json").object()
        let (root, tokens) = (try #require(made["rootKey"] as? String), try #require(made["joinTokens"] as? [String]))
        let server = try await Server(program, ["commserver", "--dir", program.path("comm"), "--listen", address, "--root", root])
        let center = try await Server(program, ["center", "--dir", program.path("center"), "--listen", "127.0.0.1:0"])
        let token = try JoinToken(text: tokens[0])
        try await withUDPHost { host in
            let client = host.client(at: token.communicationServer, peerKey: token.communicationServerKey)
            var generator = SeededGenerator(seed: 4)
            let request = JoinRequest(
                token: token, name: Self.poison, transportKey: host.publicKey, signingKey: SigningKeyPair(using: &generator).publicKey, addresses: [])
            await #expect(throws: RPCError.self) { try await client.call(ControlMethods.join, request, options: CallOptions(deadline: .in(.seconds(10)))) }
        }
        #expect(await center.stop() == 0)
        #expect(await server.stop() == 0)
        let logs = try FileManager.default.contentsOfDirectory(atPath: program.folder).filter { $0.hasSuffix(".log") }
            .map { String(decoding: FileManager.default.contents(atPath: program.path($0)) ?? Data(), as: UTF8.self) }.joined()
        #expect(logs.contains("station refused"))
        expectHarmless(logs)
    }

    @Test("Names and contents of captures, traces and scenarios, too")
    func files() async throws {
        let program = try Program()
        defer { program.remove() }
        let captures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../captures").standardizedFileURL.path
        let name = "ev\u{1B}[2J\u{202E}il\u{9B}31m"
        let capture = try program.write(name + ".pcapng", [UInt8](try Data(contentsOf: URL(filePath: captures + "/calls.pcapng"))))
        let trace = try program.write(name + ".trace", Array("12\n13\n\u{1B}]0;owned\u{7}\u{202E}\n".utf8))
        let scenario = try program.write(name + ".json", [UInt8](try JSONEncoder().encode(["name": Self.poison, Self.poison: "x"])))
        for arguments in [
            ["inspect", capture], ["inspect", capture, "--json"], ["inspect", capture + "\u{1B}[1m"], ["capture", "-r", capture, "--dissect"],
            ["link", "show", trace], ["link", "run", "--in", capture, "--up", trace], ["link", "show", scenario],
            ["link", "relay", "--target", "127.0.0.1:1", "--scenario", scenario], ["call", "no.\u{1B}[2Jhost:1", "a.B/c"], ["\u{1B}[2J\u{202E}"],
        ] {
            expectHarmless(try await program.run(arguments), longest: 400_000)
        }
    }
}
