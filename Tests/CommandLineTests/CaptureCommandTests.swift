import Foundation
import MastCapture
import MastTimebase
import Testing

@Suite struct CaptureCommandTests {
    private static let mayCapture = geteuid() == 0

    @Test func interfacesAreListed() async throws {
        let program = try Program()
        defer { program.remove() }
        let result = try await program.run("capture", "--list", "--json")
        #expect(result.status == 0, "\(result.errors)")
        let names = (try result.object()["interfaces"] as? [[String: Any]])?.compactMap { $0["name"] as? String }
        #expect(names?.contains { $0.hasPrefix("lo") } == true)
    }

    @Test func aFileIsCopiedFilteredCutAndCounted() async throws {
        let program = try Program()
        defer { program.remove() }
        var writer = CaptureWriter(.pcapng)
        var bytes = writer.header
        for index in 0..<30 {
            let (a, b) = (NetworkAddress.loopback(port: 1000 + UInt16(index % 2)), NetworkAddress.loopback(port: 4433))
            bytes += writer.record(datagram: [UInt8](repeating: 0x08, count: 100), from: a, to: b, epochNanoseconds: Int64(index) * 1_000)
        }
        let path = try program.write("in.pcapng", bytes)
        let copy = try await program.run(
            "capture", "-r", path, "-w", program.path("out.pcap"), "--filter", "udp port 1001", "--snaplen", "40", "-c", "10", "--json")
        #expect(copy.status == 0, "\(copy.errors)")
        let report = try copy.object()
        #expect(report["packets"] as? Int == 10 && report["writtenPackets"] as? Int == 10)
        let file = try CaptureFile(path: program.path("out.pcap"))
        while let packet = file.next() { #expect(packet.capturedBytes == 40 && packet.wireBytes == 128) }
        #expect(file.packetCount == 10)

        #expect(try await program.run("capture", "-r", path, "--dissect").output.isEmpty, "nothing answers, on whatever port")
        let lines = try await program.run("capture", "-r", path, "--dissect", "--port", "4433").output.split(separator: "\n")
        #expect(lines.count == 30)
        #expect(lines.allSatisfy { $0.contains("data  100 bytes  to 8080808/8080808  number …134744072  sealed 71") })

        let cut = try await program.run("capture", "-r", try program.write("cut.pcapng", Array(bytes.dropLast(7))), "--json")
        #expect(cut.status == 65 && cut.errors.contains("breaks off after 29 packets"))
        #expect(try await program.run("capture", "-r", path, "--filter", "no such thing").status == 64)
        #expect(try await program.run("capture", "-i", "no-such-interface").status == 69)
    }

    @Test func dissectedDatagramsAreOneJSONDocument() async throws {
        let program = try Program()
        defer { program.remove() }
        let path = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../captures/calls.pcapng").standardizedFileURL.path
        let whole = try await program.run("capture", "-r", path, "--dissect", "--json")
        #expect(whole.status == 0, "\(whole.errors)")
        let document = try whole.object()
        let datagrams = try #require(document["datagrams"] as? [[String: Any]])
        #expect(datagrams.count > 100 && document["packets"] as? Int == datagrams.count, "nothing else is in it")
        #expect(datagrams.first?["kind"] as? String == "key-query")
        let none = try await program.run("capture", "-r", path, "--filter", "tcp", "--dissect", "--json").object()
        #expect((none["datagrams"] as? [Any])?.isEmpty == true)
    }

    @Test func aKeyLogIsItsOwnersAloneAndSaysThatItIsWritten() async throws {
        let program = try Program()
        defer { program.remove() }
        let keys = program.path("keys.txt")
        let server = try await Server(program, ["echo", "--listen", "0"])
        let arguments = ["call", server.address, "echo.v1.Echo/say", "--peer-key", server.key, "-d", #"{"text":"x"}"#]
        let call = try await program.logging(to: keys).run(arguments)
        #expect(call.status == 0 && call.errors.contains("MAST_KEYLOG is set: the keys of all connections are written to \(keys)"))
        var status = stat()
        #expect(stat(keys, &status) == 0 && status.st_mode & 0o777 == 0o600)
        let lines = try String(contentsOfFile: keys, encoding: .utf8).split(separator: "\n").map { $0.split(separator: " ").map(String.init) }
        #expect(lines.filter { $0[0] == "MAST_PACKET_KEYS" }.map(\.count) == [7])
        #expect(lines.contains { $0[0] == "MAST_METHOD" && $0[2] == "echo.v1.Echo/say" })
        // Appended to, and not where others may read.
        #expect(try await program.logging(to: keys).run(arguments).status == 0)
        #expect(try String(contentsOfFile: keys, encoding: .utf8).split(separator: "\n").filter { $0.hasPrefix("MAST_PACKET_KEYS") }.count == 2)
        #expect(chmod(keys, 0o644) == 0)
        let refused = try await program.logging(to: keys).run(arguments)
        #expect(refused.status == 69 && refused.errors.contains("chmod 600"), "\(refused.errors)")
        #expect(try await program.logging(to: "/no/such/folder/keys").run(arguments).status == 69)
        #expect(try await program.run(arguments).errors.isEmpty)
        #expect(await server.stop() == 0)
    }

    @Test(.enabled(if: mayCapture, "capturing takes root")) func aCallOverTheLoopbackInterfaceIsCapturedAndDissected() async throws {
        let program = try Program()
        defer { program.remove() }
        let keys = try program.write("keys.txt", [])
        #expect(chmod(keys, 0o600) == 0)
        let server = try await Server(program.logging(to: keys), ["echo", "--listen", "0"])
        let port = try #require(server.address.split(separator: ":").last)
        let interface = FileManager.default.fileExists(atPath: "/sys/class/net/lo") ? "lo" : "lo0"
        let capture = try program.start(
            ["capture", "-i", interface, "--filter", "udp port \(port)", "-w", program.path("lo.pcapng"), "--dissect", "--keylog", keys,
             "--duration", "60s"],
            output: .pipe, errors: .pipe)
        var said = ""
        while !said.contains("capture ready") { said += try #require(await capture.errors?.line(within: .seconds(60)), "\(said)") }
        #expect(said.contains("going on as"))
        let call = try await program.run("call", server.address, "echo.v1.Echo/say", "--peer-key", server.key, "-d", #"{"text":"x"}"#)
        #expect(call.status == 0, "\(call.errors)")
        capture.send(SIGINT)
        let text = String(decoding: try #require(await capture.output?.rest(within: .seconds(20))), as: UTF8.self)
        #expect(await capture.ending(within: .seconds(20)) == .exited(0))
        for kind in ["initiation  1200 bytes", "response", "data"] { #expect(text.contains(kind), "\(text)") }
        #expect(!text.contains("MALFORMED") && !text.contains("NOT"))
        for part in ["request echo.v1.Echo/say", "trailer ok", "[ack "] { #expect(text.contains(part), "\(text)") }
        let again = try await program.run("capture", "-r", program.path("lo.pcapng"), "--dissect", "--keylog", keys)
        #expect(again.status == 0 && again.output == text)
        try await DissectorTests.expectDecrypted(program.path("lo.pcapng"), keys: keys, method: "echo.v1.Echo/say")
        let file = try CaptureFile(path: program.path("lo.pcapng"))
        while let packet = file.next() { #expect(packet.headers.ip?.protocolNumber == 17) }
        #expect(file.packetCount >= 5 && file.truncation == nil)
        #expect(await server.stop() == 0)
    }
}
