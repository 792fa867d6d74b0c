/// Cuts a stream's bytes into frames, holding at most one incomplete frame of a bounded size.
package struct FrameReader: Sendable {
    package struct Frame: Equatable, Sendable {
        package var kind: UInt8
        package var payload: ArraySlice<UInt8>
    }

    private var buffer: [UInt8] = []
    private var start = 0
    private let limits: EnvelopeLimits

    package init(limits: EnvelopeLimits) { self.limits = limits }

    /// Hands the buffer to `fill`, which appends to it.
    package mutating func fill<R>(_ fill: (inout [UInt8]) -> R) -> R {
        if start > 0 {
            if start == buffer.count { buffer.removeAll(keepingCapacity: buffer.capacity <= 65_536) } else { buffer.removeSubrange(0..<start) }
            start = 0
        }
        return fill(&buffer)
    }

    /// True when bytes of an unfinished frame are left.
    package var hasPartialFrame: Bool { start < buffer.count }

    /// Whether `next` would give a frame or an error rather than nil.
    package var hasWholeFrame: Bool {
        guard buffer.count - start >= 2 else { return false }
        let lengthBytes = 1 << Int(buffer[start + 1] >> 6)
        guard buffer.count - start > lengthBytes else { return false }
        var length = UInt64(buffer[start + 1] & 0x3F)
        for offset in 1..<max(lengthBytes, 1) { length = length << 8 | UInt64(buffer[start + 1 + offset]) }
        let limit = max(limits.messageBytes, limits.headBytes)
        return length > UInt64(limit) || buffer.count - start - 1 - lengthBytes >= Int(length)
    }

    /// The next whole frame; nil when more bytes are needed.
    package mutating func next() throws(EnvelopeViolation) -> Frame? {
        guard start < buffer.count else { return nil }
        let kind = buffer[start]
        var index = start + 1
        guard index < buffer.count else { return nil }
        let lengthBytes = 1 << Int(buffer[index] >> 6)
        guard buffer.count - index >= lengthBytes else { return nil }
        var length = UInt64(buffer[index] & 0x3F)
        for offset in 1..<max(lengthBytes, 1) { length = length << 8 | UInt64(buffer[index + offset]) }
        index += lengthBytes
        let limit = kind == FrameKind.message ? limits.messageBytes : limits.headBytes
        guard length <= UInt64(limit) else { throw EnvelopeViolation("frame of \(length) bytes is over the limit of \(limit)") }
        guard buffer.count - index >= Int(length) else { return nil }
        start = index + Int(length)
        return Frame(kind: kind, payload: buffer[index..<start])
    }

    package static func append(_ kind: UInt8, _ payload: some Collection<UInt8>, to bytes: inout [UInt8]) {
        var writer = EnvelopeWriter(bytes: bytes)
        bytes = []
        writer.u8(kind)
        writer.field(payload)
        bytes = writer.bytes
    }
}
