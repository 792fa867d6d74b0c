/// Reads big-endian fields one after the other; nil beyond the end. A stranger wrote the bytes.
struct ByteCursor {
    private let bytes: [UInt8]
    private(set) var offset: Int
    private let end: Int

    init(_ bytes: [UInt8], from offset: Int = 0, to end: Int = .max) {
        (self.bytes, self.offset, self.end) = (bytes, max(0, offset), min(bytes.count, max(0, end)))
    }

    var rest: Int { max(0, end - offset) }
    var isAtEnd: Bool { rest == 0 }

    /// Of one to eight bytes.
    mutating func number(_ count: Int) -> UInt64? {
        guard count <= rest else { return nil }
        var value: UInt64 = 0
        for index in offset..<offset + count { value = value << 8 | UInt64(bytes[index]) }
        offset += count
        return value
    }

    mutating func int(_ count: Int) -> Int? { number(min(count, 4)).map { Int($0) } }

    mutating func take(_ count: Int) -> ArraySlice<UInt8>? {
        guard count >= 0, count <= rest else { return nil }
        defer { offset += count }
        return bytes[offset..<offset + count]
    }

    @discardableResult
    mutating func skip(_ count: Int) -> Bool { take(count) != nil }

    /// What a length of so many bytes stands before, as a reader of its own.
    mutating func block(lengthBytes: Int) -> ByteCursor? {
        guard let length = int(lengthBytes), length <= rest else { return nil }
        defer { offset += length }
        return ByteCursor(bytes, from: offset, to: offset + length)
    }

    /// RFC 9000 section 16.
    mutating func variable() -> UInt64? {
        guard offset < end else { return nil }
        let length = 1 << Int(bytes[offset] >> 6)
        return number(length).map { $0 & (UInt64.max >> UInt64(66 - 8 * length)) }
    }
}
