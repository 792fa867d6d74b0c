import MastTimebase
import MastTransport
import TestKit
import Testing

/// Recorded packets opened with what an endpoint logs.
@Suite struct KeyLogTests {
    private struct Recording {
        var packets: [[UInt8]] = []
        var client: [PacketKeys] = []
        var server: [PacketKeys] = []
        var data: [[UInt8]] { packets.filter { WirePacket.isData($0) } }
        func log(_ lines: [PacketKeys]) -> KeyLog {
            var log = KeyLog()
            for line in lines { log.append("\(line.line)\n".utf8) }
            return log
        }
    }

    /// A connection whose keys change twice on its way.
    private func record(logging: Bool = true) -> Recording {
        var configuration = TransportConfiguration()
        configuration.logsKeys = logging
        let pair = Pair(configuration: configuration)
        var packets: [[UInt8]] = []
        pair.filter = { _, payload in
            packets.append(payload)
            return true
        }
        let handle = connected(pair)
        for round in 0..<3 as Range<UInt8> {
            #expect(echo([UInt8](repeating: round, count: 5_000), on: handle, in: pair, within: .seconds(5)).count == 5_000)
            if round < 2 { pair.client.changeKeys(handle, at: pair.now) }
        }
        pair.run(for: .seconds(1))
        return Recording(packets: packets, client: pair.client.pollKeys(), server: pair.server.pollKeys())
    }

    @Test func bothEndsLogTheSameLineForEachKeyPhase() {
        let recording = record()
        #expect(recording.client.map(\.generation) == [0, 1, 2])
        #expect(recording.client.map(\.line) == recording.server.map(\.line))
        #expect(Set(recording.client.flatMap { [$0.toResponder.keyAndIV, $0.toInitiator.keyAndIV] }).count == 6)
    }

    @Test func nothingIsKeptUnlessItIsAskedFor() {
        let recording = record(logging: false)
        #expect(recording.client.isEmpty && recording.server.isEmpty)
    }

    @Test func everyDataPacketOpensThroughAllKeyPhases() throws {
        let recording = record()
        let log = recording.log(recording.server)
        var opener = RecordedPacketOpener()
        var (generations, bytes) = (Set<UInt64>(), [UInt8: Int]())
        for packet in recording.data {
            guard case .opened(let payload, _, let generation) = opener.open(packet, wireBytes: packet.count, with: log) else {
                Issue.record("a packet stays sealed")
                return
            }
            generations.insert(generation)
            var frames = FrameReader(payload)
            while let frame = try frames.next() {
                if case .stream(let stream) = frame { for byte in stream.data { bytes[byte, default: 0] += 1 } }
            }
        }
        #expect(generations == [0, 1, 2])
        #expect(bytes == [0: 10_000, 1: 10_000, 2: 10_000], "5,000 bytes there and back in each phase")
        #expect(log.connections == 1 && log.strangeLines == 0)
    }

    @Test func aRecordingMayBeginAnywhere() {
        let recording = record()
        let log = recording.log(recording.client)
        let data = recording.data
        for start in stride(from: 0, to: data.count, by: 5) {
            var opener = RecordedPacketOpener()
            for packet in data[start...] {
                if case .sealed(let reason) = opener.open(packet, wireBytes: packet.count, with: log) { Issue.record("from \(start): \(reason)") }
            }
        }
    }

    @Test func aLineThatIsMissingIsSaid() {
        let recording = record()
        func outcomes(_ lines: [PacketKeys]) -> Set<String> {
            let log = recording.log(lines)
            var opener = RecordedPacketOpener()
            return Set(recording.data.map { packet in
                switch opener.open(packet, wireBytes: packet.count, with: log) {
                case .opened(_, _, let generation): "phase \(generation)"
                case .sealed(let reason): "\(reason)"
                }
            })
        }
        let lines = recording.client
        #expect(outcomes([]) == ["noConnection"])
        #expect(outcomes([lines[0]]).isSuperset(of: ["phase 0", "noPhase"]))
        #expect(outcomes([lines[0], lines[2]]) == ["phase 0", "noPhase", "phase 2"], "what follows a missing line is read")
        #expect(outcomes([lines[1]]).isSuperset(of: ["phase 1", "noPhase"]))
        let wrong = lines.map { line in
            PacketKeys(
                initiator: line.initiator, responder: line.responder, generation: line.generation, toResponder: line.toInitiator,
                toInitiator: line.toResponder)
        }
        #expect(outcomes(wrong) == ["wrongKeys"])
        let other = PacketKeys(
            initiator: ConnectionID(rawValue: 1), responder: ConnectionID(rawValue: 2), generation: 0, toResponder: lines[0].toResponder,
            toInitiator: lines[0].toInitiator)
        #expect(outcomes([other]) == ["noConnection"])
    }

