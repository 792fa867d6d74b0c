import Collections
import MastRPC
import MastTransport

/// A part of a call, as it stands on a stream (see the envelope's documentation).
package enum CallPart: Sendable, Equatable {
    /// The method by its name, or by its number where nothing names it.
    case request(method: String, codec: String, semantics: String, attempt: UInt32)
    case message(bytes: UInt64)
    case trailer(status: String, effect: String, message: String)
    /// A part that may be skipped.
    case optional(kind: UInt8, bytes: UInt64)
    /// From here on the stream is not followed, for this reason.
    case lost(String)
}

/// Puts decrypted stream frames together, as far as calls' heads need it, and tells the parts of calls.
package struct CallStreams: Sendable {
    package struct Name: Hashable, Sendable {
        var way: KeyLog.Way
        var stream: StreamID

        package init(way: KeyLog.Way, stream: StreamID) { (self.way, self.stream) = (way, stream) }
    }

    private struct Progress {
        var next: UInt64 = 0
        /// Of a part whose head has not all come.
        var head: [UInt8] = []
        /// Of a message that goes on.
        var skip: UInt64 = 0
        var ahead: [(offset: UInt64, bytes: [UInt8])] = []
        var isLost = false
    }

    /// Streams followed at once, the oldest forgotten first: as many as eight connections may have open, twice.
    private static let mostStreams = 16_384
    /// Of one stream and of all: a hole is filled within a round trip or two, or was never recorded.
    private static let mostAhead = 256 << 10
    private static let mostAheadInAll = 16 << 20

    private var streams: [Name: Progress] = [:]  // lookup only
    private var order: Deque<Name> = []
    private var aheadInAll = 0
    private let limits = EnvelopeLimits()

    package init() {}

    /// - Parameter names: of methods.
    package mutating func take(_ frame: StreamFrame, _ name: Name, names: KeyLog) -> [CallPart] {
        if streams[name] == nil {
            if streams.count >= Self.mostStreams, let oldest = order.popFirst(), let gone = streams.removeValue(forKey: oldest) {
                aheadInAll -= Self.bytes(gone.ahead)
            }
            order.append(name)
        }
        var progress = streams[name] ?? Progress()
        defer { streams[name] = progress }
        guard !progress.isLost else { return [] }
        let before = Self.bytes(progress.ahead)
        var parts: [CallPart] = []
        if frame.offset > progress.next {
            if frame.data.isEmpty { return [] }
            let cost = frame.data.count + Self.pieceBytes
            guard before + cost <= Self.mostAhead, aheadInAll + cost <= Self.mostAheadInAll else {
                return [lose(&progress, "bytes before \(frame.offset) are missing in the recording")]
            }
            progress.ahead.append((frame.offset, Array(frame.data)))
        } else {
            consume(frame.offset, frame.data, &progress, &parts, names)
            while !progress.isLost, let index = progress.ahead.firstIndex(where: { $0.offset <= progress.next }) {
                let piece = progress.ahead.remove(at: index)
                consume(piece.offset, piece.bytes[...], &progress, &parts, names)
            }
        }
        aheadInAll += Self.bytes(progress.ahead) - before
        return parts
    }

    /// Of keeping one, whatever is in it: that bounds how many there are, too.
    private static let pieceBytes = 64
    private static func bytes(_ ahead: [(offset: UInt64, bytes: [UInt8])]) -> Int { ahead.reduce(0) { $0 + $1.bytes.count + pieceBytes } }

    private mutating func lose(_ progress: inout Progress, _ reason: String) -> CallPart {
        aheadInAll -= Self.bytes(progress.ahead)
        (progress.head, progress.ahead, progress.isLost) = ([], [], true)
        return .lost(reason)
    }

    private mutating func consume(_ offset: UInt64, _ data: ArraySlice<UInt8>, _ progress: inout Progress, _ parts: inout [CallPart], _ names: KeyLog) {
        let known = progress.next - offset
        guard known < UInt64(data.count) else { return }
        var rest = data.dropFirst(Int(known))
        progress.next += UInt64(rest.count)
        let skipped = Int(min(progress.skip, UInt64(rest.count)))
        progress.skip -= UInt64(skipped)
        rest = rest.dropFirst(skipped)
        progress.head += rest
        do throws(EnvelopeViolation) {
            while let part = try next(&progress, names) { parts.append(part) }
        } catch {
            let before = Self.bytes(progress.ahead)
            parts.append(lose(&progress, error.reason))
            // `take` counts what is no longer kept.
            aheadInAll += before
        }
    }

    /// The next part whose head has all come.
    private func next(_ progress: inout Progress, _ names: KeyLog) throws(EnvelopeViolation) -> CallPart? {
        var reader = ByteReader(progress.head)
        guard let kind = reader.byte(), let length = reader.varInt() else { return nil }
        switch kind {
        case FrameKind.header, FrameKind.trailer:
            guard length <= UInt64(limits.headBytes) else { throw EnvelopeViolation("a head of \(length) bytes") }
            guard let payload = reader.slice(Int(length)) else { return nil }
            let part = try kind == FrameKind.header ? request(payload, names) : trailer(payload)
            progress.head.removeFirst(reader.offset)
            return part
        case FrameKind.message, FrameKind.firstOptional...:
            let here = min(length, UInt64(reader.remaining))
            progress.head.removeFirst(reader.offset + Int(here))
            progress.skip = length - here
            return kind == FrameKind.message ? .message(bytes: length) : .optional(kind: kind, bytes: length)
        default: throw EnvelopeViolation("part of unknown kind \(kind)")
        }
    }

    private func request(_ payload: ArraySlice<UInt8>, _ names: KeyLog) throws(EnvelopeViolation) -> CallPart {
        let header = try RequestHeader(decoding: payload, limits: limits)
        let number = String(header.method, radix: 16)
        return .request(
            method: names.method(header.method) ?? "method " + String(repeating: "0", count: max(0, 8 - number.count)) + number,
            codec: "\(header.codec)", semantics: header.semantics.name, attempt: header.attempt)
    }

    private func trailer(_ payload: ArraySlice<UInt8>) throws(EnvelopeViolation) -> CallPart {
        let trailer = try Trailer(decoding: payload, limits: limits)
        return .trailer(status: trailer.code.name, effect: "\(trailer.effect)", message: trailer.message)
    }
}

