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

    /// Hands what has come of a frame that is not whole to `keep`, which may take it.
    package mutating func giveBack<R>(_ keep: (inout [UInt8]) -> R) -> R {
        if start > 0 { buffer.removeSubrange(0..<start) }
        start = 0
        return keep(&buffer)
    }

    /// Bytes on the wire of the frame that `next` gave last.
    package private(set) var frameBytes = 0

    /// Kind, length and where the payload begins, of the frame at the front; nil when that has not all come.
    private var head: (kind: UInt8, length: UInt64, payload: Int)? {
        guard buffer.count - start >= 2 else { return nil }
        let index = start + 1
        let lengthBytes = 1 << Int(buffer[index] >> 6)
        guard buffer.count - index >= lengthBytes else { return nil }
        var length = UInt64(buffer[index] & 0x3F)
        for offset in 1..<max(lengthBytes, 1) { length = length << 8 | UInt64(buffer[index + offset]) }
        return (buffer[start], length, index + lengthBytes)
    }

    private func limit(_ kind: UInt8) -> Int { kind == FrameKind.message ? limits.messageBytes : limits.headBytes }

    /// Whether `next` would give a frame or an error rather than nil.
    package var hasWholeFrame: Bool {
        guard let head else { return false }
        return head.length > UInt64(limit(head.kind)) || buffer.count - head.payload >= Int(head.length)
    }

    /// Whether a frame has begun and not ended.
    package var hasPartialFrame: Bool { start < buffer.count && !hasWholeFrame }

    /// Bytes still to come of the frame that has begun, once its length is known.
    package var missing: Int? {
        guard let head, head.length <= UInt64(limit(head.kind)) else { return nil }
        let missing = head.payload + Int(head.length) - buffer.count
        return missing > 0 ? missing : nil
    }

    /// The next whole frame; nil when more bytes are needed.
    package mutating func next() throws(EnvelopeViolation) -> Frame? {
        // What a large message came in is not kept for the small one that may follow.
        if start == buffer.count, buffer.capacity > 65_536 { (buffer, start) = ([], 0) }
        guard let head else { return nil }
        let limit = limit(head.kind)
        guard head.length <= UInt64(limit) else { throw EnvelopeViolation("frame of \(head.length) bytes is over the limit of \(limit)") }
        guard buffer.count - head.payload >= Int(head.length) else { return nil }
        let end = head.payload + Int(head.length)
        frameBytes = end - start
        start = end
        return Frame(kind: head.kind, payload: buffer[head.payload..<end])
    }

    /// The payload that `next` gave last, for longer: in the buffer it came in, where that holds little else, or copied.
    package mutating func keep(_ payload: consuming ArraySlice<UInt8>) -> ArraySlice<UInt8> {
        guard buffer.capacity - payload.count <= Self.slack else { return ArraySlice(Array(payload)) }
        // Else a trailer is behind it, with which this reader is done.
        if start == buffer.count { (buffer, start) = ([], 0) }
        return payload
    }

    /// What may be kept beside a payload: head and header, and what the allocator rounds up.
    private static let slack = 96

    /// A frame's bytes on the wire, as `append` writes it.
    package static func wireBytes(payload count: Int) -> Int { 1 + (count < 1 << 6 ? 1 : count < 1 << 14 ? 2 : count < 1 << 30 ? 4 : 8) + count }

    package static func append(_ kind: UInt8, _ payload: some Collection<UInt8>, to bytes: inout [UInt8]) {
        append(kind, payload, ofLength: payload.count, to: &bytes)
    }

    /// - Parameter length: of the frame's payload, of which the caller may send some or all by itself.
    static func append(_ kind: UInt8, _ payload: some Collection<UInt8>, ofLength length: Int, to bytes: inout [UInt8]) {
        bytes.reserveCapacity(bytes.count + 9 + payload.count)
        var writer = EnvelopeWriter(bytes: bytes)
        bytes = []
        writer.u8(kind)
        writer.varint(UInt64(length))
        writer.bytes.append(contentsOf: payload)
        bytes = writer.bytes
    }
}
