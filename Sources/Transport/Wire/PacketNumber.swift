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

    /// A direction's first number on a path: both ends derive it, and nobody on the way can tell by a number how old a
    /// connection is, or which numbers are another path's. Below 2^29, so that half a billion packets' numbers take four bytes in
    /// an acknowledgement.
    /// - Parameter secret: the direction's secret of generation 0.
    package static func first(secret: [UInt8], path: UInt32) -> UInt64 {
        var info = ByteWriter(capacity: 20)
        info.append(Array("mast/2 number".utf8))
        info.integer(path)
        return UInt64(Hashing.expand(secret, info.bytes, 4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) } & 0x1FFF_FFFF)
    }
}
