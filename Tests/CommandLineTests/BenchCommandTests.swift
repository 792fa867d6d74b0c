import Foundation
import MastProcesses
import Testing

/// `mast bench` against a server of the same build. What is counted is exact; no time is.
@Suite struct BenchCommandTests {
    /// Whatever else this machine does, no call of these counts as late.
    private static let patient = ["--late", "1h"]

    private func bench(_ program: Program, _ server: Server, _ method: String, _ arguments: [String], within seconds: Double = 60) async throws -> Program.Result {
        try await program.run(["bench", server.address, "echo.v1.Echo/" + method] + Self.patient + arguments, within: seconds)
    }

    @Test func everyCallIsMadeAndCounted() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let open = try await bench(program, server, "say", ["-n", "50", "-r", "500", "-c", "4", "-d", #"{"text":"x"}"#, "--json"])
        #expect(open.status == 0, "\(open.errors)")
        let object = try open.object()
        #expect(object["count"] as? Int == 50 && object["succeeded"] as? Int == 50 && object["failed"] as? Int == 0)
        #expect(object["isOpenLoop"] as? Bool == true && object["offeredPerSecond"] as? Double == 500 && object["isVoid"] as? Bool == false)
        #expect((object["latencyDistribution"] as? [Any])?.count == 8 && (object["connections"] as? [Any])?.count == 1)

        let closed = try await bench(program, server, "say", ["-n", "30", "--closed", "-c", "3", "--connections", "2", "-d", #"{"text":"x"}"#, "--json"]).object()
        #expect(closed["count"] as? Int == 30 && closed["isOpenLoop"] as? Bool == false && closed["late"] == nil)
        #expect((closed["connections"] as? [Any])?.count == 2)

        // Each draws a number once: what was made is what was counted, the warm-up beside it.
        let warm = try await bench(program, server, "draw", ["-n", "20", "-r", "200", "--warmup", "50ms", "--connections", "3", "-c", "9", "--json"]).object()
        #expect(warm["count"] as? Int == 20 && warm["warmupCalls"] as? Int == 10)
        #expect(try await program.run("call", server.address, "echo.v1.Echo/draw").object()["number"] as? Int == 31)
        // Nor does a closed loop make one before its start.
        let drawn = try await bench(program, server, "draw", ["-n", "30", "--closed", "-c", "3", "--json"]).object()
        #expect(drawn["count"] as? Int == 30 && drawn["warmupCalls"] as? Int == 0)
        #expect(try await program.run("call", server.address, "echo.v1.Echo/draw").object()["number"] as? Int == 62)
        #expect(await server.stop() == 0)
    }

    @Test func streamsAndFailuresAreCounted() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let stream = try await bench(program, server, "count", ["-n", "10", "-r", "100", "-d", #"{"to":7}"#, "--json"]).object()
        #expect((stream["streams"] as? [String: Any])?["messages"] as? Int == 70)
        // All documents go into each stream.
        #expect(try await bench(program, server, "sum", ["-n", "3", "-r", "100", "-d", #"{"value":1}{"value":2}"#, "--json"]).object()["succeeded"] as? Int == 3)
        #expect(try await bench(program, server, "chat", ["-n", "3", "-r", "100", "-d", #"{"text":"a"}{"text":"b"}"#, "--json"]).object()["succeeded"] as? Int == 3)
        // Of other methods each call has one in its turn: the second is no request.
        let half = try await bench(program, server, "say", ["-n", "10", "-r", "100", "-d", #"{"text":"a"}{}"#])
        #expect(half.status == 0 && half.output.contains("5 of 10 calls failed") && half.output.contains("[invalidArgument] 5 responses; effect none 5"))
        // None at all: their status.
        let none = try await bench(program, server, "say", ["-n", "3", "-r", "100", "-d", "{}"])
        #expect(none.status == 103 && none.output.contains("Count:        3"), "\(none.errors)")
        let numbered = try await bench(program, server, "sum", ["-n", "2", "-r", "10", "-d", #"{"value":9223372036854775807}{"value":{{.RequestNumber}}}"#])
        #expect(numbered.output.contains("[outOfRange] 1 response;") && numbered.output.contains("[ok]         1 response"), "\(numbered.output)")
        #expect(await server.stop() == 0)
    }

    @Test func aServerThatHangsIsTheServersDoing() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let result = try await bench(program, server, "wait", ["-n", "20", "-r", "100", "-c", "2", "-t", "300ms", "-d", #"{"milliseconds":60000}"#, "--json"])
        #expect(result.status == 104, "\(result.errors)")
        let object = try result.object()
        #expect(object["count"] as? Int == 20 && object["failed"] as? Int == 20)
        #expect((object["effectsOfFailed"] as? [String: Int])?["none"] == 20, "a call that only reads has no effect")
        #expect((object["late"] as? [String: Any])?["byGenerator"] as? Int == 0)
        #expect(await server.stop() == 0)
    }

    @Test func everyFormIsWrittenWhereItIsWanted() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let load = ["-n", "20", "-r", "400", "-d", #"{"text":"x"}"#]
        for (form, word) in [("json", "\"latencyDistribution\""), ("csv", "duration (ms),status,error"), ("hgrm", "#[Max     ="), ("html", "<!doctype html>")] {
            let path = program.path("result.\(form)")
            let written = try await bench(program, server, "say", load + ["-o", path])
            #expect(written.status == 0 && written.output.hasPrefix("Summary:"), "\(written.errors)")
            #expect(try String(contentsOfFile: path, encoding: .utf8).contains(word), "\(form)")
            #expect(try await bench(program, server, "say", load + ["-O", form]).output.contains(word))
        }
        #expect(try String(contentsOfFile: program.path("result.csv"), encoding: .utf8).split(separator: "\n").count == 21)
        #expect(try String(contentsOfFile: program.path("result.html"), encoding: .utf8).contains("prefers-color-scheme: dark"))

        // The same run is no worse than itself by 100,000 %, and better or worse than nothing by more.
        let json = program.path("result.json")
        let compared = try await bench(program, server, "say", load + ["--baseline", json])
        #expect(compared.status == 0 && compared.output.contains("Against the baseline:"))
        let none = try await bench(program, server, "say", ["-n", "20", "-r", "400", "-d", "{}{\"text\":\"x\"}", "--baseline", json, "--fail-above", "50%"])
        #expect(none.status == 1 && none.errors.contains("worse than the baseline by more than 50%"), "\(none.errors)")
        #expect(await server.stop() == 0)
    }

    @Test func wrongUseIsToldBeforeAnythingIsSent() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let garbage = try program.write("garbage.json", Array("{}".utf8))
        let cases: [(Int32, [String])] = [
            (64, ["-n", "0"]), (64, ["-z", "0s"]), (64, ["-c", "0"]), (64, ["-c", "1000000"]), (64, ["--connections", "9", "-c", "8"]), (64, ["-r", "-5"]), (64, ["-r", "x"]),
            (64, ["-r", "5", "--ramp", "1..2/1s"]), (64, ["--closed", "-r", "5"]), (64, ["--ramp", "1..2"]), (64, ["--step", "5"]), (64, ["--fail-above", "5%"]), (64, ["--ramp", "100..0/2s", "-n", "500"]), (64, ["--late", "10us"]),
            (64, ["-O", "xml"]), (64, ["--json", "-O", "csv"]), (64, ["-t", "0s"]), (64, ["-d", "{{.UUID}}"]), (65, ["-d", "{not json"]),
            (66, ["-d", "@" + program.path("nothing")]), (66, ["--baseline", program.path("nothing")]), (65, ["--baseline", garbage]),
            (69, ["-o", program.path("no/such/folder.json")]), (69, ["-o", program.folder]),
        ]
        for (status, arguments) in cases {
            let result = try await program.run(["bench", server.address, "echo.v1.Echo/draw"] + arguments)
            #expect(result.status == status, "\(arguments): \(result.status) \(result.errors)")
            #expect(result.errorLines.filter { !$0.contains("first contact") }.count == 1 && result.output.isEmpty, "\(arguments): \(result.errors)")
        }
        let unknown = try await program.run(["bench", server.address, "echo.v1.Echo/nothing", "-o", program.path("new.json")])
        #expect(unknown.status == 112 && unknown.errors.contains("see mast list"))
        #expect(!FileManager.default.fileExists(atPath: program.path("new.json")), "what came to nothing leaves nothing")
        #expect(try await program.run("call", server.address, "echo.v1.Echo/draw").object()["number"] as? Int == 1, "no call was made")
        #expect(await server.stop() == 0)
    }

    /// Until somebody else than this draws numbers, too.
    private func waitForCalls(_ program: Program, _ server: Server, of run: Program.Run) async throws {
        var (drawn, own) = (0, 0)
        while drawn < own + 3 {
            try #require(run.child.ending == nil, "it ended early")
            drawn = try await program.run("call", server.address, "echo.v1.Echo/draw", "--peer-key", server.key).object()["number"] as? Int ?? 0
            own += 1
        }
    }

    @Test func anInterruptedRunStillTellsWhatItFound() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let run = try program.begin(["bench", server.address, "echo.v1.Echo/draw", "-z", "1h", "-r", "200", "--peer-key", server.key] + Self.patient)
        try await waitForCalls(program, server, of: run)
        run.child.send(SIGINT)
        let result = try await run.result()
        #expect(result.status == 130 && result.output.hasPrefix("Summary:") && result.output.contains("Interrupted after "), "\(result.errors)")
        #expect(await server.stop() == 0)
    }

    @Test func aServerThatDiesIsCountedAndTheRunEnds() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let run = try program.begin(
            ["bench", server.address, "echo.v1.Echo/draw", "-n", "2000", "-r", "200", "-t", "500ms", "--peer-key", server.key, "--json"] + Self.patient)
        try await waitForCalls(program, server, of: run)
        server.child.kill()
        let result = try await run.result()
        let object = try result.object()
        #expect(result.status == 0 && object["count"] as? Int == 2_000, "\(result.errors)")
        let (good, bad) = (try #require(object["succeeded"] as? Int), try #require(object["failed"] as? Int))
        #expect(good > 0 && bad > 0 && good + bad == 2_000)
    }

    @Test func helpsExamplesFitATerminal() async throws {
        let program = try Program()
        defer { program.remove() }
        let help = try await program.run("bench", "--help")
        let examples = help.output.split(separator: "\n").filter { $0.contains("  mast bench ") || $0.contains("    -d ") || $0.contains("    --") && $0.contains("html") }
        #expect(help.status == 0 && examples.count >= 7 && examples.allSatisfy { $0.count <= 80 }, "\(examples)")
        let first = try #require(examples.first { $0.contains("mast bench 127.0.0.1") })
        #expect(first.trimmingCharacters(in: .whitespaces) == #"mast bench 127.0.0.1 echo.v1.Echo/say -d '{"text":"hello"}'"#)
    }
}
