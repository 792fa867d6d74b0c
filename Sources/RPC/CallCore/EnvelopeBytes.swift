/// A peer broke the envelope's format; the stream it happened on is reset, the connection lives on.
package struct EnvelopeViolation: Error, Equatable {
    package var reason: String
    package init(_ reason: String) { self.reason = reason }
}

/// Bounds of everything that a peer may make us hold for one call.
public struct EnvelopeLimits: Sendable, Equatable {
    /// One message, encoded. Default 4 MiB.
    public var messageBytes = 4 << 20
    /// All metadata of one direction, encoded. Default 16 KiB.
    public var metadataBytes = 16 << 10
    /// Decoded messages that wait for a slow consumer before we stop reading the stream, so that its flow
    /// control holds the sender back. Default 256 KiB.
    public var inboxBytes = 256 << 10

    /// Header or trailer: metadata, detail and message text together.
    package var headBytes: Int { metadataBytes * 2 + 8192 }
    public init() {}
}

/// Writes envelope fields: big-endian numbers and RFC 9000 section 16 variable-length integers.
package struct EnvelopeWriter {
    package var bytes: [UInt8]

    package init(bytes: [UInt8] = []) { self.bytes = bytes }

    package mutating func u8(_ value: UInt8) { bytes.append(value) }
    package mutating func u32(_ value: UInt32) {
        u8(UInt8(truncatingIfNeeded: value >> 24))
        u8(UInt8(truncatingIfNeeded: value >> 16))
        u8(UInt8(truncatingIfNeeded: value >> 8))
        u8(UInt8(truncatingIfNeeded: value))
    }
    package mutating func u64(_ value: UInt64) {
        u32(UInt32(truncatingIfNeeded: value >> 32))
        u32(UInt32(truncatingIfNeeded: value))
    }
    /// Values above 2^62 - 1 are written as that maximum; nothing here counts so far.
    package mutating func varint(_ value: UInt64) {
        if value < 1 << 6 {
            u8(UInt8(value))
        } else if value < 1 << 14 {
            u8(UInt8(truncatingIfNeeded: value >> 8) | 0x40)
            u8(UInt8(truncatingIfNeeded: value))
        } else if value < 1 << 30 {
            u32(UInt32(truncatingIfNeeded: value) | 0x8000_0000)
        } else {
            u64(min(value, 1 << 62 - 1) | 0xC000_0000_0000_0000)
        }
    }
    package mutating func field(_ value: some Collection<UInt8>) {
        varint(UInt64(value.count))
        bytes.append(contentsOf: value)
    }
    package mutating func metadata(_ metadata: Metadata) {
        varint(UInt64(metadata.pairs.count))
        for pair in metadata.pairs {
            field(pair.name.utf8)
            field(pair.value.utf8)
        }
    }
}

/// Reads envelope fields from a peer's bytes: every read may run out, none traps.
package struct EnvelopeReader {
    private let bytes: ArraySlice<UInt8>
    private var index: Int

    package init(_ bytes: ArraySlice<UInt8>) {
        self.bytes = bytes
        index = bytes.startIndex
    }

    package var remaining: Int { bytes.endIndex - index }

    package mutating func u8() throws(EnvelopeViolation) -> UInt8 {
        guard index < bytes.endIndex else { throw EnvelopeViolation("envelope ends early") }
        defer { index += 1 }
        return bytes[index]
    }
    package mutating func number(_ count: Int) throws(EnvelopeViolation) -> UInt64 {
        var value: UInt64 = 0
        for _ in 0..<count { value = value << 8 | UInt64(try u8()) }
        return value
    }
    package mutating func u32() throws(EnvelopeViolation) -> UInt32 { UInt32(truncatingIfNeeded: try number(4)) }
    package mutating func u64() throws(EnvelopeViolation) -> UInt64 { try number(8) }
    package mutating func varint() throws(EnvelopeViolation) -> UInt64 {
        let first = try u8()
        var value = UInt64(first & 0x3F)
        for _ in 1..<(1 << Int(first >> 6)) { value = value << 8 | UInt64(try u8()) }
        return value
    }
    package mutating func field(limit: Int) throws(EnvelopeViolation) -> ArraySlice<UInt8> {
        let count = try varint()
        guard count <= UInt64(limit), count <= UInt64(remaining) else { throw EnvelopeViolation("field too long") }
        defer { index += Int(count) }
        return bytes[index..<(index + Int(count))]
    }
    package mutating func text(limit: Int) throws(EnvelopeViolation) -> String {
        String(decoding: try field(limit: limit), as: UTF8.self)
    }
    package mutating func metadata(limit: Int) throws(EnvelopeViolation) -> Metadata {
        let count = try varint()
        guard count <= 128 else { throw EnvelopeViolation("too much metadata") }
        let start = index
        var metadata = Metadata()
        for _ in 0..<count {
            let name = try text(limit: limit)
            metadata.add(name, try text(limit: limit))
            guard index - start <= limit else { throw EnvelopeViolation("too much metadata") }
        }
        return metadata
    }
}
