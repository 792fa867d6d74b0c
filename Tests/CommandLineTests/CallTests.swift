import Foundation
import Testing

@Suite struct CallTests {
    @Test func everyKindOfMethodIsCalledWithoutASchema() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let call = { (method: String, data: String) in try await program.run("call", server.address, "echo.v1.Echo/" + method, "-d", data) }

        let said = try await call("say", #"{"text":"good day"}"#)
        #expect(said.status == 0)
        #expect(try said.object()["text"] as? String == "good day")
        #expect(try await call("count", #"{"to":3}"#).output == "{\"value\":1}\n{\"value\":2}\n{\"value\":3}\n")
        #expect(try await call("sum", #"{"value":40}{"value":2}"#).output == "{\"numbers\":2,\"total\":42}\n")
        let chat = try await program.run("call", server.address, "echo.v1.Echo/chat", "-d", "@-", input: "{\"text\":\"a\"}\n{\"text\":\"b\"}\n")
        #expect(chat.output == "{\"number\":1,\"text\":\"a\"}\n{\"number\":2,\"text\":\"b\"}\n")
        // Drawn once a call, whatever the network does.
        #expect(try await call("draw", "{}").object()["number"] as? Int == 1)
        #expect(try await call("draw", "{}").object()["number"] as? Int == 2)
        #expect(await server.stop() == 0)
    }