    @Test func aCutPacketIsSaidToBeCut() throws {
        let recording = record()
        let packet = try #require(recording.data.first { $0.count > 200 })
        var opener = RecordedPacketOpener()
        #expect(opener.open(Array(packet.prefix(100)), wireBytes: packet.count, with: recording.log(recording.client)) == .sealed(.cut))
        for length in 0..<29 {
            let outcome = opener.open(Array(packet.prefix(length)), wireBytes: length, with: recording.log(recording.client))
            #expect(outcome == .sealed(length < 9 ? .noConnection : .cut))
        }
    }

    @Test func linesOfOthersArePassedOverAndCounted() {
        var log = KeyLog()
        let keys = PacketKeys(
            initiator: ConnectionID(rawValue: 1), responder: ConnectionID(rawValue: 2), generation: 3, toResponder: PacketKey(secret: [1], suite: .aes128GCM),
            toInitiator: PacketKey(secret: [2], suite: .aes128GCM))
        let text = """
            # a remark

            CLIENT_RANDOM 00 11
            \(keys.line)
            \(keys.line.dropLast(2))
            \(keys.line.replacing(" 3 ", with: " -3 "))
            MAST_METHOD 0a0b0c0d shop.v1.Orders/get
            MAST_METHOD nonsense shop.v1.Orders/set
            MAST_PACKET_KEYS
            \(String(repeating: "x", count: 100_000))

            """
        // In pieces, as a file that grows is read.
        let bytes = Array(text.utf8)
        for start in stride(from: 0, to: bytes.count, by: 7) { log.append(bytes[start..<min(start + 7, bytes.count)]) }
        #expect(log.connections == 1 && log.strangeLines == 6)
        #expect(log.way(to: ConnectionID(rawValue: 2)) == KeyLog.Way(connection: 0, isToResponder: true))
        #expect(log.way(to: ConnectionID(rawValue: 1)) == KeyLog.Way(connection: 0, isToResponder: false))
        #expect(log.method(0x0A0B_0C0D) == "shop.v1.Orders/get")
        #expect(KeyLog.line(method: "shop.v1.Orders/get", number: 0x0A0B_0C0D) == "MAST_METHOD 0a0b0c0d shop.v1.Orders/get")
        #expect(KeyLog.line(method: "two\nlines", number: 1) == nil && KeyLog.line(method: "", number: 1) == nil)
    }

    private static let keys = PacketKeys(
        initiator: ConnectionID(rawValue: 0x0102_0304_0506_0708), responder: ConnectionID(rawValue: 0xA), generation: 12,
        toResponder: PacketKey(suite: .aes128GCM, key: [UInt8](0..<16), iv: [UInt8](16..<28)),
        toInitiator: PacketKey(suite: .aes128GCM, key: [UInt8](32..<48), iv: [UInt8](48..<60)))
    private static let line =
        "MAST_PACKET_KEYS 0102030405060708 000000000000000a 12 AEAD_AES_128_GCM 000102030405060708090a0b0c0d0e0f101112131415161718191a1b"
        + " 202122232425262728292a2b2c2d2e2f303132333435363738393a3b"

