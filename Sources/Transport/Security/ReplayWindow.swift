/// Refuses packet numbers seen before (RFC 6479's idea: a ring of words that moves with the largest number).
///
/// The ring is as long as what is missing needs: it begins as a word or two, and grows when it would pass over a word with
/// numbers that may still come. Of words that left it all numbers were seen, or are too old.
package struct ReplayWindow: Sendable {
    /// How far behind the largest a packet may arrive. More than a full window of small packets can be reordered by.
    package static let size: UInt64 = 8_192
    /// So many words hold all of the window, wherever in its word the largest number is.
    private static let mostWords = Int(size / 64) + 1
    private static let firstWords = 2
    /// By position in the ring. What is before the first number counts as seen.
    private var bits: [UInt64]
    /// The position of the newest word, and which that is.
    private var newest = 0
    private var newestWord: UInt64
    private(set) package var largest: UInt64?
    /// The direction's first number.
    private let first: UInt64

    package init(first: UInt64 = 0) {
        self.first = first
        newestWord = first / 64
        bits = Array(repeating: .max, count: Self.firstWords)
        bits[0] = 1 << (first % 64) - 1
    }

    /// The number after the largest seen.
    package var expected: UInt64 { largest.map { $0 + 1 } ?? first }
    /// What it takes, beside itself.
    package var bytes: Int { bits.count * 8 }

    /// Whether `number` is neither seen nor too old. Check before the cipher, `insert` after it.
    package func accepts(_ number: UInt64) -> Bool {
        guard number >= first else { return false }
        guard let largest else { return true }
        if number > largest { return true }
        if largest - number >= Self.size { return false }
        guard let position = position(of: number / 64) else { return false }
        return bits[position] & (1 << (number % 64)) == 0
    }

    package mutating func insert(_ number: UInt64) {
        let word = number / 64
        if word > newestWord { advance(to: word) }
        largest = max(largest ?? number, number)
        if let position = position(of: word) { bits[position] |= 1 << (number % 64) }
    }

    /// Nil for a word that has left the ring.
    private func position(of word: UInt64) -> Int? {
        let behind = newestWord - word
        guard behind < UInt64(bits.count) else { return nil }
        let position = newest - Int(behind)
        return position < 0 ? position + bits.count : position
    }

    private mutating func advance(to word: UInt64) {
        if word - newestWord >= UInt64(Self.mostWords) {
            // Nothing seen so far is in the window.
            (bits, newest, newestWord) = (Array(repeating: 0, count: Self.mostWords), 0, word)
            return
        }
        while newestWord < word {
            var next = newest + 1 == bits.count ? 0 : newest + 1
            if bits[next] != .max, bits.count < Self.mostWords {
                grow()
                next = newest + 1
            }
            bits[next] = 0
            (newest, newestWord) = (next, newestWord + 1)
        }
    }

    private mutating func grow() {
        let count = bits.count
        let most = count < Self.mostWords / 2 ? count * 2 : Self.mostWords
        bits = Array(bits[(newest + 1)...] + bits[...newest]) + Array(repeating: .max, count: most - count)
        newest = count - 1
    }
}
