import MastTransport
import Testing

/// Frames as bytes, one by one (RFC 9000 section 19, with this format's own numbers in `WireFormat`).
@Suite struct FrameCodecTests {
    struct Case: Sendable {
        var frame: Frame
        var bytes: [UInt8]
        init(_ frame: Frame, _ bytes: [UInt8]) { (self.frame, self.bytes) = (frame, bytes) }
    }

    private static let two = StreamID(rawValue: 2)

    static let cases: [Case] = [
        Case(.ping, [0x01]),
        // Path 0, largest 100, delay 3 µs, no more ranges, 10 before the largest.
        Case(.ack(AckFrame(ranges: [90...100], delayMicroseconds: 3)), [0x02, 0, 0x40, 0x64, 3, 0, 10]),
        // 19.3.1: the gap counts one less than the numbers between, the length one less than the numbers in it.
        Case(.ack(AckFrame(ranges: [20...20, 10...18, 0...7], delayMicroseconds: 0)), [0x02, 0, 20, 0, 2, 0, 0, 8, 1, 7]),
        Case(
            .ack(AckFrame(path: 1, ranges: [90...100], delayMicroseconds: 3, marks: ECNCounts(ect0: 1, ect1: 2, ce: 64))),
            [0x03, 1, 0x40, 0x64, 3, 0, 10, 1, 2, 0x40, 0x40]),
        // One run of two times: none passed over, the newest at step 70, the one before it two steps earlier.
        Case(
            .ack(
                AckFrame(
                    ranges: [90...100], delayMicroseconds: 3,
                    timestamps: [ReceiveTimestamp(number: 100, steps: 70), ReceiveTimestamp(number: 99, steps: 68)])),
            [0x06, 0, 0x40, 0x64, 3, 0, 10, 1, 0, 2, 0x40, 0x46, 2]),
        Case(.resetStream(two, code: 7, finalSize: 64), [0x04, 2, 7, 0x40, 0x40]),
        Case(.stopSending(two, code: 9), [0x05, 2, 9]),
        Case(
            .stream(StreamFrame(id: two, offset: 5, data: [0xAA, 0xBB], fin: false, deadlineMicroseconds: nil)),
            [0x08, 2, 5, 2, 0xAA, 0xBB]),
        Case(.stream(StreamFrame(id: two, offset: 5, data: [], fin: true, deadlineMicroseconds: nil)), [0x09, 2, 5, 0]),
        Case(.stream(StreamFrame(id: two, offset: 0, data: [1], fin: false, deadlineMicroseconds: 63)), [0x0A, 2, 0, 63, 1, 1]),
        Case(.stream(StreamFrame(id: two, offset: 0, data: [1], fin: true, deadlineMicroseconds: 64)), [0x0B, 2, 0, 0x40, 0x40, 1, 1]),
        Case(.maxData(16_384), [0x10, 0x80, 0, 0x40, 0]),
        Case(.maxStreamData(two, 1), [0x11, 2, 1]),
        Case(.maxStreams(100), [0x12, 0x40, 0x64]),
        Case(.pathChallenge(0x0102_0304_0506_0708), [0x1A, 1, 2, 3, 4, 5, 6, 7, 8]),
        Case(.pathResponse(0x0102_0304_0506_0708), [0x1B, 1, 2, 3, 4, 5, 6, 7, 8]),
        Case(.close(code: 3, reason: "bye"), [0x1C, 3, 3, 0x62, 0x79, 0x65]),
    ]

    private func frames(_ bytes: [UInt8]) throws(ProtocolViolation) -> [Frame] {
        var reader = FrameReader(bytes)
        var frames: [Frame] = []
        while let frame = try reader.next() { frames.append(frame) }
        return frames
    }

    private func violation(_ bytes: [UInt8]) -> ProtocolViolation? {
        do throws(ProtocolViolation) {
            _ = try frames(bytes)
            return nil
        } catch { return error }
    }

    @Test(arguments: cases.indices) func aFrameHasTheseBytesAndNoOthers(index: Int) throws {
        let row = Self.cases[index]
        var writer = ByteWriter()
        writer.frame(row.frame)
        #expect(writer.bytes == row.bytes)
        #expect(try frames(row.bytes) == [row.frame])
        // Padding is nothing, wherever it stands (19.1).
        #expect(try frames([0, 0] + row.bytes + [0] + row.bytes + [0, 0, 0]) == [row.frame, row.frame])
    }

    @Test(arguments: cases.indices) func aFrameThatIsCutAnywhereIsMalformed(index: Int) {
        let bytes = Self.cases[index].bytes
        for end in 1..<max(1, bytes.count) {
            #expect(violation(Array(bytes.prefix(end)))?.code == .frameEncoding, "\(bytes) cut at \(end)")
        }
    }

    @Test func anEmptyPayloadHasNoFrame() throws {
        #expect(try frames([]) == [])
        #expect(try frames([0, 0, 0]) == [])
    }

    @Test func everyTypeThatIsNotInTheTableIsRefused() {
        let known: [UInt64] = [0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09, 0x0A, 0x0B, 0x10, 0x11, 0x12, 0x1A, 0x1B, 0x1C]
        for type in (0..<0x100 as Range<UInt64>) + [0x4000, VarInt.max] where !known.contains(type) {
            var writer = ByteWriter()
            writer.varInt(type)
            writer.append([UInt8](repeating: 0, count: 40))
            let refused = violation(writer.bytes)
            #expect(refused?.code == .frameEncoding && refused?.reason == "unknown frame type \(type)")
        }
    }