    @Test func aLineReadsAsTheDocumentationSays() {
        #expect(Self.keys.line == Self.line)
        var log = KeyLog()
        log.append("\(Self.line)\n".utf8)
        #expect(log.way(to: Self.keys.responder) == KeyLog.Way(connection: 0, isToResponder: true))
        #expect(log.strangeLines == 0)
        // Without its end a line is not yet one.
        log.append(Self.line.replacing(" 000000000000000a ", with: " 000000000000000b ").utf8)
        #expect(log.way(to: ConnectionID(rawValue: 0xB)) == nil)
        log.append("\n".utf8)
        #expect(log.way(to: ConnectionID(rawValue: 0xB)) == KeyLog.Way(connection: 1, isToResponder: true))
        #expect(log.connections == 2)
    }

    @Test(arguments: [
        ("MAST_PACKET_KEYS", "MAST_PACKET_KEY"), (" 12 ", " twelve "), (" 12 ", " "), (" 12 ", " 12 13 "), ("0102030405060708 ", "02030405060708 "),
        ("0102030405060708 ", "000102030405060708 "), (" 000000000000000a", " 00000000000000xa"), (" 0001", " 00"), (" 0001", " 000001"),
        ("3a3b", "3a"), ("3a3b", "3a3bff"), ("3a3b", "3a3g"),
    ]) func aLineThatIsNotOneIsCounted(part: String, instead: String) {
        var log = KeyLog()
        let line = Self.line.replacing(part, with: instead, maxReplacements: 1)
        #expect(line != Self.line)
        log.append("\(line)\n".utf8)
        #expect(log.strangeLines == 1 && log.connections == 0)
    }

    @Test func aConnectionIsCountedOnceWhateverItsPhases() {
        var log = KeyLog()
        var keys = Self.keys
        for generation in [12, 13, 11] as [UInt64] {
            keys.generation = generation
            log.insert(keys)
        }
        #expect(log.connections == 1)
        keys.responder = ConnectionID(rawValue: 0xC)
        log.insert(keys)
        #expect(log.connections == 2 && log.way(to: keys.responder) == KeyLog.Way(connection: 1, isToResponder: true))
    }

    @Test func aMethodsNameStandsOnItsLine() {
        let longest = String(repeating: "m", count: 1_024)
        #expect(KeyLog.line(method: longest, number: 1) == "MAST_METHOD 00000001 " + longest)
        for path in [longest + "m", "", "two words", "new\nline", "\u{7F}", "ä"] { #expect(KeyLog.line(method: path, number: 1) == nil, "\(path.prefix(9))") }
        #expect(KeyLog.line(method: "!~", number: 0xFFFF_FFFF) == "MAST_METHOD ffffffff !~")
        var log = KeyLog()
        log.append("MAST_METHOD 1 a\nMAST_METHOD 1 b\nMAST_METHOD 100000000 c\nMAST_METHOD 2 d e\n".utf8)
        #expect(log.method(1) == "b" && log.method(2) == nil)
        #expect(log.strangeLines == 2)
    }

    /// A file of lines without end, or of methods without number, costs what is stated and no more.
    @Test func aLogThatNeverEndsIsCut() {
        var log = KeyLog()
        let path = { (count: Int) in String(repeating: "p", count: count) }
        // "MAST_METHOD 1 " are fourteen.
        log.append("MAST_METHOD 1 \(path(4_082))\nMAST_METHOD 2 \(path(9_000))\n".utf8)
        #expect(log.method(1) == path(4_082) && log.method(2) == path(4_082))
        for number in 3...70_000 { log.append("MAST_METHOD \(String(number, radix: 16)) m\n".utf8) }
        #expect(log.method(65_536) == "m" && log.method(65_537) == nil)
        #expect(log.strangeLines == 0)
    }

    @Test func garbageNeverTrapsTheOpener() {
        let recording = record()
        let log = recording.log(recording.client)
        var chance = SeededGenerator(seed: 11)
        var opener = RecordedPacketOpener()
        for packet in recording.data.prefix(20) {
            for _ in 0..<200 {
                var broken = packet
                let index = Int(chance.next(below: UInt64(broken.count)))
                broken[index] ^= UInt8(1 + chance.next(below: 255))
                if case .opened = opener.open(broken, wireBytes: broken.count, with: log) { Issue.record("a forged packet opens") }
            }
        }
    }
}