    @Test func aCallsStatusIsTheExitCode() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let cases: [(Int32, [String])] = [
            (104, ["echo.v1.Echo/wait", "-d", #"{"milliseconds":30000}"#, "-t", "2s"]),
            (112, ["echo.v1.Echo/nothing"]),
            (103, ["echo.v1.Echo/say", "-d", #"{"txt":"x"}"#]),
            (111, ["echo.v1.Echo/sum", "-d", #"{"value":9223372036854775807}{"value":1}"#]),
            (65, ["echo.v1.Echo/say", "-d", "{not json"]),
            (64, ["echo.v1.Echo/say", "-d", "{}{}"]),
            (66, ["echo.v1.Echo/say", "-d", "@" + program.path("nothing")]),
        ]
        for (status, arguments) in cases {
            let result = try await program.run(["call", server.address] + arguments)
            #expect(result.status == status, "\(arguments): \(result.errors)")
            let failures = result.errorLines.filter { !$0.contains("first contact") }
            #expect(failures.count == 1)
        }
        let failure = try await program.run("call", server.address, "echo.v1.Echo/sum", "--json", "-d", #"{"value":9223372036854775807}{"value":1}"#)
        let object = try JSONSerialization.jsonObject(with: Data(failure.errors.utf8)) as? [String: Any]
        #expect(object?["code"] as? String == "outOfRange")
        #expect(object?["effect"] as? String == "none")
        #expect(await server.stop() == 0)
    }

    @Test func aServerDescribesItself() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let list = try await program.run("list", server.address, "echo.v1.Echo", "--json").object()
        let methods = try #require(list["methods"] as? [[String: String]])
        #expect(methods.compactMap { $0["kind"] }.sorted() == ["bidiStream", "clientStream", "serverStream", "unary", "unary", "unary"])
        let described = try await program.run("describe", server.address, "echo.v1.Echo/say", "--json").object()
        #expect((described["requestTemplate"] as? [String: Any])?["text"] != nil)
        let all = try await program.run("list", server.address)
        #expect(all.output.contains("mast.v1.Reflection/list"))
        #expect(await server.stop() == 0)
    }

    @Test func pingCountsAndMeasures() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let report = try await program.run("ping", server.address, "-c", "5", "-i", "5ms", "--json").object()
        #expect(report["sent"] as? Int == 5)
        #expect(report["received"] as? Int == 5)
        #expect(report["key"] as? String == server.key)
        let least = try #require(report["rttMinMs"] as? Double), most = try #require(report["rttMaxMs"] as? Double)
        #expect(least > 0 && least <= most)
        let connection = try #require(report["connection"] as? [String: Any])
        #expect(connection["deliveryRateMbps"] is NSNull, "five pings are no rate")
        let shortest = try #require(connection["rttMinMs"] as? Double), smoothed = try #require(connection["rttSmoothedMs"] as? Double)
        #expect(shortest > 0 && smoothed >= shortest)
        #expect(connection["packetsSent"] as? Int ?? 0 >= 6 && connection["packetsLost"] as? Int == 0 && connection["packetsLostSpuriously"] as? Int == 0)
        let text = try await program.run("ping", server.address, "-c", "2", "-i", "5ms").output.split(separator: "\n")
        #expect(text.last?.hasPrefix("connection: rtt min/smoothed ") == true && text.last?.contains(" ms, delivery rate not known, ") == true)
        #expect(text.last?.contains("lost 0 of ") == true && text.last?.hasSuffix(" packets (0.0 %)") == true)
        #expect(await server.stop() == 0)
    }

    /// CUBIC measures neither rate nor wait, and what is not measured is null.
    @Test func aCallTellsWhatItsConnectionMeasured() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let small = try await program.run("call", server.address, "echo.v1.Echo/say", "-v", "-d", #"{"text":"x"}"#)
        #expect(small.errors.contains("mast: connection: rtt min/smoothed ") && small.errors.contains("delivery rate not known"))
        let relay = try await Server(program, ["link", "relay", "--target", server.address, "--delay", "10ms", "--up-rate", "10mbit"])
        let request = try program.write("large.json", Array((#"{"text":""# + String(repeating: "x", count: 500_000) + #""}"#).utf8))
        let large = try await program.run(
            "call", relay.address, "echo.v1.Echo/say", "-v", "--json", "-d", "@" + request, "--peer-key", server.key)
        let connection = try #require(try large.object()["connection"] as? [String: Any])
        #expect(connection["deliveryRateMbps"] is NSNull && connection["queueingDelayMs"] is NSNull)
        #expect(connection["packetsSent"] as? Int ?? 0 > 300 && connection["rttMinMs"] as? Double ?? 0 >= 20)
        #expect(large.errors.contains("delivery rate not known"))
        #expect(await relay.stop() == 0)
        #expect(await server.stop() == 0)
    }

    @Test func aKeyIsTrustedOnFirstUseAndAChangedOneRefused() async throws {
        let program = try Program()
        defer { program.remove() }
        let first = try await Server(program, ["echo", "--listen", "0", "--key", program.path("first.key")])
        let met = try await program.run("list", first.address)
        #expect(met.errors.contains(first.key))
        #expect(try await program.run("list", first.address).errors.isEmpty)
        #expect(await first.stop() == 0)

        let same = try await Server(program, ["echo", "--listen", first.address, "--key", program.path("first.key")])
        #expect(same.key == first.key)
        #expect(try await program.run("list", first.address).errors.isEmpty)
        #expect(await same.stop() == 0)

        let other = try await Server(program, ["echo", "--listen", first.address])
        let refused = try await program.run("list", first.address)
        #expect(refused.status == 65)
        #expect(refused.errors.contains(first.key) && refused.errors.contains(other.key))
        #expect(try await program.run("list", first.address, "--peer-key", other.key).status == 0)
        let wrong = try await program.run("list", first.address, "--peer-key", first.key, "-t", "1s")
        #expect(wrong.status == 69)
        #expect(wrong.errors.contains(other.key))
        #expect(await other.stop() == 0)
    }

    @Test func aServerEndsInOrderAndWithItsParent() async throws {
        let program = try Program()
        defer { program.remove() }
        #expect(try await Server(program, ["echo", "--listen", "0"]).stop(SIGTERM) == 0)
        #expect(try await Server(program, ["echo", "--listen", "0"]).stop(SIGINT) == 0)
        let orphan = try await Server(program, ["echo", "--listen", "0"])
        orphan.abandon()
        #expect(await orphan.stop(nil) == 0)
    }

    @Test func aRecordedRelayPassesCallsAndItsCaptureIsRead() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let capture = program.path("relay.pcap")
        let relay = try await Server(
            program,
            ["link", "relay", "--target", server.address, "--delay", "15ms", "--up-rate", "10mbit", "--down-rate", "10mbit", "--record", capture])
        let ping = try await program.run("ping", relay.address, "--peer-key", server.key, "-c", "3", "-i", "10ms", "--json").object()
        #expect(try #require(ping["rttMinMs"] as? Double) >= 30)
        #expect(await relay.stop() == 0)
        let summary = try await program.run("inspect", capture, "--json").object()
        #expect(summary["flowCount"] as? Int == 1)
        #expect(try #require(summary["packets"] as? Int) >= 8)
        #expect(summary["truncated"] as? Bool == false)

        // Cut in the middle of a packet: shown up to there, and an exit code that says so.
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: capture)))
        bytes.removeLast(11)
        let cut = try await program.run("inspect", try program.write("cut.pcap", bytes), "--json")
        #expect(cut.status == 65)
        #expect(try cut.object()["truncated"] as? Bool == true)
        #expect(cut.errorLines.count == 1)
        #expect(await server.stop() == 0)
    }
}