    struct Ranges: Sendable {
        var what: String
        /// Behind type, path, largest and delay.
        var bytes: [UInt8]
        /// Nil where it is malformed.
        var ranges: [ClosedRange<UInt64>]?
    }

    /// Largest 10 (19.3.1: no number below 0 is acknowledged).
    static let ranges: [Ranges] = [
        Ranges(what: "all down to 0", bytes: [0, 10], ranges: [0...10]),
        Ranges(what: "one below 0", bytes: [0, 11], ranges: nil),
        Ranges(what: "the smallest gap, then one number", bytes: [1, 0, 0, 0], ranges: [10...10, 8...8]),
        Ranges(what: "second range ends at 0", bytes: [1, 0, 8, 0], ranges: [10...10, 0...0]),
        Ranges(what: "the gap reaches below 0", bytes: [1, 0, 9, 0], ranges: nil),
        Ranges(what: "second range begins at 0", bytes: [1, 0, 2, 6], ranges: [10...10, 0...6]),
        Ranges(what: "second range begins below 0", bytes: [1, 0, 2, 7], ranges: nil),
        Ranges(what: "no room for any gap", bytes: [1, 9, 0, 0], ranges: nil),
        Ranges(what: "room for a gap of one number", bytes: [1, 8, 0, 0], ranges: [2...10, 0...0]),
        Ranges(what: "a gap as large as numbers are", bytes: [1, 0] + [UInt8](repeating: 0xFF, count: 8) + [0], ranges: nil),
        Ranges(what: "one range too few", bytes: [2, 0, 0, 0], ranges: nil),
    ]

    @Test(arguments: ranges.indices) func rangesOfAnAcknowledgementAreCheckedToTheLastNumber(index: Int) throws {
        let row = Self.ranges[index]
        let bytes: [UInt8] = [0x02, 0, 10, 0] + row.bytes
        guard let expected = row.ranges else {
            #expect(violation(bytes)?.code == .frameEncoding, "\(row.what)")
            return
        }
        #expect(try frames(bytes) == [.ack(AckFrame(ranges: expected, delayMicroseconds: 0))], "\(row.what)")
    }

    @Test func thirtyTwoRangesAreReadAndThirtyThreeAreNot() throws {
        #expect(AckFrame.maximumRanges == 32)
        let alternate = { (count: Int) in (0..<count).map { UInt64(2 * (count - 1 - $0))...UInt64(2 * (count - 1 - $0)) } }
        var writer = ByteWriter()
        writer.frame(.ack(AckFrame(ranges: alternate(32), delayMicroseconds: 1)))
        #expect(try frames(writer.bytes) == [.ack(AckFrame(ranges: alternate(32), delayMicroseconds: 1))])
        var over = ByteWriter()
        over.frame(.ack(AckFrame(ranges: alternate(33), delayMicroseconds: 1)))
        #expect(violation(over.bytes) == ProtocolViolation(code: .frameEncoding, reason: "too many ack ranges"))
    }

    /// RFC 9000 section 4.5 and 19.8: no byte stands beyond 2^62 - 1.
    @Test func aStreamEndsAtTheLargestOffsetAndNotBeyond() throws {
        let last = { (offset: UInt64, count: Int) -> [UInt8] in
            var writer = ByteWriter()
            writer.streamHeader(id: Self.two, offset: offset, count: count, fin: false, deadlineMicroseconds: nil)
            writer.append([UInt8](repeating: 1, count: count))
            return writer.bytes
        }
        #expect(try frames(last(VarInt.max - 3, 3)).count == 1)
        #expect(violation(last(VarInt.max - 3, 4))?.code == .frameEncoding)
        #expect(violation(last(VarInt.max, 1))?.code == .frameEncoding)
    }

    @Test func aReasonIsCutAt256Bytes() throws {
        let long = String(repeating: "x", count: 300)
        var writer = ByteWriter()
        writer.frame(.close(code: 0, reason: long))
        #expect(writer.count == 1 + 1 + 2 + 256)
        #expect(try frames(writer.bytes) == [.close(code: 0, reason: String(repeating: "x", count: 256))])
        // A peer that sends more is read as far.
        var wordy = ByteWriter()
        wordy.varInt(0x1C)
        wordy.varInt(0)
        wordy.lengthPrefixed([UInt8](repeating: 0x78, count: 300))
        #expect(try frames(wordy.bytes) == [.close(code: 0, reason: String(repeating: "x", count: 256))])
    }

    @Test func theRoomForAStreamHeaderIsAlwaysEnough() {
        for id in [0, 63, 64, 1 << 14, 1 << 30, VarInt.max] as [UInt64] {
            for offset in [0, 63, 64, 1 << 14, 1 << 30, VarInt.max] as [UInt64] {
                for deadline in [nil, 0, VarInt.max] as [UInt64?] {
                    var writer = ByteWriter()
                    writer.streamHeader(
                        id: StreamID(rawValue: id), offset: offset, count: 65_535, fin: true, deadlineMicroseconds: deadline)
                    #expect(writer.count <= ByteWriter.streamHeaderSize(id: StreamID(rawValue: id), offset: offset))
                }
            }
        }
    }
}
