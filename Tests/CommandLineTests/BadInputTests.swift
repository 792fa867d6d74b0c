import Foundation
import Testing

@Suite struct BadInputTests {
    @Test(arguments: [
        ["no-such-command"], ["call", "127.0.0.1:1"], ["ping"], ["ping", "127.0.0.1:1", "-i", "fast"],
        ["call", "127.0.0.1:1", "NoMethod"], ["call", "127.0.0.1:1", "a.B/c", "-H", "novalue"], ["inspect"],
        ["capture"], ["capture", "-i", "lo", "--list"], ["capture", "-i", "lo", "--ring", "3x1MB"], ["capture", "-r", "x", "--snaplen", "0"],
        ["link", "relay", "--target", "127.0.0.1:1", "--up-rate", "1mbit", "--up", "x"], ["echo", "--listen", "nowhere"],
        ["run"], ["app", "push"], ["station"],
    ])
    func wrongUsageEndsWith64AndOneLine(_ arguments: [String]) async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run(arguments)
        #expect(result.status == 64)
        #expect(result.output.isEmpty)
        #expect(result.errorLines.count == 1)
        #expect(result.errors.hasPrefix("mast: "))
    }

    /// One key in 64 does.
    @Test func aKeyMayBeginWithADash() async throws {
        let program = try Program()
        defer { program.remove() }
        let key = "-LD327-Yq0lxTqBLghQYLrmq-KAilTfczbgjUnzicRU"
        let made = try await program.run("center", "init", "--dir", program.path("center"), "--commserver", "127.0.0.1:1", "--commserver-key", key)
        #expect(made.status == 0, "\(made.errors)")
        #expect(try await program.run("ping", "127.0.0.1:1", "--peer-key", key, "-c", "1", "-t", "200ms").status == 69)
        let rooted = try await program.run("commserver", "--dir", program.path("commserver"), "--listen", "192.0.2.1:1", "--root", key)
        #expect(rooted.status == 69, "\(rooted.errors)")
    }

    @Test func helpListsTheCommandsAndTheExitCodes() async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run("--help")
        #expect(result.status == 0)
        for word in ["EXIT CODES", "deadlineExceeded 104", "call", "inspect", "station", "doctor", "MAST_HOME"] { #expect(result.output.contains(word)) }
    }

    @Test func aMissingFileEndsWith66() async throws {
        let program = try Program()
        defer { program.remove() }
        for arguments in [
            ["inspect", program.path("nothing.pcap")], ["link", "fit", program.path("nothing.pcap")],
            ["link", "relay", "--target", "127.0.0.1:1", "--scenario", program.path("nothing.json")],
            ["run", "textsearch"], ["status"], ["app", "push", program.path("nothing.wasm")], ["pool", "get", "unknown-run"],
        ] {
            let result = try await program.run(arguments)
            #expect(result.status == 66, "\(arguments): \(result.errors)")
            #expect(result.errorLines.count == 1)
        }
    }

    @Test func foreignFilesEndWith65() async throws {
        let program = try Program()
        defer { program.remove() }
        let garbage = try program.write("garbage", Array("this is no capture, no scenario and no module\n".utf8))
        let empty = try program.write("empty", [])
        for arguments in [
            ["inspect", garbage], ["inspect", empty], ["link", "fit", garbage], ["app", "push", garbage],
            ["link", "relay", "--target", "127.0.0.1:1", "--scenario", garbage],
            ["link", "relay", "--target", "127.0.0.1:1", "--up", garbage],
            ["link", "relay", "--target", "127.0.0.1:1", "--up", empty],
            ["echo", "--listen", "0", "--key", garbage],
        ] {
            let result = try await program.run(arguments)
            #expect(result.status == 65, "\(arguments): \(result.errors)")
            #expect(result.errorLines.count == 1)
        }
    }

    @Test func aStoppedServerEndsWith69() async throws {
        let program = try Program()
        defer { program.remove() }
        // A port that was free a moment ago, and is again.
        let server = try await Server(program, ["echo", "--listen", "0"])
        let address = server.address
        #expect(await server.stop() == 0)
        for arguments in [
            ["list", address, "-t", "500ms"], ["ping", address, "-t", "500ms", "-c", "1"], ["call", address, "echo.v1.Echo/say", "-t", "500ms"],
            ["call", address, "echo.v1.Echo/say", "-t", "500ms", "--peer-key", server.key], ["list", "no-such-host.invalid:1", "-t", "500ms"],
        ] {
            let result = try await program.run(arguments)
            #expect(result.status == 69, "\(arguments): \(result.errors)")
            #expect(result.errorLines.count == 1)
        }
    }

    @Test func anOccupiedPortEndsWith69() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        for arguments in [["echo", "--listen", server.address], ["link", "relay", "--target", "127.0.0.1:1", "--listen", server.address]] {
            let result = try await program.run(arguments)
            #expect(result.status == 69)
            #expect(result.errorLines.count == 1)
            #expect(result.errors.contains(server.address))
        }
        #expect(await server.stop() == 0)
    }

    @Test func versionAndDoctorPrintObjects() async throws {
        let program = try Program()
        defer { program.remove() }
        #expect(try await program.run("version", "--json").object()["version"] is String)
        let doctor = try await program.run("doctor", "--json")
        let findings = try #require(try doctor.object()["findings"] as? [[String: Any]])
        #expect(Set(findings.compactMap { $0["name"] as? String }).isSuperset(of: ["libpcap", "libwasmtime", "clock", "TUN device", "receive buffer"]))
        #expect(doctor.status == (try doctor.object()["healthy"] as? Bool == true ? 0 : 69))
    }
}
