/// Refuses packet numbers seen before (RFC 6479's idea: a ring of words that moves with the largest number).
package struct ReplayWindow: Sendable {
    /// How far behind the largest a packet may arrive. More than a full window of small packets can be reordered by.
    package static let size: UInt64 = 8_192
    private static let words = Int(size / 64) + 1
    private var bits = [UInt64](repeating: 0, count: words)
    private(set) package var largest: UInt64?
    /// The direction's first number.
    private let first: UInt64

    package init(first: UInt64 = 0) { self.first = first }

    /// The number after the largest seen.
    package var expected: UInt64 { largest.map { $0 + 1 } ?? first }

    /// Whether `number` is neither seen nor too old. Check before the cipher, `insert` after it.
    package func accepts(_ number: UInt64) -> Bool {
        guard number >= first else { return false }
        guard let largest else { return true }
        if number > largest { return true }
        if largest - number >= Self.size { return false }
        return bits[Int(number / 64 % UInt64(Self.words))] & (1 << (number % 64)) == 0
    }

    package mutating func insert(_ number: UInt64) {
        let word = number / 64
        if let largest {
            if number > largest {
                var clear = largest / 64 + 1
                if word >= clear {
                    if word - clear >= UInt64(Self.words) { clear = word - UInt64(Self.words) + 1 }
                    while clear <= word {
                        bits[Int(clear % UInt64(Self.words))] = 0
                        clear += 1
                    }
                }
                self.largest = number
            }
        } else {
            largest = number
        }
        bits[Int(word % UInt64(Self.words))] |= 1 << (number % 64)
    }
}
