import Foundation
import Testing

@Suite struct CallTests {
    @Test func everyKindOfMethodIsCalledWithoutASchema() throws {
        let program = try Program()
        defer { program.remove() }
        let server = try Server(program, ["echo", "--listen", "0"])
        let call = { (method: String, data: String) in try program.run("call", server.address, "echo.v1.Echo/" + method, "-d", data) }

        let said = try call("say", #"{"text":"good day"}"#)
        #expect(said.status == 0)
        #expect(try said.object()["text"] as? String == "good day")
        #expect(try call("count", #"{"to":3}"#).output == "{\"value\":1}\n{\"value\":2}\n{\"value\":3}\n")
        #expect(try call("sum", #"{"value":40}{"value":2}"#).output == "{\"numbers\":2,\"total\":42}\n")
        let chat = try program.run("call", server.address, "echo.v1.Echo/chat", "-d", "@-", input: "{\"text\":\"a\"}\n{\"text\":\"b\"}\n")
        #expect(chat.output == "{\"number\":1,\"text\":\"a\"}\n{\"number\":2,\"text\":\"b\"}\n")
        // Drawn once a call, whatever the network does.
        #expect(try call("draw", "{}").object()["number"] as? Int == 1)
        #expect(try call("draw", "{}").object()["number"] as? Int == 2)
        #expect(server.stop() == 0)
    }

    @Test func aCallsStatusIsTheExitCode() throws {
        let program = try Program()
        defer { program.remove() }
        let server = try Server(program, ["echo", "--listen", "0"])
        let cases: [(Int32, [String])] = [
            (104, ["echo.v1.Echo/wait", "-d", #"{"milliseconds":30000}"#, "-t", "400ms"]),
            (105, ["echo.v1.Echo/nothing"]),
            (103, ["echo.v1.Echo/say", "-d", #"{"txt":"x"}"#]),
            (111, ["echo.v1.Echo/sum", "-d", #"{"value":9223372036854775807}{"value":1}"#]),
            (65, ["echo.v1.Echo/say", "-d", "{not json"]),
            (64, ["echo.v1.Echo/say", "-d", "{}{}"]),
            (66, ["echo.v1.Echo/say", "-d", "@" + program.path("nothing")]),
        ]
        for (status, arguments) in cases {
            let result = try program.run(["call", server.address] + arguments)
            #expect(result.status == status, "\(arguments): \(result.errors)")
            let failures = result.errorLines.filter { !$0.contains("first contact") }
            #expect(failures.count == 1)
        }
        let failure = try program.run("call", server.address, "echo.v1.Echo/sum", "--json", "-d", #"{"value":9223372036854775807}{"value":1}"#)
        let object = try JSONSerialization.jsonObject(with: Data(failure.errors.utf8)) as? [String: Any]
        #expect(object?["code"] as? String == "outOfRange")
        #expect(object?["effect"] as? String == "none")
        #expect(server.stop() == 0)
    }

    @Test func aServerDescribesItself() throws {
        let program = try Program()
        defer { program.remove() }
        let server = try Server(program, ["echo", "--listen", "0"])
        let list = try program.run("list", server.address, "echo.v1.Echo", "--json").object()
        let methods = try #require(list["methods"] as? [[String: String]])
        #expect(methods.compactMap { $0["kind"] }.sorted() == ["bidiStream", "clientStream", "serverStream", "unary", "unary", "unary"])
        let described = try program.run("describe", server.address, "echo.v1.Echo/say", "--json").object()
        #expect((described["requestTemplate"] as? [String: Any])?["text"] != nil)
        let all = try program.run("list", server.address)
        #expect(all.output.contains("mast.v1.Reflection/list"))
        #expect(server.stop() == 0)
    }

    @Test func pingCountsAndMeasures() throws {
        let program = try Program()
        defer { program.remove() }
        let server = try Server(program, ["echo", "--listen", "0"])
        let report = try program.run("ping", server.address, "-c", "5", "-i", "5ms", "--json").object()
        #expect(report["sent"] as? Int == 5)
        #expect(report["received"] as? Int == 5)
        #expect(report["key"] as? String == server.key)
        let least = try #require(report["rttMinMs"] as? Double), most = try #require(report["rttMaxMs"] as? Double)
        #expect(least > 0 && least <= most)
        #expect(server.stop() == 0)
    }

    @Test func aKeyIsTrustedOnFirstUseAndAChangedOneRefused() throws {
        let program = try Program()
        defer { program.remove() }
        let first = try Server(program, ["echo", "--listen", "0", "--key", program.path("first.key")])
        let met = try program.run("list", first.address)
        #expect(met.errors.contains(first.key))
        #expect(try program.run("list", first.address).errors.isEmpty)
        #expect(first.stop() == 0)

        let same = try Server(program, ["echo", "--listen", first.address, "--key", program.path("first.key")])
        #expect(same.key == first.key)
        #expect(try program.run("list", first.address).errors.isEmpty)
        #expect(same.stop() == 0)

        let other = try Server(program, ["echo", "--listen", first.address])
        let refused = try program.run("list", first.address)
        #expect(refused.status == 65)
        #expect(refused.errors.contains(first.key) && refused.errors.contains(other.key))
        #expect(try program.run("list", first.address, "--peer-key", other.key).status == 0)
        let wrong = try program.run("list", first.address, "--peer-key", first.key, "-t", "1s")
        #expect(wrong.status == 69)
        #expect(wrong.errors.contains(other.key))
        #expect(other.stop() == 0)
    }

    @Test func aServerEndsInOrderAndWithItsParent() throws {
        let program = try Program()
        defer { program.remove() }
        #expect(try Server(program, ["echo", "--listen", "0"]).stop(SIGTERM) == 0)
        #expect(try Server(program, ["echo", "--listen", "0"]).stop(SIGINT) == 0)
        let orphan = try Server(program, ["echo", "--listen", "0"])
        orphan.abandon()
        #expect(orphan.stop(nil) == 0)
    }

    @Test func aRecordedRelayPassesCallsAndItsCaptureIsRead() throws {
        let program = try Program()
        defer { program.remove() }
        let server = try Server(program, ["echo", "--listen", "0"])
        let capture = program.path("relay.pcap")
        let relay = try Server(
            program,
            ["link", "relay", "--target", server.address, "--delay", "15ms", "--up-rate", "10mbit", "--down-rate", "10mbit", "--record", capture])
        let ping = try program.run("ping", relay.address, "--peer-key", server.key, "-c", "3", "-i", "10ms", "--json").object()
        #expect(try #require(ping["rttMinMs"] as? Double) >= 30)
        #expect(relay.stop() == 0)
        let summary = try program.run("inspect", capture, "--json").object()
        #expect(summary["flowCount"] as? Int == 1)
        #expect(try #require(summary["packets"] as? Int) >= 8)
        #expect(summary["truncated"] as? Bool == false)

        // Cut in the middle of a packet: shown up to there, and an exit code that says so.
        var bytes = [UInt8](try Data(contentsOf: URL(fileURLWithPath: capture)))
        bytes.removeLast(11)
        let cut = try program.run("inspect", try program.write("cut.pcap", bytes), "--json")
        #expect(cut.status == 65)
        #expect(try cut.object()["truncated"] as? Bool == true)
        #expect(cut.errorLines.count == 1)
        #expect(server.stop() == 0)
    }
}
