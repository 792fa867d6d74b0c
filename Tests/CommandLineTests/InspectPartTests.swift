import Foundation
import MastCapture
import MastProcesses
import MastTimebase
import Testing

/// `mast inspect` of a part of a capture, and its packets.
@Suite struct InspectPartTests {
    /// 2026-11-24 13:21:30 UTC.
    private static let start: Int64 = 1_795_526_490_000_000_000

    /// Two UDP conversations, a packet each way in turn every 10 ms for 4 s; the second, of half as many, begins after 1 s.
    private static func capture(_ program: Program) throws -> String {
        var writer = CaptureWriter(.pcapng)
        var bytes = writer.header
        let server = NetworkAddress(ipv4: 0x0A00_0002, port: 4433)
        for index in 0..<400 {
            for (place, port) in [UInt16(50_000), 50_001].enumerated() where place == 0 || (index >= 100 && index % 2 == 0) {
                let client = NetworkAddress(ipv4: 0x0A00_0001, port: port)
                let isUp = index / (place + 1) % 2 == 0
                bytes += writer.record(
                    datagram: [UInt8](repeating: UInt8(index % 251), count: 100 + index), from: isUp ? client : server, to: isUp ? server : client,
                    epochNanoseconds: start + Int64(index) * 10_000_000)
            }
        }
        return try program.write("two.pcapng", bytes)
    }

    private static func inspect(_ program: Program, _ path: String, _ arguments: String...) async throws -> [String: Any] {
        let result = try await program.run(["inspect", path, "--json"] + arguments)
        #expect(result.status == 0, "\(result.errors)")
        return try result.object()
    }

    @Test func aPartIsShownAndWhatWasLeftOutIsSaid() async throws {
        let program = try Program()
        defer { program.remove() }
        let path = try Self.capture(program)
        let whole = try await Self.inspect(program, path)
        #expect(whole["packets"] as? Int == 550 && whole["part"] is NSNull && whole["flowCount"] as? Int == 2)

        let filtered = try await Self.inspect(program, path, "--filter", "udp port 50001")
        #expect(filtered["packets"] as? Int == 150 && filtered["flowCount"] as? Int == 1)
        #expect((filtered["part"] as? [String: Any])?["packetsLeftOut"] as? Int == 400)
        // Times count from the file's first packet.
        #expect((filtered["flows"] as? [[String: Any]])?.first?["firstS"] as? Double == 1 && filtered["startUnixS"] as? Double == 1_795_526_490)

        let timed = try await Self.inspect(program, path, "--from", "2", "--to", "2.495s")
        let clocked = try await Self.inspect(program, path, "--from", "2026-11-24T14:21:32+01:00", "--to", "2026-11-24 13:21:32.495 UTC")
        #expect(timed["packets"] as? Int == 75 && clocked["packets"] as? Int == 75)
        #expect((timed["flows"] as? [[String: Any]])?.first?["firstS"] as? Double == 2)

        for name in ["2", "10.0.0.1:50001", "10.0.0.2:4433-10.0.0.1:50001"] {
            let one = try await Self.inspect(program, path, "--flow", name)
            #expect(one["packets"] as? Int == 150 && one["flowCount"] as? Int == 1, "\(name)")
            let flow = try #require((one["flows"] as? [[String: Any]])?.first)
            #expect(flow["client"] as? String == "10.0.0.1:50001")
            // The same as among all.
            let same = try #require((whole["flows"] as? [[String: Any]])?.last)
            #expect(NSDictionary(dictionary: flow) == NSDictionary(dictionary: same))
        }
        let text = try await program.run("inspect", path, "--flow", "2", "--from", "3s").output
        #expect(text.contains("2026-11-24 13:21:30.000 UTC") && text.contains("part          flow 10.0.0.1:50001 - 10.0.0.2:4433, from 3.000 s: 50 packets, 500 left out"), "\(text)")
    }

