import MastTimebase

/// Makes broken inputs of good ones. One seed makes one input, everywhere.
struct Mutator {
    private var chance: SeededGenerator
    private let corpus: [[UInt8]]
    /// Nobody needs a longer one to find a fault, and time is short.
    private static let longest = 8_192
    private static let lies: [UInt64] = [0, 1, 2, 7, 8, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, .max]

    init(seed: UInt64, corpus: [[UInt8]]) {
        chance = SeededGenerator(seed: seed)
        self.corpus = corpus
    }

    mutating func below(_ limit: Int) -> Int { limit <= 0 ? 0 : Int(chance.next(below: UInt64(limit))) }
    mutating func pick<T>(_ from: [T]) -> T { from[below(from.count)] }

    mutating func input() -> [UInt8] {
        var bytes = pick(corpus)
        for _ in 0..<1 + below(below(4) == 0 ? 12 : 3) { mutate(&bytes) }
        return bytes.count > Self.longest ? Array(bytes.prefix(Self.longest)) : bytes
    }

    private mutating func mutate(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else {
            bytes = pick(corpus)
            return
        }
        let at = below(bytes.count)
        switch below(9) {
        case 0: bytes[at] ^= 1 << UInt8(below(8))
        case 1: bytes[at] = UInt8(truncatingIfNeeded: chance.next())
        case 2: bytes.removeSubrange(at...)
        case 3: bytes.removeSubrange(at..<min(bytes.count, at + 1 + below(40)))
        case 4:  // a part twice
            let part = Array(bytes[at..<min(bytes.count, at + 1 + below(80))])
            bytes.insert(contentsOf: part, at: below(bytes.count))
        case 5:  // the end of another input
            let other = pick(corpus)
            bytes = Array(bytes[..<at]) + other.dropFirst(below(other.count))
        case 6:  // letters and digits, for text
            bytes[at] = pick(Array("0123456789-.,:eE \n\"{}[]mskKMG%".utf8))
        default:  // a number that lies about a length, in either byte order
            let value = below(3) == 0 ? UInt64(below(bytes.count + 64)) : pick(Self.lies)
            let width = pick([1, 2, 4, 8])
            let isLittle = below(2) == 0
            for index in 0..<width where at + index < bytes.count {
                bytes[at + index] = UInt8(truncatingIfNeeded: value >> UInt64(8 * (isLittle ? index : width - 1 - index)))
            }
        }
    }
}