extension CallPart: Encodable {
    private enum CodingKeys: String, CodingKey {
        case part, method, codec, semantics, attempt, messageBytes, status, effect, message, kind, partBytes, reason
    }

    package func encode(to encoder: any Encoder) throws {
        var object = encoder.container(keyedBy: CodingKeys.self)
        switch self {
        case .request(let method, let codec, let semantics, let attempt):
            try object.encode("request", forKey: .part)
            try object.encode(method, forKey: .method)
            try object.encode(codec, forKey: .codec)
            try object.encode(semantics, forKey: .semantics)
            try object.encode(attempt, forKey: .attempt)
        case .message(let bytes):
            try object.encode("message", forKey: .part)
            try object.encode(bytes, forKey: .messageBytes)
        case .trailer(let status, let effect, let message):
            try object.encode("trailer", forKey: .part)
            try object.encode(status, forKey: .status)
            try object.encode(effect, forKey: .effect)
            try object.encode(message, forKey: .message)
        case .optional(let kind, let bytes):
            try object.encode("optional", forKey: .part)
            try object.encode(kind, forKey: .kind)
            try object.encode(bytes, forKey: .partBytes)
        case .lost(let reason):
            try object.encode("lost", forKey: .part)
            try object.encode(reason, forKey: .reason)
        }
    }

    package var text: String {
        switch self {
        case .request(let method, let codec, let semantics, let attempt):
            "request \(method) \(codec) \(semantics)" + (attempt > 1 ? " attempt \(attempt)" : "")
        case .message(let bytes): "message \(bytes) bytes"
        case .trailer(let status, let effect, let message):
            "trailer \(status) effect \(effect)" + (message.isEmpty ? "" : " \"\(message)\"")
        case .optional(let kind, let bytes): "part \(kind) \(bytes) bytes"
        case .lost(let reason): "NOT FOLLOWED: \(reason)"
        }
    }
}
