/// Reads that fail instead of trapping: file bytes are a stranger's input.
extension Span where Element == UInt8 {
    @inlinable func byte(_ offset: Int) -> UInt8? {
        offset >= 0 && offset < count ? self[offset] : nil
    }

    /// Big-endian, as network headers are, unless its name says otherwise.
    @inlinable func uint16(_ offset: Int) -> UInt16? {
        guard offset >= 0, offset <= count - 2 else { return nil }
        return UInt16(self[offset]) << 8 | UInt16(self[offset + 1])
    }

    @inlinable func uint32(_ offset: Int) -> UInt32? {
        guard offset >= 0, offset <= count - 4 else { return nil }
        return UInt32(self[offset]) << 24 | UInt32(self[offset + 1]) << 16
            | UInt32(self[offset + 2]) << 8 | UInt32(self[offset + 3])
    }

    @inlinable func littleUInt16(_ offset: Int) -> UInt16? { uint16(offset)?.byteSwapped }

    @inlinable func littleUInt32(_ offset: Int) -> UInt32? { uint32(offset)?.byteSwapped }

    @inlinable func uint64(_ offset: Int) -> UInt64? {
        guard let high = uint32(offset), let low = uint32(offset + 4) else { return nil }
        return UInt64(high) << 32 | UInt64(low)
    }
}
