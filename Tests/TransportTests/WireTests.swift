import MastTimebase
import MastTransport
import Testing

@Suite struct WireTests {
    @Test func variableLengthIntegersRoundTripAtEveryBorder() {
        for value in [0, 63, 64, 16_383, 16_384, (1 << 30) - 1, 1 << 30, VarInt.max] as [UInt64] {
            var writer = ByteWriter()
            writer.varInt(value)
            #expect(writer.count == VarInt.size(value))
            var reader = ByteReader(writer.bytes)
            let back = reader.varInt()
            #expect(back == value)
            #expect(reader.isEmpty)
        }
    }

    @Test func everyFrameRoundTrips() throws {
        let frames: [Frame] = [
            .ping, .ack(AckFrame(ranges: [90...100, 50...60, 7...7], delayMicroseconds: 1_234)),
            .stream(StreamFrame(id: StreamID(rawValue: 4), offset: 0, data: [1, 2, 3], fin: true, deadlineMicroseconds: 5_000_000)),
            .stream(StreamFrame(id: StreamID(rawValue: 9), offset: 70_000, data: [], fin: true, deadlineMicroseconds: nil)),
            .maxData(1 << 40), .maxStreamData(StreamID(rawValue: 3), 99), .maxStreams(7),
            .resetStream(StreamID(rawValue: 8), code: 1, finalSize: 1 << 20), .stopSending(StreamID(rawValue: 8), code: 2),
            .pathChallenge(0xDEAD_BEEF), .pathResponse(1), .close(code: 300, reason: "so long"),
        ]
        var writer = ByteWriter()
        for frame in frames {
            writer.frame(frame)
            writer.byte(0)
        }
        var reader = FrameReader(writer.bytes)
        var read: [Frame] = []
        while let frame = try reader.next() { read.append(frame) }
        #expect(read == frames)
    }

    @Test func garbageNeverTrapsTheFrameReader() {
        var random = SeededGenerator(seed: 5)
        var violations = 0
        for _ in 0..<50_000 {
            let bytes = (0..<Int(random.next(below: 80))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            var reader = FrameReader(bytes)
            do throws(ProtocolViolation) { while try reader.next() != nil {} } catch { violations += 1 }
        }
        #expect(violations > 10_000)
    }

    @Test func packetNumbersWidenAroundTheLargestSeen() {
        #expect(PacketNumber.widen(0, largest: nil) == 0)
        #expect(PacketNumber.widen(5, largest: 3) == 5)
        #expect(PacketNumber.widen(0, largest: 0xFFFF_FFFF) == 1 << 32)
        #expect(PacketNumber.widen(0xFFFF_FFFF, largest: 1 << 32) == 0xFFFF_FFFF)
        #expect(PacketNumber.widen(7, largest: 5 << 32) == (5 << 32) + 7)
    }

    @Test func theReplayWindowAcceptsEachNumberOnce() {
        var window = ReplayWindow()
        var random = SeededGenerator(seed: 3)
        var seen = [Bool](repeating: false, count: 40_000)
        var base: UInt64 = 0
        for _ in 0..<100_000 {
            base = min(base + random.next(below: 3), 30_000)
            let number = base + random.next(below: 5_000)
            if window.accepts(number) {
                #expect(!seen[Int(number)])
                window.insert(number)
                seen[Int(number)] = true
            } else {
                #expect(seen[Int(number)] || (window.largest ?? 0) - number >= ReplayWindow.size)
            }
        }
    }

    @Test func rangeSetsAgreeWithAPlainModel() {
        var random = SeededGenerator(seed: 8)
        var set = RangeSet64()
        var model = [Bool](repeating: false, count: 200)
        for _ in 0..<5_000 {
            let lower = random.next(below: 190)
            let range = lower..<(lower + random.next(below: 10))
            let inserts = random.next(below: 3) > 0
            if inserts { set.insert(range) } else { set.remove(range) }
            for value in range { model[Int(value)] = inserts }
            for value in 0..<200 where set.contains(UInt64(value)) != model[value] {
                Issue.record("value \(value) after \(inserts ? "insert" : "remove") \(range)")
            }
            let sorted = zip(set.ranges, set.ranges.dropFirst()).allSatisfy { $0.upperBound < $1.lowerBound }
            #expect(sorted, "ranges must stay disjoint and merged")
        }
    }

    @Test func keysHaveOneSpelling() {
        var random = SeededGenerator(seed: 2)
        let key = StaticKeyPair(using: &random).publicKey
        #expect(PublicKey(key.description) == key)
        #expect(key.description.count == 43)
        #expect(PublicKey(key.description + "A") == nil)
        #expect(PublicKey("not a key") == nil)
    }
}
