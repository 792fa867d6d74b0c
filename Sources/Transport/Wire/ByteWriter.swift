/// Appends fields to a growing byte array; the writing twin of ``ByteReader``.
package struct ByteWriter: Sendable {
    package var bytes: [UInt8]
    /// What stands before it is another's.
    package private(set) var start = 0

    package init(capacity: Int = 0) {
        bytes = []
        bytes.reserveCapacity(capacity)
    }

    /// For a data packet: its header's room is taken, and the tag's is there.
    /// - Parameter capacity: of frames, in bytes.
    package static func packet(capacity: Int) -> ByteWriter {
        var writer = ByteWriter(capacity: PacketHeader.dataHeaderSize + capacity + PacketHeader.tagSize)
        writer.bytes.append(contentsOf: repeatElement(0, count: PacketHeader.dataHeaderSize))
        return writer
    }

    /// For a data packet behind what stands in `others`, which is its again with `giveBack`.
    package static func packet(behind others: inout [UInt8], capacity: Int) -> ByteWriter {
        var writer = ByteWriter()
        swap(&writer.bytes, &others)
        writer.start = writer.bytes.count
        let room = PacketHeader.dataHeaderSize + capacity + PacketHeader.tagSize
        // Room for more of them than one, or each would move all before it.
        if writer.bytes.capacity - writer.start < room { writer.bytes.reserveCapacity(max(2 * writer.bytes.capacity, writer.start + room)) }
        writer.bytes.append(contentsOf: repeatElement(0, count: PacketHeader.dataHeaderSize))
        return writer
    }

    package mutating func giveBack(to others: inout [UInt8]) { swap(&bytes, &others) }

    /// Nothing comes of it.
    package mutating func drop() { bytes.removeLast(count) }

    package var count: Int { bytes.count - start }

    package mutating func byte(_ value: UInt8) { bytes.append(value) }

    /// Big-endian.
    package mutating func integer<T: FixedWidthInteger & UnsignedInteger>(_ value: T) {
        withUnsafeBytes(of: value.bigEndian) { bytes.append(contentsOf: $0) }
    }

    /// A variable-length integer (RFC 9000 section 16); values beyond 62 bits are clamped to the largest.
    package mutating func varInt(_ value: UInt64) {
        switch VarInt.size(value) {
        case 1: bytes.append(UInt8(truncatingIfNeeded: value))
        case 2: integer(UInt16(truncatingIfNeeded: value) | 0x4000)
        case 4: integer(UInt32(truncatingIfNeeded: value) | 0x8000_0000)
        default: integer(Swift.min(value, VarInt.max) | 0xC000_0000_0000_0000)
        }
    }

    package mutating func append(_ more: some Collection<UInt8>) { bytes.append(contentsOf: more) }

    /// Zeros, which are padding between frames, up to `count` bytes in all.
    package mutating func pad(to count: Int) {
        if count > self.count { bytes.append(contentsOf: repeatElement(0, count: count - self.count)) }
    }

    package mutating func lengthPrefixed(_ more: some Collection<UInt8>) {
        varInt(UInt64(more.count))
        append(more)
    }
}
