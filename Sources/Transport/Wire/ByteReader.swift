/// Reads fields from bytes that a peer sent. Every read fails with nil instead of trapping, and a failed
/// read consumes nothing.
package struct ByteReader: Sendable {
    private let bytes: [UInt8]
    private(set) package var offset: Int
    private let end: Int

    package init(_ bytes: [UInt8]) { self.init(bytes, from: 0, to: bytes.count) }

    package init(_ bytes: [UInt8], from start: Int, to end: Int) {
        self.bytes = bytes
        self.end = Swift.max(0, Swift.min(end, bytes.count))
        self.offset = Swift.max(0, Swift.min(start, self.end))
    }

    package var remaining: Int { end - offset }
    package var isEmpty: Bool { offset == end }

    package mutating func byte() -> UInt8? {
        guard offset < end else { return nil }
        defer { offset += 1 }
        return bytes[offset]
    }

    /// Big-endian.
    package mutating func integer<T: FixedWidthInteger & UnsignedInteger>(_: T.Type) -> T? {
        let width = T.bitWidth / 8
        guard remaining >= width else { return nil }
        var value: T = 0
        for index in offset..<(offset + width) { value = value &<< 8 | T(truncatingIfNeeded: bytes[index]) }
        offset += width
        return value
    }

    /// A variable-length integer (RFC 9000 section 16).
    package mutating func varInt() -> UInt64? {
        guard offset < end else { return nil }
        let first = bytes[offset]
        let width = 1 << Int(first >> 6)
        guard remaining >= width else { return nil }
        var value = UInt64(first & 0x3F)
        for index in (offset + 1)..<(offset + width) { value = value << 8 | UInt64(bytes[index]) }
        offset += width
        return value
    }

    package mutating func slice(_ count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, count <= remaining else { return nil }
        defer { offset += count }
        return bytes[offset..<(offset + count)]
    }

    /// A length as a variable-length integer, then that many bytes.
    package mutating func lengthPrefixed() -> ArraySlice<UInt8>? {
        var copy = self
        guard let length = copy.varInt(), length <= UInt64(copy.remaining), let slice = copy.slice(Int(length)) else { return nil }
        self = copy
        return slice
    }

    package mutating func rest() -> ArraySlice<UInt8> {
        defer { offset = end }
        return bytes[offset..<end]
    }

    /// Passes over bytes equal to `value`, in one sweep.
    package mutating func skip(while value: UInt8) {
        while offset < end, bytes[offset] == value { offset += 1 }
    }
}
