import MastTransport
import Testing

/// `VarInt`, `ByteReader` and `ByteWriter`: literal bytes, and what a short buffer does.
@Suite struct ByteFieldTests {
    /// RFC 9000 section 16 and appendix A.1.
    @Test(
        arguments: [
            (0, [0x00]), (37, [0x25]), (63, [0x3F]), (64, [0x40, 0x40]), (15_293, [0x7B, 0xBD]), (16_383, [0x7F, 0xFF]),
            (16_384, [0x80, 0x00, 0x40, 0x00]), (494_878_333, [0x9D, 0x7F, 0x3E, 0x7D]), (1_073_741_823, [0xBF, 0xFF, 0xFF, 0xFF]),
            (1_073_741_824, [0xC0, 0, 0, 0, 0x40, 0, 0, 0]),
            (151_288_809_941_952_652, [0xC2, 0x19, 0x7C, 0x5E, 0xFF, 0x14, 0xE8, 0x8C]),
            (4_611_686_018_427_387_903, [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]),
        ] as [(UInt64, [UInt8])])
    func aVariableLengthIntegerHasTheseBytes(value: UInt64, bytes: [UInt8]) {
        var writer = ByteWriter()
        writer.varInt(value)
        #expect(writer.bytes == bytes)
        #expect(VarInt.size(value) == bytes.count)
        var reader = ByteReader(bytes)
        let back = reader.varInt()
        #expect(back == value && reader.isEmpty)
        for end in 0..<bytes.count {
            var short = ByteReader(bytes, from: 0, to: end)
            let none = short.varInt()
            #expect(none == nil && short.offset == 0)
        }
    }

    @Test(arguments: [1 << 62, (1 << 62) + 5, .max] as [UInt64]) func whatDoesNotFitIsWrittenAsTheLargest(value: UInt64) {
        var writer = ByteWriter()
        writer.varInt(value)
        #expect(writer.bytes == [UInt8](repeating: 0xFF, count: 8))
        #expect(VarInt.size(value) == 8 && VarInt.max == 4_611_686_018_427_387_903)
    }

    /// RFC 9000 section 16: a sender may use more bytes than it needs.
    @Test func aLongerSpellingReadsAsTheSameNumber() {
        var reader = ByteReader([0x40, 0x25, 0x80, 0, 0, 0x25, 0xC0, 0, 0, 0, 0, 0, 0, 0x25])
        let read = (0..<3).map { _ in reader.varInt() }
        #expect(read == [37, 37, 37] && reader.isEmpty)
    }

    @Test func fixedIntegersAreBigEndian() {
        var writer = ByteWriter(capacity: 15)
        writer.byte(0xAB)
        writer.integer(UInt16(0x0102))
        writer.integer(UInt32(0x0304_0506))
        writer.integer(UInt64(0x0708_090A_0B0C_0D0E))
        #expect(writer.bytes == [0xAB, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14] && writer.count == 15)
        var reader = ByteReader(writer.bytes)
        let byte = reader.byte()
        let two = reader.integer(UInt16.self)
        let four = reader.integer(UInt32.self)
        let eight = reader.integer(UInt64.self)
        #expect(byte == 0xAB && two == 0x0102 && four == 0x0304_0506 && eight == 0x0708_090A_0B0C_0D0E)
        let end = reader.byte()
        #expect(end == nil && reader.isEmpty && reader.remaining == 0)
    }

    @Test func whatIsTooShortReadsAsNothingAndStaysWhereItIs() {
        var reader = ByteReader([1, 2, 3])
        let four = reader.integer(UInt32.self)
        let two = reader.integer(UInt64.self)
        let slice = reader.slice(4)
        let negative = reader.slice(-1)
        #expect(four == nil && two == nil && slice == nil && negative == nil)
        #expect(reader.offset == 0 && reader.remaining == 3)
        let all = reader.slice(3)
        let empty = reader.slice(0)
        #expect(all == [1, 2, 3] && empty == [] && reader.isEmpty)
    }

    @Test func aLengthStandsBeforeWhatItCounts() {
        var writer = ByteWriter()
        writer.lengthPrefixed([7, 8, 9])
        writer.lengthPrefixed([])
        writer.lengthPrefixed([UInt8](repeating: 1, count: 64))
        #expect(Array(writer.bytes.prefix(7)) == [3, 7, 8, 9, 0, 0x40, 0x40])
        var reader = ByteReader(writer.bytes)
        let (three, none, many) = (reader.lengthPrefixed(), reader.lengthPrefixed(), reader.lengthPrefixed())
        #expect(three == [7, 8, 9] && none == [] && many?.count == 64 && reader.isEmpty)
        // One byte less than it says, and a length that no memory has.
        for bytes in [[3, 7, 8], [0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1], [0x40]] as [[UInt8]] {
            var reader = ByteReader(bytes)
            let short = reader.lengthPrefixed()
            #expect(short == nil && reader.offset == 0)
        }
    }

    @Test func aReaderKeepsWithinItsBorders() {
        var reader = ByteReader([0, 1, 2, 3, 4, 5], from: 2, to: 5)
        #expect(reader.remaining == 3 && !reader.isEmpty)
        let first = reader.byte()
        let rest = reader.rest()
        let none = reader.rest()
        #expect(first == 2 && rest == [3, 4] && none.isEmpty && reader.isEmpty)
        for (start, end) in [(-1, 2), (7, 9), (4, 2), (0, -3)] {
            let reader = ByteReader([0, 1, 2], from: start, to: end)
            #expect(reader.remaining <= 3 && reader.remaining >= 0)
        }
        #expect(ByteReader([0, 1, 2], from: -1, to: 9).remaining == 3)
    }

    @Test func aSweepPassesOverEqualBytesOnly() {
        var reader = ByteReader([0, 0, 0, 5, 0], from: 0, to: 4)
        reader.skip(while: 0)
        #expect(reader.offset == 3)
        reader.skip(while: 0)
        #expect(reader.offset == 3)
        reader.skip(while: 5)
        #expect(reader.isEmpty && reader.offset == 4)
    }
}
