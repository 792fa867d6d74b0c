import Foundation
import Testing

extension ProcessTests {
    /// The communication server forwards runs that it cannot read: what goes in and what comes out is neither in
    /// the packets that pass it nor in its memory. Every search is shown to find something that is there.
    @Suite struct EndToEndSecrecyTests {
        @Test(
            .enabled("the wasmtime library is installed", { try await TestCloud.hasEngine() }),
            .enabled(if: ProcessMemory.isReadable, "this system does not let a test read /proc/PID/mem of its own children"), .timeLimit(.minutes(20)))
        func runsPassTheCommunicationServerUnread() async throws {
            let cloud = try await TestCloud(recorded: true)
            let program = cloud.program
            let (inInput, inResult, planted) = (Marker(), Marker(), Marker())

            // Large enough for some dozens of packets each way.
            let lines = (0..<400).map { "\($0) " + ($0 % 4 == 0 ? "keep \(inResult.text)" : inInput.text) }
            let (input, answer) = TestCloud.search(lines, for: "keep")
            let file = try program.write("input.txt", Array(input.utf8))
            let commserver = try #require(cloud.servers[.commserver]).processID
            let needles = inInput.pieces + inResult.pieces

            let profile = cloud.profile
            let stream = try program.begin([
                "run", "textsearch", "--input", file, "--profile", profile, "--repeat", "100", "--concurrency", "2", "--interval", "80ms", "--run-id", "secret", "--json",
            ])
            var samples = 0
            while await stream.child.ending(within: .milliseconds(20)) == nil, samples < 400 {
                let found = try ProcessMemory.scan(commserver, for: needles)
                samples += 1
                guard found.isEmpty else {
                    Issue.record("the communication server's memory holds pieces \(found.sorted()) of the markers in sample \(samples)")
                    break
                }
            }
            let result = try await stream.result()
            #expect(result.status == 0, "\(result.errors)")
            #expect(samples >= 2)
            let servedBy = try #require(try result.object()["servedBy"] as? [String: Int])
            #expect(try await program.run("pool", "get", "secret-100").output == answer)
            for _ in 0..<3 { #expect(try ProcessMemory.scan(commserver, for: needles).isEmpty) }

            // The same search finds them where they may be: in the memory of the station that ran.
            let station = try #require(servedBy.max { $0.value < $1.value }?.key)
            let role = try #require(TestCloud.Role.allCases.first { "\($0)" == station })
            let runner = try #require(cloud.servers[role]).processID
            #expect(try !ProcessMemory.scan(runner, for: needles).isEmpty)
            // And in the communication server's memory it finds what it does hold: the application.
            #expect(try await program.run("app", "samples", "--out", program.folder).status == 0)
            let module = [UInt8](try Data(contentsOf: URL(fileURLWithPath: program.path("textsearch.wasm"))))
            let middle = Array(module[(module.count / 2)...].prefix(64))
            #expect(try ProcessMemory.scan(commserver, for: [middle]) == [0])

            // A datagram in the clear: the recordings would show one.
            for relay in cloud.relays { try send(planted.text, to: relay.address) }
            _ = try await program.run("status", "--profile", profile)
            let paths = ["client.pcap", "nodes.pcap"].map(program.path)
            for role in [TestCloud.Role.stationA, .stationB, .center, .commserver] { #expect(await cloud.servers[role]?.stop() == 0) }
            for relay in cloud.relays { #expect(await relay.stop() == 0) }
            for path in paths {
                let capture = try Data(contentsOf: URL(fileURLWithPath: path))
                // All the runs' packets are in it.
                #expect(capture.count > 100 * answer.utf8.count)
                capture.withUnsafeBytes { bytes in
                    #expect(planted.pieces.allSatisfy { ProcessMemory.contains(bytes, $0) })
                    #expect(!needles.contains { ProcessMemory.contains(bytes, $0) })
                }
            }
            program.remove()
        }

        private func send(_ text: String, to address: String) throws {
            let port = try #require(address.split(separator: ":").last.flatMap { UInt16($0) })
            let descriptor = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
            defer { close(descriptor) }
            var target = sockaddr_in()
            target.sin_family = sa_family_t(AF_INET)
            target.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            target.sin_port = port.bigEndian
            let bytes = Array(text.utf8)
            let sent = withUnsafePointer(to: &target) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { sendto(descriptor, bytes, bytes.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
            #expect(sent == bytes.count)
        }
    }
}
