import MastTimebase
import MastTransport
import Testing

/// RFC 9000 appendix A.3, with 32 bits on the wire: the number nearest to the one expected next.
@Suite struct PacketNumberTests {
    private static let block: UInt64 = 1 << 32

    struct Case: CustomTestStringConvertible, Sendable {
        let truncated: UInt32
        let largest: UInt64?
        let number: UInt64
        let why: String
        var testDescription: String { why }
    }

    static let cases = [
        Case(truncated: 0, largest: nil, number: 0, why: "the first number"),
        Case(truncated: 0x8000_0000, largest: nil, number: 0x8000_0000, why: "half a block ahead of nothing is ahead"),
        Case(truncated: 0xFFFF_FFFF, largest: nil, number: 0xFFFF_FFFF, why: "nothing is before the first block"),
        Case(truncated: 5, largest: 3, number: 5, why: "near the largest"),
        Case(truncated: 0xA82F_9B32, largest: 0x5_A82F_30EA, number: 0x5_A82F_9B32, why: "the appendix's example, in a later block"),
        Case(truncated: 0, largest: block - 1, number: block, why: "over the border"),
        Case(truncated: 0xFFFF_FFFF, largest: block, number: block - 1, why: "a late one from before the border"),
        Case(truncated: 0, largest: block + 0x7FFF_FFFE, number: block, why: "expected is half a block and less ahead: behind"),
        Case(truncated: 0, largest: block + 0x7FFF_FFFF, number: 2 * block, why: "expected is half a block ahead: the next block"),
        Case(truncated: 0x8000_0000, largest: block - 1, number: block + 0x8000_0000, why: "half a block ahead is ahead"),
        Case(truncated: 0x8000_0001, largest: block - 1, number: 0x8000_0001, why: "more than half a block ahead is behind"),
        Case(truncated: 0x8000_0001, largest: block - 2, number: 0x8000_0001, why: "in the block of the expected number"),
        Case(truncated: 0, largest: (1 << 62) - 2, number: (1 << 62) - block, why: "no number beyond 2^62"),
        Case(truncated: 0xFFFF_FFFF, largest: (1 << 62) - 3, number: (1 << 62) - 1, why: "the last number"),
        Case(truncated: 1, largest: (1 << 62) - block - 2, number: (1 << 62) - block + 1, why: "into the last block"),
    ]

    @Test(arguments: cases) func followsTheAppendix(_ example: Case) {
        #expect(PacketNumber.widen(example.truncated, largest: example.largest) == example.number)
    }

    /// What is sent less than half a block around the expected number is read as it was meant.
    @Test(arguments: [UInt64](1...20)) func whatIsNearIsReadAsItWasMeant(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        for _ in 0..<5_000 {
            let largest = random.next() >> (3 + random.next(below: 40))
            let lowest = largest + 1 - min(largest + 1, (1 << 31) - 1)
            let number = lowest + random.next(below: largest + 1 + (1 << 31) - lowest + 1)
            #expect(PacketNumber.widen(UInt32(truncatingIfNeeded: number), largest: largest) == number)
        }
    }
}
