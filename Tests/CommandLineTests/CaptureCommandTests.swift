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
            bytes += writer.record(datagram: [UInt8](repeating: 0x40, count: 100), from: a, to: b, epochNanoseconds: Int64(index) * 1_000)
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

        let lines = try await program.run("capture", "-r", path, "--dissect").output.split(separator: "\n")
        #expect(lines.count == 30)
        #expect(lines.allSatisfy { $0.contains("data  100 bytes  to 40404040/40404040  number …1077952576  sealed 71") })

        let cut = try await program.run("capture", "-r", try program.write("cut.pcapng", Array(bytes.dropLast(7))), "--json")
        #expect(cut.status == 65 && cut.errors.contains("breaks off after 29 packets"))
        #expect(try await program.run("capture", "-r", path, "--filter", "no such thing").status == 64)
        #expect(try await program.run("capture", "-i", "no-such-interface").status == 69)
    }

    @Test(.enabled(if: mayCapture, "capturing takes root")) func aCallOverTheLoopbackInterfaceIsCapturedAndDissected() async throws {
        let program = try Program()
        defer { program.remove() }
        let server = try await Server(program, ["echo", "--listen", "0"])
        let port = try #require(server.address.split(separator: ":").last)
        let interface = FileManager.default.fileExists(atPath: "/sys/class/net/lo") ? "lo" : "lo0"
        let capture = try program.start(
            ["capture", "-i", interface, "--filter", "udp port \(port)", "-w", program.path("lo.pcapng"), "--dissect", "--duration", "60s"],
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
        #expect(!text.contains("MALFORMED"))
        let file = try CaptureFile(path: program.path("lo.pcapng"))
        while let packet = file.next() { #expect(packet.headers.ip?.protocolNumber == 17) }
        #expect(file.packetCount >= 5 && file.truncation == nil)
        #expect(await server.stop() == 0)
    }
}
