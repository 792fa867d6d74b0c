/// Reads that fail instead of trapping: file bytes are a stranger's input.
extension Span where Element == UInt8 {
    @inline(__always) func byte(_ offset: Int) -> UInt8? {
        offset >= 0 && offset < count ? self[offset] : nil
    }

    /// Big-endian, as network headers are, unless its name says otherwise.
    @inline(__always) func uint16(_ offset: Int) -> UInt16? { word(offset, UInt16.self) }

    @inline(__always) func uint32(_ offset: Int) -> UInt32? { word(offset, UInt32.self) }

    @inline(__always) func uint64(_ offset: Int) -> UInt64? { word(offset, UInt64.self) }

    /// In one load, wherever it begins.
    @inline(__always) func word<Word: FixedWidthInteger & BitwiseCopyable>(_ offset: Int, _: Word.Type) -> Word? {
        guard offset >= 0, offset <= count - MemoryLayout<Word>.size else { return nil }
        return Word(bigEndian: bytes.unsafeLoadUnaligned(fromByteOffset: offset, as: Word.self))
    }

    @inline(__always) func littleUInt16(_ offset: Int) -> UInt16? { uint16(offset)?.byteSwapped }

    @inline(__always) func littleUInt32(_ offset: Int) -> UInt32? { uint32(offset)?.byteSwapped }
}
