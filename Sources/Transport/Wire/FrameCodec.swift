/// Frame types on the wire. Stream frames use three flag bits.
private enum FrameType {
    static let padding: UInt64 = 0x00
    static let ping: UInt64 = 0x01
    /// Acknowledgements use two flag bits.
    static let ack: UInt64 = 0x02
    static let ackMarks: UInt64 = 0x01
    static let ackTimestamps: UInt64 = 0x04
    static let resetStream: UInt64 = 0x04
    static let stopSending: UInt64 = 0x05
    static let stream: UInt64 = 0x08
    static let streamFin: UInt64 = 0x01
    static let streamDeadline: UInt64 = 0x02
    static let maxData: UInt64 = 0x10
    static let maxStreamData: UInt64 = 0x11
    static let maxStreams: UInt64 = 0x12
    static let pathChallenge: UInt64 = 0x1A
    static let pathResponse: UInt64 = 0x1B
    static let close: UInt64 = 0x1C
}

/// Walks the frames of one decrypted packet.
package struct FrameReader: Sendable {
    private var reader: ByteReader

    package init(_ payload: [UInt8]) { reader = ByteReader(payload) }

    /// The frames of an opened data packet, which are not copied out of it.
    package init(packet: [UInt8]) { self.init(packet, in: 0..<packet.count) }

    /// Of the one that stands in that range.
    init(_ packets: [UInt8], in range: Range<Int>) {
        let payload = PacketHeader.payload(in: range)
        reader = ByteReader(packets, from: payload.lowerBound, to: payload.upperBound)
    }

    /// The next frame, or nil at the end. Anything malformed is the peer's fault: the packet was authentic.
    package mutating func next() throws(ProtocolViolation) -> Frame? {
        reader.skip(while: 0)
        guard !reader.isEmpty else { return nil }
        guard let type = reader.varInt() else { throw .malformed("frame type") }
        switch type {
        case FrameType.ping: return .ping
        case 0x02, 0x03, 0x06, 0x07: return .ack(try ack(flags: type & ~FrameType.ack))
        case FrameType.resetStream:
            return .resetStream(try stream(), code: try number("reset code"), finalSize: try number("final size"))
        case FrameType.stopSending: return .stopSending(try stream(), code: try number("stop code"))
        case FrameType.stream...(FrameType.stream | 3): return .stream(try streamFrame(flags: type & 3))
        case FrameType.maxData: return .maxData(try number("max data"))
        case FrameType.maxStreamData: return .maxStreamData(try stream(), try number("max stream data"))
        case FrameType.maxStreams: return .maxStreams(try number("max streams"))
        case FrameType.pathChallenge: return .pathChallenge(try word("path challenge"))
        case FrameType.pathResponse: return .pathResponse(try word("path response"))
        case FrameType.close:
            let code = try number("close code")
            guard let reason = reader.lengthPrefixed() else { throw .malformed("close reason") }
            return .close(code: code, reason: String(decoding: reason.prefix(256), as: UTF8.self))
        default: throw ProtocolViolation(code: .frameEncoding, reason: "unknown frame type \(type)")
        }
    }

    private mutating func number(_ what: StaticString) throws(ProtocolViolation) -> UInt64 {
        guard let value = reader.varInt() else { throw .malformed(what) }
        return value
    }

    private mutating func word(_ what: StaticString) throws(ProtocolViolation) -> UInt64 {
        guard let value = reader.integer(UInt64.self) else { throw .malformed(what) }
        return value
    }

    private mutating func stream() throws(ProtocolViolation) -> StreamID { StreamID(rawValue: try number("stream id")) }

    private mutating func ack(flags: UInt64) throws(ProtocolViolation) -> AckFrame {
        let path = try number("ack path")
        guard let path = UInt32(exactly: path) else { throw .malformed("ack path") }
        let largest = try number("largest acknowledged")
        let delay = try number("ack delay")
        let more = try number("ack range count")
        guard more < UInt64(AckFrame.maximumRanges) else { throw ProtocolViolation(code: .frameEncoding, reason: "too many ack ranges") }
        var ranges = ShortArray<ClosedRange<UInt64>>()
        let first = try number("first ack range")
        guard first <= largest else { throw .malformed("first ack range") }
        var smallest = largest - first
        ranges.append(smallest...largest)
        for _ in 0..<more {
            let gap = try number("ack gap")
            let length = try number("ack range length")
            // RFC 9000 section 19.3.1: the next range ends gap + 2 below the smallest so far.
            guard smallest >= 2, gap <= smallest - 2 else { throw .malformed("ack gap") }
            let top = smallest - gap - 2
            guard length <= top else { throw .malformed("ack range length") }
            smallest = top - length
            ranges.append(smallest...top)
        }
        var marks: ECNCounts?
        if flags & FrameType.ackMarks != 0 { marks = ECNCounts(ect0: try number("ECT(0)"), ect1: try number("ECT(1)"), ce: try number("CE")) }
        let timestamps = flags & FrameType.ackTimestamps != 0 ? try timestamps(largest: largest) : ShortArray()
        return AckFrame(path: path, ranges: ranges, delayMicroseconds: delay, marks: marks, timestamps: timestamps)
    }

    /// Ranges of consecutive numbers, newest first: (numbers passed over, count, steps each). The first step counts from the
    /// receiver's epoch, each further one back from the time before it.
    private mutating func timestamps(largest: UInt64) throws(ProtocolViolation) -> ShortArray<ReceiveTimestamp> {
        var timestamps = ShortArray<ReceiveTimestamp>()
        var next: UInt64? = largest
        for _ in 0..<(try number("timestamp range count")) {
            let gap = try number("timestamp gap")
            let count = try number("timestamp count")
            guard count > 0, timestamps.count + Int(clamping: count) <= AckFrame.maximumTimestamps else { throw .malformed("timestamp count") }
            guard let from = next, gap <= from, count - 1 <= from - gap else { throw .malformed("timestamp gap") }
            for index in 0..<count {
                let steps = try number("timestamp")
                let last = timestamps.last?.steps
                if let last, steps > last { throw .malformed("timestamp") }
                timestamps.append(ReceiveTimestamp(number: from - gap - index, steps: last.map { $0 - steps } ?? steps))
            }
            let lowest = from - gap - (count - 1)
            next = lowest > 0 ? lowest - 1 : nil
        }
        return timestamps
    }

    private mutating func streamFrame(flags: UInt64) throws(ProtocolViolation) -> StreamFrame {
        let id = try stream()
        let offset = try number("stream offset")
        let deadline = flags & FrameType.streamDeadline != 0 ? try number("deadline") : nil
        guard let data = reader.lengthPrefixed() else { throw .malformed("stream data") }
        guard offset <= VarInt.max - UInt64(data.count) else { throw .malformed("stream offset") }
        return StreamFrame(id: id, offset: offset, data: data, fin: flags & FrameType.streamFin != 0, deadlineMicroseconds: deadline)
    }
}

