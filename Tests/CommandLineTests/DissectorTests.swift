import Foundation
import MastCapture
import MastProcesses
import MastTimebase
import MastTransport
import TestKit
import Testing

/// `captures/mast.lua` in tshark.
@Suite struct DissectorTests {
    private static let captures = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../captures").standardizedFileURL.path

    private static let tshark: String? = (ProcessInfo.processInfo.environment["PATH"] ?? "").split(separator: ":")
        .map { $0 + "/tshark" }.first { FileManager.default.isExecutableFile(atPath: $0) }

    private static let kinds = [
        "0x07": "initiation", "0x05": "response", "0x06": "cookie-reply", "0x04": "reset", "0x08": "data", "0x0c": "key-query", "0x0d": "key-answer",
        "0x0e": "versions",
    ]

    /// One row a packet: kind, destination connection ID, packet number, what an expert says.
    private static func rows(_ path: String, _ options: [String] = [], fields: [String] = []) async throws -> [[String]] {
        var start = ChildProcess.Start(
            try #require(tshark), ["-X", "lua_script:\(captures)/mast.lua", "-r", path] + options
                + ["-T", "fields", "-e", "mast.kind", "-e", "mast.dcid", "-e", "mast.number", "-e", "_ws.expert.message"]
                + fields.flatMap { ["-e", $0] })
        (start.output, start.errors) = (.pipe, .nothing)
        let child = try ChildProcess(start)
        let output = try #require(await child.output?.rest(within: .seconds(60)))
        #expect(await child.ending(within: .seconds(60)) == .exited(0))
        return String(decoding: output, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: true)
            .map { $0.split(separator: "\t", omittingEmptySubsequences: false).map(String.init) }
    }

    @Test(.enabled(if: tshark != nil, "tshark is not installed: apt-get install tshark"))
    func tsharkReadsOurOwnCaptureAsTheProgramDoes() async throws {
        let program = try Program()
        defer { program.remove() }
        let path = Self.captures + "/calls.pcapng"
        let ours = try await program.run("capture", "-r", path, "--dissect").output.split(separator: "\n")
            .map { $0.split(separator: " ", omittingEmptySubsequences: true).map(String.init) }
        // By answers that match their openings, which the second pass shows too; and by a port that was named.
        for options in [["-2"], ["-o", "mast.ports:4433"]] {
            let theirs = try await Self.rows(path, options)
            #expect(theirs.count == ours.count && ours.count > 30)
            for (ours, theirs) in zip(ours, theirs) {
                #expect(Self.kinds[theirs[0]] == ours[4], "\(ours) \(theirs)")
                if ours[4] == "data" {
                    #expect("…" + theirs[2] == ours[10])
                    #expect(UInt64(theirs[1].dropFirst(2), radix: 16) == UInt64(ours[8], radix: 16))
                }
            }
            let kinds = Set(theirs.map { $0[0] })
            #expect(kinds == ["0x04", "0x05", "0x07", "0x08", "0x0c", "0x0d"])
            #expect(theirs.allSatisfy { !$0[3].contains("Wrong") && !$0[3].contains("Unknown") })
        }
    }