    @Test func fitTakesAPartToo() async throws {
        let program = try Program()
        defer { program.remove() }
        let path = try Self.capture(program)
        let result = try await program.run("fit", path, "--json", "--flow", "1", "--from", "1s", "--to", "2026-11-24T13:21:33Z")
        #expect(result.status == 0 && result.errors.contains("flow 10.0.0.1:50000 - 10.0.0.2:4433, from 1.000 s, to 3.000 s: 201 packets, 349 left out"), "\(result.errors)")
        let fit = try #require(try result.object()["fit"] as? [String: Any])
        #expect(fit["windowStartS"] as? Double == 1 && fit["packets"] as? Int == 201)
        #expect(try await program.run("fit", path, "--from", "1s", "--window-start", "2s").status == 64)
    }

    @Test func whatIsWrongSaysSo() async throws {
        let program = try Program()
        defer { program.remove() }
        let path = try Self.capture(program)
        let usages: [([String], String)] = [
            (["--filter", "udp and and"], "the filter"), (["--from", "3s", "--to", "2s"], "--to must come after"), (["--from", "yesterday"], "yesterday"),
            (["--flow", "a-"], "--flow must be"), (["--to", "2026-11-24T13:00:00Z"], "before the first packet"), ([path, "--flow", "1"], "one capture"),
            (["--packets", "--fit"], "--packets"),
        ]
        for (arguments, words) in usages {
            let result = try await program.run(["inspect", path] + arguments)
            #expect(result.status == 64 && result.errors.contains(words) && result.output.isEmpty, "\(arguments): \(result.status) \(result.errors)")
        }
        let absent = try await program.run("inspect", path, "--flow", "3")
        #expect(absent.status == 65 && absent.errors.contains("mast inspect lists the 2 of them"))
        let stream = try await program.run(["inspect", "-", "--flow", "1"], inputFile: path)
        #expect(stream.status == 64 && stream.errors.contains("read once"))
        #expect(try await program.run(["inspect", "-", "--filter", "udp port 50001"], inputFile: path).output.contains("150 packets"))
    }

    @Test func packetsAreListed() async throws {
        let program = try Program()
        defer { program.remove() }
        let path = try Self.capture(program)
        let list = try await program.run("inspect", path, "--packets", "--flow", "2", "--json", "--from", "3s")
        #expect(list.status == 0, "\(list.errors)")
        let object = try list.object()
        let packets = try #require(object["packets"] as? [[String: Any]])
        #expect(packets.count == 50 && object["totalPackets"] as? Int == 50)
        #expect(packets.first?["timeS"] as? Double == 3 && packets.first?["kind"] as? String == "datagram" && packets.first?["payloadBytes"] as? Int == 400)
        let text = try await program.run("inspect", path, "--packets", "--most", "3")
        let lines = text.output.split(separator: "\n")
        #expect(lines.count == 6 && lines[5] == "and 397 more (--most shows so many)", "\(text.output)")
        #expect(text.errors.contains("the flow with most bytes"))
    }

    @Test func aReaderThatHasSeenEnoughEndsTheListQuietly() async throws {
        let program = try Program()
        defer { program.remove() }
        var writer = CaptureWriter(.pcap)
        var bytes = writer.header
        for index in 0..<20_000 {
            bytes += writer.record(
                datagram: [1, 2, 3], from: NetworkAddress(ipv4: 1, port: 1), to: NetworkAddress(ipv4: 2, port: 2), epochNanoseconds: Int64(index) * 1_000)
        }
        let path = try program.write("long.pcap", bytes)
        var start = ChildProcess.Start("/bin/sh", ["-c", "'\(Program.executable)' inspect '\(path)' --packets --flow 1 | head -n 3"])
        let errors = program.path("errors")
        (start.output, start.errors) = (.pipe, .file(errors))
        let child = try ChildProcess(start)
        let output = try #require(await child.output?.rest(within: .seconds(60)))
        #expect(await child.ending(within: .seconds(60)) == .exited(0))
        #expect(String(decoding: output, as: UTF8.self).split(separator: "\n").count == 3)
        #expect(FileManager.default.contents(atPath: errors) == Data())
    }
}
