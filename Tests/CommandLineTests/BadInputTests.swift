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

    @Test(arguments: [
        (["cal"], "mast call"), (["helth", "127.0.0.1"], "mast health"), (["link", "shel"], "mast link shell"), (["pool", "lst"], "mast pool ls"),
        (["inspect", "--fliter", "tcp", "x"], "'--filter'"),
    ])
    func aWordThatIsNearlyACommandIsAnsweredWithIt(_ arguments: [String], _ meant: String) async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run(arguments)
        #expect(result.status == 64 && result.errors.lowercased().contains("did you mean \(meant)?"), "\(result.errors)")
    }

    @Test func theVersionIsAFlagAndACommand() async throws {
        let program = try Program()
        defer { program.remove() }
        let (flag, command) = (try await program.run("--version"), try await program.run("version"))
        #expect(flag.status == 0 && command.status == 0)
        #expect(flag.output.hasPrefix("mast ") && command.output.hasPrefix(flag.output.trimmingCharacters(in: .whitespacesAndNewlines)))
    }

    @Test(arguments: [
        (["no-such-command"], "mast --help"), (["call"], "mast call --help"), (["ping", "--no-such-option"], "mast ping --help"),
        (["link", "relay"], "mast link relay --help"), (["link", "no-such-command"], "mast link --help"),
        (["center", "init"], "mast center init --help"), (["echo", "--grace"], "mast echo --help"), (["capture"], "mast capture --help"),
    ])
    func wrongUsageNamesTheHelpOfItsOwnCommand(_ arguments: [String], _ help: String) async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run(arguments)
        #expect(result.status == 64 && result.errors.hasSuffix("; see \(help)\n"), "\(result.errors)")
    }

    @Test(arguments: [
        ("127.0.0.1:99999", "'99999' in '127.0.0.1:99999' is no port"), ("99999", "a port is a number of 0 to 65535"), ("-1", "a port is a number of 0 to 65535"),
        ("127.0.0.1:0x10", "'0x10' in"), ("127.0.0.1:-1", "'-1' in"), ("127.0.0.1:+1", "'+1' in"), ("127.0.0.1:", "has no port"), ("127.0.0.1", "has no port"),
        ("[::1", "brackets"), (":4600", "names no host"), ("300.0.0.1:4600", "no IPv4 address"), ("[::g]:4600", "no IPv6 address"), ("localhost:4600", "is a name"),
        ("nowhere", "has no port"),
    ])
    func aBadAddressSaysWhatIsWrong(_ address: String, _ words: String) async throws {
        let program = try Program()
        defer { program.remove() }
        for arguments in [
            ["echo", "--listen=\(address)"], ["link", "relay", "--target", "127.0.0.1:1", "--listen=\(address)"],
            ["commserver", "--dir", program.path("d"), "--listen=\(address)"],
        ] {
            let result = try await program.run(arguments)
            #expect(result.status == 64 && result.errorLines.count == 1, "\(arguments): \(result.status)")
            #expect(result.errors.contains(words), "\(result.errors)")
        }
    }

    @Test(arguments: [
        ("127.0.0.1:99999", "is no port"), ("host:0x10", "is no port"), ("host:-1", "is no port"), ("host:", "has no port"), ("[::1", "brackets"),
        (":4600", "names no host"), ("1.2.3:4600", "no IPv4 address"), ("a b", "no host name"),
    ])
    func aBadHostSaysWhatIsWrong(_ host: String, _ words: String) async throws {
        let program = try Program()
        defer { program.remove() }
        let key = "-LD327-Yq0lxTqBLghQYLrmq-KAilTfczbgjUnzicRU"
        let capture = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../captures/calls.pcapng").standardizedFileURL.path
        for arguments in [
            ["center", "init", "--dir", program.path("center"), "--commserver", host, "--commserver-key", key],
            ["replay", capture, "--mode", "packets", "--send-to", host],
        ] {
            let result = try await program.run(arguments)
            #expect(result.status == 64 && result.errorLines.count == 1, "\(arguments): \(result.status)")
            // A packet's target has no port of its own accord.
            #expect(result.errors.contains(words) || arguments[0] == "replay" && result.errors.contains("has no port"), "\(result.errors)")
        }
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

    /// Neither a function's name, nor a type's, nor a number of errno: words.
    @Test func whatTheSystemRefusesIsSaidInWords() async throws {
        let program = try Program()
        defer { program.remove() }
        let (file, folder) = (try program.write("file", Array("text".utf8)), program.path("folder"))
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let capture = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../captures/calls.pcapng").standardizedFileURL.path
        let key = "-LD327-Yq0lxTqBLghQYLrmq-KAilTfczbgjUnzicRU"
        let cases: [(status: Int32, words: String, arguments: [String])] = [
            (69, "Not a directory", ["commserver", "init", "--dir", file + "/x"]),
            (69, "is no folder", ["commserver", "init", "--dir", file]),
            (69, "No such file or directory", ["commserver", "init", "--dir", "/proc/none/x"]),
            (69, "Not a directory", ["center", "init", "--dir", file + "/x", "--commserver", "127.0.0.1:1", "--commserver-key", key]),
            (66, "there is no resource pool in /proc/none/x", ["pool", "ls", "--pool", "/proc/none/x"]),
            (69, "Is a directory", ["link", "relay", "--target", "127.0.0.1:1", "--record", folder]),
            (69, "Not a directory", ["link", "relay", "--target", "127.0.0.1:1", "--log", file + "/x"]),
            (69, "Is a directory", ["link", "run", "--in", capture, "--rate", "1mbit", "--out", folder]),
            (69, "Not a directory", ["replay", capture, "--mode", "packets", "--out", file + "/x"]),
            (69, "Is a directory", ["inspect", capture, "--report", folder]),
            (69, "Not a directory", ["capture", "-r", capture, "-w", file + "/x"]),
            (66, "Is a directory", ["link", "relay", "--target", "127.0.0.1:1", "--scenario", folder]),
            (66, "it is a folder", ["demo", "--capture", folder]),
        ]
        for (status, words, arguments) in cases {
            let result = try await program.run(arguments)
            #expect(result.status == status && result.errorLines.count == 1 && result.errors.contains(words), "\(arguments): \(result.status) \(result.errors)")
            expectWords(result.errors)
        }
    }

    @Test(arguments: [
        (#"{"up": []}"#, "up: an object is expected"), (#"{"up": 5}"#, "up: an object is expected"), (#"{"name": 5}"#, "name: a text is expected"),
        (#"[]"#, "an object is expected"), (#"{"seed": "x"}"#, "seed: a whole number is expected"),
    ])
    func aScenarioOfTheWrongFormIsExplained(_ text: String, _ words: String) async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run("link", "relay", "--target", "127.0.0.1:1", "--scenario", try program.write("scenario.json", Array(text.utf8)))
        #expect(result.status == 65 && result.errors.contains(words), "\(result.errors)")
        expectWords(result.errors)
    }

    /// A database that is another program's.
    @Test func aCentersDatabaseIsRefusedInWords() async throws {
        let program = try Program()
        defer { program.remove() }
        let key = "-LD327-Yq0lxTqBLghQYLrmq-KAilTfczbgjUnzicRU"
        let folder = program.path("center")
        let made = try await program.run("center", "init", "--dir", folder, "--commserver", "127.0.0.1:1", "--commserver-key", key)
        #expect(made.status == 0, "\(made.errors)")
        try Data(String(repeating: "no database", count: 1_000).utf8).write(to: URL(filePath: folder + "/center.sqlite"))
        for suffix in ["-wal", "-shm"] { unlink(folder + "/center.sqlite" + suffix) }
        let result = try await program.run("center", "token", "--dir", folder)
        #expect(result.status == 65 && result.errors.contains("is not a database"), "\(result.errors)")
        expectWords(result.errors)
    }

    private func expectWords(_ errors: String) {
        for foreign in ["Domain", "errno", "Swift.", "SQLite error", "NSCocoa", "(_:", "ptr:", "while executing"] {
            #expect(!errors.contains(foreign), "\(errors)")
        }
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
