/// Packet numbers count per path and direction, and never repeat under a key. They travel as their low 32 bits and are
/// widened at the receiver (RFC 9000 appendix A.3).
package enum PacketNumber {
    /// - Parameter largest: the largest received so far; nil before the first.
    package static func widen(_ truncated: UInt32, largest: UInt64?) -> UInt64 {
        let expected = largest.map { $0 &+ 1 } ?? 0
        let window: UInt64 = 1 << 32
        let half = window / 2
        let candidate = (expected & ~(window - 1)) | UInt64(truncated)
        if candidate &+ half <= expected, candidate < VarInt.max - window { return candidate + window }
        if candidate > expected &+ half, candidate >= window { return candidate - window }
        return candidate
    }
}
