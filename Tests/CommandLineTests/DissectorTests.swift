import Foundation
import MastCapture
import MastProcesses
import MastTimebase
import Testing

/// `captures/mast.lua` in tshark.
@Suite struct DissectorTests {
    private static let captures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../captures").standardizedFileURL.path

    private static let tshark: String? = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        .map { $0 + "/tshark" }.first { FileManager.default.isExecutableFile(atPath: $0) }

    /// One row a packet: kind, low part of the destination connection ID, packet number, what an expert says.
    private func rows(_ path: String, _ options: [String] = []) async throws -> [[String]] {
        var start = ChildProcess.Start(
            try #require(Self.tshark), ["-X", "lua_script:\(Self.captures)/mast.lua", "-r", path] + options
                + ["-T", "fields", "-e", "mast.kind", "-e", "mast.dcid.local", "-e", "mast.number", "-e", "_ws.expert.message"])
        (start.output, start.errors) = (.pipe, .nothing)
        let tshark = try ChildProcess(start)
        let output = try #require(await tshark.output?.rest(within: .seconds(60)))
        #expect(await tshark.ending(within: .seconds(60)) == .exited(0))
        return String(decoding: output, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: true)
            .map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
    }

    @Test(.enabled(if: tshark != nil, "tshark is not installed: apt-get install tshark"))
    func tsharkReadsOurOwnCaptureAsTheProgramDoes() async throws {
        let program = try Program()
        defer { program.remove() }
        let path = Self.captures + "/calls.pcapng"
        let names = ["", "initiation", "response", "cookie-reply", "data", "reset", "key-query", "key-answer"]
        let ours = try await program.run("capture", "-r", path, "--dissect").output.split(separator: "\n")
            .map { $0.split(separator: " ", omittingEmptySubsequences: true).map(String.init) }
        // By its ports, and where no port is known by its handshakes.
        for options in [[], ["-o", "mast.ports:9"]] {
            let theirs = try await rows(path, options)
            #expect(theirs.count == ours.count && ours.count > 30)
            for (ours, theirs) in zip(ours, theirs) {
                #expect(Int(theirs[0]).map { names[$0] } == ours[4], "\(ours) \(theirs)")
                if ours[4] == "data" {
                    #expect("…" + theirs[2] == ours[10])
                    #expect(UInt32(theirs[1].dropFirst(2), radix: 16) == UInt32(ours[8], radix: 16))
                }
            }
            let kinds = Set(theirs.map { $0[0] })
            #expect(kinds == ["1", "2", "4", "5", "6", "7"])
            #expect(theirs.allSatisfy { !$0[3].contains("Wrong") && !$0[3].contains("Unknown") })
        }
    }

    @Test(.enabled(if: tshark != nil, "tshark is not installed: apt-get install tshark"))
    func malformedDatagramsAreExpertsFindings() async throws {
        let program = try Program()
        defer { program.remove() }
        var chance = SeededGenerator(seed: 3)
        let malformed: [([UInt8], String)] = [
            ([0x10, 1] + [UInt8](repeating: 0, count: 1100), "bytes"), ([0x90, 1, 2], "Unknown packet kind"),
            ([0x47] + [UInt8](repeating: 7, count: 40), "Unknown flags"), ([0x20, 9] + [UInt8](repeating: 1, count: 120), "Unknown version"),
            ([0x60, 1] + [UInt8](repeating: 5, count: 62), "Padding is not zero"), ([0x50], "bytes"), ([0x40, 1], "bytes"),
        ]
        var writer = CaptureWriter(.pcapng)
        var bytes = writer.header
        let noise = (0..<400).map { _ in (0..<Int(1 + chance.next(below: 120))).map { _ in UInt8(truncatingIfNeeded: chance.next()) } }
        for datagram in malformed.map(\.0) + noise {
            bytes += writer.record(datagram: datagram, from: .loopback(port: 50_000), to: .loopback(port: 4433), epochNanoseconds: 1_000)
        }
        let rows = try await rows(try program.write("malformed.pcapng", bytes))
        #expect(rows.count == malformed.count + noise.count)
        for (row, (_, finding)) in zip(rows, malformed) { #expect(row.last?.contains(finding) == true, "\(row) should tell of \(finding)") }
        // A fault of the script itself shows as one, too.
        #expect(rows.allSatisfy { row in !row.contains { $0.contains("Lua") } })
    }
}
