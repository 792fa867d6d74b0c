extension PacketNumber {
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
