#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// The system's random numbers, asked for by the page: a call of the system for 512 words, not one for each datagram.
///
/// As good as `SystemRandomNumberGenerator`, which asks for eight bytes at a time: nothing is computed from anything here,
/// and a word is erased when it is handed out.
package struct SystemChance: RandomNumberGenerator, Sendable {
    package typealias Fill = @Sendable (UnsafeMutableRawBufferPointer) -> Bool

    /// 4 KiB.
    package static let words = 512

    private let fill: Fill
    private var words: [UInt64] = []
    private var position = 0
    private var fallback = SystemRandomNumberGenerator()

    /// - Parameter fill: fills the bytes with chance; false if it cannot.
    package init(fill: @escaping Fill = SystemChance.system) { self.fill = fill }

    package mutating func next() -> UInt64 {
        if position >= words.count, !refill() { return fallback.next() }
        defer {
            words[position] = 0
            position += 1
        }
        return words[position]
    }

    private mutating func refill() -> Bool {
        if words.isEmpty { words = [UInt64](repeating: 0, count: Self.words) }
        position = 0
        if words.withUnsafeMutableBytes({ fill($0) }) { return true }
        position = words.count
        return false
    }

    /// In pieces of 256 bytes, which getentropy gives whole or not at all.
    package static func system(_ bytes: UnsafeMutableRawBufferPointer) -> Bool {
        for start in stride(from: 0, to: bytes.count, by: 256) {
            let piece = UnsafeMutableRawBufferPointer(rebasing: bytes[start..<min(start + 256, bytes.count)])
            guard getentropy(piece.baseAddress, piece.count) == 0 else { return false }
        }
        return true
    }
}