extension ByteWriter {
    package mutating func frame(_ frame: Frame) {
        switch frame {
        case .ping: varInt(FrameType.ping)
        case .ack(let ack):
            ackFrame(
                path: ack.path, count: ack.ranges.count, range: { ack.ranges[$0] }, delayMicroseconds: ack.delayMicroseconds, marks: ack.marks,
                timestamps: ack.timestamps)
        case .stream(let stream):
            streamHeader(
                id: stream.id, offset: stream.offset, count: stream.data.count, fin: stream.fin, deadlineMicroseconds: stream.deadlineMicroseconds)
            append(stream.data)
        case .maxData(let limit): varInts(FrameType.maxData, limit)
        case .maxStreamData(let id, let limit): varInts(FrameType.maxStreamData, id.rawValue, limit)
        case .maxStreams(let limit): varInts(FrameType.maxStreams, limit)
        case .resetStream(let id, let code, let finalSize): varInts(FrameType.resetStream, id.rawValue, code, finalSize)
        case .stopSending(let id, let code): varInts(FrameType.stopSending, id.rawValue, code)
        case .pathChallenge(let word):
            varInt(FrameType.pathChallenge)
            integer(word)
        case .pathResponse(let word):
            varInt(FrameType.pathResponse)
            integer(word)
        case .close(let code, let reason):
            varInts(FrameType.close, code)
            lengthPrefixed(Array(reason.utf8.prefix(256)))
        }
    }

    /// The bytes in front of a stream frame's data.
    package mutating func streamHeader(id: StreamID, offset: UInt64, count: Int, fin: Bool, deadlineMicroseconds: UInt64?) {
        var type = FrameType.stream
        if fin { type |= FrameType.streamFin }
        if deadlineMicroseconds != nil { type |= FrameType.streamDeadline }
        varInt(type)
        varInt(id.rawValue)
        varInt(offset)
        if let deadlineMicroseconds { varInt(deadlineMicroseconds) }
        varInt(UInt64(count))
    }

    /// An upper bound of what `streamHeader` writes.
    package static func streamHeaderSize(id: StreamID, offset: UInt64) -> Int {
        1 + VarInt.size(id.rawValue) + VarInt.size(offset) + 8 + 4
    }

    private mutating func varInts(_ values: UInt64...) { for value in values { varInt(value) } }

    /// An acknowledgement, without an `AckFrame` to make first.
    /// - Parameter range: `count` of them by position: newest first, disjoint, descending.
    mutating func ackFrame(
        path: UInt32, count: Int, range: (Int) -> ClosedRange<UInt64>, delayMicroseconds: UInt64, marks: ECNCounts?,
        timestamps: ShortArray<ReceiveTimestamp>
    ) {
        guard count > 0 else { return }
        let first = range(0)
        var type = FrameType.ack
        if marks != nil { type |= FrameType.ackMarks }
        if !timestamps.isEmpty { type |= FrameType.ackTimestamps }
        varInt(type)
        varInt(UInt64(path))
        varInt(first.upperBound)
        varInt(delayMicroseconds)
        varInt(UInt64(count - 1))
        varInt(first.upperBound - first.lowerBound)
        var smallest = first.lowerBound
        for index in 1..<count {
            let next = range(index)
            varInt(smallest - next.upperBound - 2)
            varInt(next.upperBound - next.lowerBound)
            smallest = next.lowerBound
        }
        if let marks { varInts(marks.ect0, marks.ect1, marks.ce) }
        if !timestamps.isEmpty { write(timestamps, largest: first.upperBound) }
    }

    private mutating func write(_ timestamps: ShortArray<ReceiveTimestamp>, largest: UInt64) {
        func end(from start: Int) -> Int {
            var end = start + 1
            while end < timestamps.count, timestamps[end].number + 1 == timestamps[end - 1].number { end += 1 }
            return end
        }
        var runs: UInt64 = 0
        var start = 0
        while start < timestamps.count { (start, runs) = (end(from: start), runs + 1) }
        varInt(runs)
        var next = largest
        var last: UInt64?
        start = 0
        while start < timestamps.count {
            let end = end(from: start)
            varInts(next - timestamps[start].number, UInt64(end - start))
            for stamp in timestamps[start..<end] {
                varInt(last.map { $0 - stamp.steps } ?? stamp.steps)
                last = stamp.steps
            }
            next = timestamps[end - 1].number &- 1
            start = end
        }
    }
}