    @Test(.enabled(if: tshark != nil, "tshark is not installed: apt-get install tshark"))
    func malformedDatagramsAreExpertsFindings() async throws {
        let program = try Program()
        defer { program.remove() }
        var chance = SeededGenerator(seed: 3)
        let malformed: [([UInt8], String)] = [
            ([0x04] + [UInt8](repeating: 0, count: 1100), "bytes"), ([0x90, 1, 2], "Unknown packet kind"),
            ([0x0F] + [UInt8](repeating: 2, count: 1_199), "Unknown packet kind"), ([0x05] + [UInt8](repeating: 9, count: 129), "Unknown version"),
            ([0x0C] + [UInt8](repeating: 0, count: 8) + [2] + [UInt8](repeating: 5, count: 54), "Padding is not zero"),
            ([0x0E] + [UInt8](repeating: 0, count: 17), "bytes"), ([0x0E] + [UInt8](repeating: 1, count: 20), "Unknown version"),
            ([0x07], "bytes"), ([0x08, 1], "bytes"), ([0x0B] + [UInt8](repeating: 7, count: 27), "bytes"),
        ]
        var writer = CaptureWriter(.pcapng)
        var bytes = writer.header
        let noise = (0..<400).map { _ in (0..<Int(1 + chance.next(below: 120))).map { _ in UInt8(truncatingIfNeeded: chance.next()) } }
        for datagram in malformed.map(\.0) + noise {
            bytes += writer.record(datagram: datagram, from: .loopback(port: 50_000), to: .loopback(port: 4433), epochNanoseconds: 1_000)
        }
        let rows = try await Self.rows(try program.write("malformed.pcapng", bytes), ["-o", "mast.ports:4433"])
        #expect(rows.count == malformed.count + noise.count)
        for (row, (_, finding)) in zip(rows, malformed) { #expect(row.last?.contains(finding) == true, "\(row) should tell of \(finding)") }
        // A fault of the script itself shows as one, too.
        #expect(rows.allSatisfy { row in !row.contains { $0.contains("Lua") } })
    }

    /// Where tshark is not installed nothing is expected of it.
    static func expectDecrypted(_ path: String, keys: String, method: String) async throws {
        guard tshark != nil else { return }
        let rows = try await rows(path, ["-2", "-o", "mast.keylog:\(keys)"], fields: ["mast.call.method", "mast.frame", "mast.full_number"])
        let data = rows.filter { kinds[$0[0]] == "data" }
        #expect(data.count > 3 && data.allSatisfy { $0[3].isEmpty && !$0[5].isEmpty && !$0[6].isEmpty }, "\(data)")
        #expect(data.contains { $0[4] == method }, "\(data)")
        let wrong = try await Self.rows(path, ["-2", "-o", "mast.keylog:\(path)"])
        #expect(wrong.filter { kinds[$0[0]] == "data" }.allSatisfy { $0[3].contains("Not decrypted: the key log holds no line") }, "\(wrong)")
    }

    /// Two ends whose keys change twice. The recording begins with a first message.
    @Test(.enabled(if: tshark != nil, "tshark is not installed: apt-get install tshark"), arguments: CipherSuite.allCases)
    func packetsOfEveryCipherAreDecrypted(_ suite: CipherSuite) async throws {
        let program = try Program()
        defer { program.remove() }
        var configuration = TransportConfiguration()
        (configuration.cipherSuites, configuration.logsKeys) = ([suite], true)
        let pair = Pair(configuration: configuration)
        var writer = CaptureWriter(.pcapng)
        var bytes = writer.header
        pair.filter = { side, payload in
            let (from, to) = side == .client ? (Pair.clientAddress, Pair.serverAddress) : (Pair.serverAddress, Pair.clientAddress)
            bytes += writer.record(datagram: payload, from: from, to: to, epochNanoseconds: Int64(bytes.count))
            return true
        }
        let handle = pair.connect()
        #expect(pair.run(for: .seconds(3)) { $0.isConnected(handle) })
        for round in 0..<3 {
            let opened = pair.client.openStream(handle, deadline: nil, at: pair.now)
            let stream = try #require(opened)
            let request = [UInt8](repeating: 7, count: 3_000)
            let written = pair.client.write(handle, stream, request[...], fin: true, at: pair.now)
            #expect(written == request.count)
            pair.run(for: .seconds(1))
            if round < 2 { pair.client.changeKeys(handle, at: pair.now) }
        }
        let keys = try program.write("keys.txt", Array(pair.client.pollKeys().map { $0.line + "\n" }.joined().utf8))
        let path = try program.write("pair.pcapng", bytes)
        let rows = try await Self.rows(path, ["-2", "-o", "mast.keylog:\(keys)"], fields: ["mast.full_number", "mast.generation"])
        #expect(rows.prefix(2).map { Self.kinds[$0[0]] } == ["initiation", "response"])
        let data = rows.dropFirst(2)
        #expect(data.count > 9 && data.allSatisfy { Self.kinds[$0[0]] == "data" && $0[3].isEmpty && !$0[4].isEmpty }, "\(rows)")
        #expect(Set(data.map { $0[5] }) == ["0", "1", "2"])
        let ours = try await program.run("capture", "-r", path, "--dissect", "--keylog", keys)
        #expect(ours.status == 0 && !ours.output.contains("NOT DECRYPTED"), "\(ours)")
    }

    /// Traffic of others, both ways, on a port that ours use, too.
    @Test(.enabled(if: tshark != nil, "tshark is not installed: apt-get install tshark"))
    func othersTrafficIsNotOurs() async throws {
        let program = try Program()
        defer { program.remove() }
        var chance = SeededGenerator(seed: 23)
        func noise(_ count: Int) -> [UInt8] { (0..<count).map { _ in UInt8(truncatingIfNeeded: chance.next()) } }
        let (ours, theirs) = (NetworkAddress.loopback(port: 4433), NetworkAddress.loopback(port: 50_000))
        var writer = CaptureWriter(.pcapng)
        var bytes = writer.header
        let sizes: [(UInt8, Int)] = [(0x04, 1_200), (0x05, 166), (0x06, 58), (0x07, 25), (0x08, 80), (0x0C, 64), (0x0D, 50), (0x0E, 20)]
        for number in 0..<2_000 {
            let (kind, size) = sizes[number % sizes.count]
            let datagram: [UInt8] =
                switch number % 6 {
                case 0: [kind] + noise(8) + [2] + noise(size - 10)
                case 1: [0x09] + [UInt8](repeating: 0x33, count: 8) + noise(60)
                case 4: [0x04] + [UInt8](repeating: 0, count: 8) + [2] + noise(1_190)  // never answered
                case 2: [0x17, 0xFE, 0xFD, 0, 1] + noise(80)
                case 3: [0x80, 96, 0, UInt8(truncatingIfNeeded: number)] + noise(160)
                default: noise(1 + Int(chance.next(below: 1_300)))
                }
            let isUp = number / 6 % 2 == 0
            bytes += writer.record(datagram: datagram, from: isUp ? theirs : ours, to: isUp ? ours : theirs, epochNanoseconds: Int64(number) * 1_000)
        }
        let path = try program.write("others.pcapng", bytes)
        #expect(try await Self.rows(path, ["-2"]).allSatisfy { $0[0].isEmpty })
        #expect(try await program.run("capture", "-r", path, "--dissect").output.isEmpty)
    }
}
