import MastTimebase
import MastTransport

/// What is on a call's stream: frames of a kind byte, a length (RFC 9000 varint) and a payload.
///
///     caller → handler   header, message …, end of stream
///     handler → caller   message …, trailer, end of stream
///
/// The deadline is not here: it is a field of the transport's frame that opens the stream, rewritten each
/// time that frame is sent again.
package enum FrameKind {
    package static let header: UInt8 = 1
    package static let message: UInt8 = 2
    package static let trailer: UInt8 = 3
    /// Kinds from here on may be skipped by who does not know them.
    package static let firstOptional: UInt8 = 0x20
}

/// Codes for resetting a call's stream.
package enum CallResetCode {
    package static let done: UInt64 = 0
    package static let cancelled: UInt64 = 1
    package static let protocolViolation: UInt64 = 2
    package static let refused: UInt64 = 3
    /// The transport does so by itself, too.
    package static let deadline = SendStream.expiredCode
}

/// How the messages of one call are encoded; one byte in the header.
package enum PayloadCodec: UInt8, Sendable {
    case cbor = 1
    case json = 2
    /// Only for methods whose messages are `ByteString`s: the bytes themselves.
    case raw = 3
}

/// The 32-bit name of a method on the wire: FNV-1a of its path. Two paths of one server that share it are
/// refused when the server is made.
package func methodID(_ path: String) -> UInt32 {
    var hash: UInt32 = 0x811C_9DC5
    for byte in path.utf8 { hash = (hash ^ UInt32(byte)) &* 0x0100_0193 }
    return hash
}

package struct RequestHeader: Equatable, Sendable {
    package static let version: UInt8 = 1

    package var method: UInt32
    package var codec: PayloadCodec
    package var semantics: CallSemantics
    /// 1 for the first attempt.
    package var attempt: UInt32 = 1
    /// Present when the caller wants duplicates suppressed.
    package var id: CallID?
    /// The lowest sequence number of the session whose outcome the caller still needs.
    package var firstIncomplete: UInt64 = 0
    /// The host incarnation that earlier attempts went to; 0 when the caller never learned it.
    package var earlierIncarnation: UInt64 = 0
    package var metadata = Metadata()
    /// The answer's, too.
    package var urgency = Urgency.standard

    package func encode() -> [UInt8] {
        var out = EnvelopeWriter()
        write(to: &out)
        return out.bytes
    }

    /// Bytes of a header without metadata, at most.
    static let plainBytes = 57

    /// As a frame.
    func append(to bytes: inout [UInt8]) {
        guard metadata.isEmpty else { return FrameReader.append(FrameKind.header, encode(), to: &bytes) }
        var out = EnvelopeWriter(bytes: bytes)
        bytes = []
        out.u8(FrameKind.header)
        // Its length takes one byte: see `plainBytes`.
        let length = out.bytes.count
        out.u8(0)
        write(to: &out)
        out.bytes[length] = UInt8(truncatingIfNeeded: out.bytes.count - length - 1)
        bytes = out.bytes
    }

    private func write(to out: inout EnvelopeWriter) {
        out.u8(Self.version)
        out.u8((id == nil ? 0 : 1) | (metadata.isEmpty ? 0 : 2) | (attempt > 1 ? 4 : 0) | (urgency == .standard ? 0 : 8))
        out.u32(method)
        out.u8(codec.rawValue)
        out.u8(semantics.rawValue)
        if let id {
            out.u64(id.session.high)
            out.u64(id.session.low)
            out.varint(id.sequence)
            out.varint(id.sequence &- min(firstIncomplete, id.sequence))
        }
        if attempt > 1 {
            out.varint(UInt64(attempt))
            out.u64(earlierIncarnation)
        }
        if !metadata.isEmpty { out.metadata(metadata) }
        if urgency != .standard { out.u8(urgency.number) }
    }

    package init(method: UInt32, codec: PayloadCodec, semantics: CallSemantics) {
        (self.method, self.codec, self.semantics) = (method, codec, semantics)
    }

    package init(decoding bytes: ArraySlice<UInt8>, limits: EnvelopeLimits) throws(EnvelopeViolation) {
        var reader = EnvelopeReader(bytes)
        guard try reader.u8() == Self.version else { throw EnvelopeViolation("unknown envelope version") }
        let flags = try reader.u8()
        method = try reader.u32()
        guard let codec = PayloadCodec(rawValue: try reader.u8()) else { throw EnvelopeViolation("unknown codec") }
        guard let semantics = CallSemantics(rawValue: try reader.u8()) else { throw EnvelopeViolation("unknown semantics") }
        (self.codec, self.semantics) = (codec, semantics)
        if flags & 1 != 0 {
            let session = SessionID(high: try reader.u64(), low: try reader.u64())
            let sequence = try reader.varint()
            let behind = try reader.varint()
            guard behind <= sequence else { throw EnvelopeViolation("first incomplete call lies before the first") }
            id = CallID(session: session, sequence: sequence)
            firstIncomplete = sequence - behind
        }
        if flags & 4 != 0 {
            attempt = UInt32(clamping: try reader.varint())
            earlierIncarnation = try reader.u64()
        }
        if flags & 2 != 0 { metadata = try reader.metadata(limit: limits.metadataBytes) }
        if flags & 8 != 0 { urgency = Urgency(number: try reader.u8()) }
    }
}

extension Urgency {
    /// As in RFC 9218: 0 is the most urgent of eight, 3 what goes without saying.
    fileprivate var number: UInt8 {
        switch self {
        case .urgent: 1
        case .standard: 3
        case .bulk: 5
        }
    }

    /// Any number of a peer's is one of ours.
    fileprivate init(number: UInt8) { self = number < 3 ? .urgent : number > 3 ? .bulk : .standard }
}

/// How a call ended, as the handler's side tells it.
package struct Trailer: Equatable, Sendable {
    package var code: StatusCode
    package var effect: Effect
    package var message = ""
    package var retryAfter: Interval?
    package var detail: ByteString?
    package var metadata = Metadata()
    /// The answering host's incarnation.
    package var incarnation: UInt64 = 0

    package static func ok(metadata: Metadata = [:]) -> Trailer {
        var trailer = Trailer(code: .ok, effect: .committed)
        trailer.metadata = metadata
        return trailer
    }

    package init(code: StatusCode, effect: Effect, message: String = "") {
        (self.code, self.effect, self.message) = (code, effect, message)
    }

    package init(_ error: RPCError) {
        self.init(code: error.code, effect: error.effect, message: error.message)
        retryAfter = error.retryAfter
        detail = error.detail
        metadata = error.metadata
    }

    package var error: RPCError {
        RPCError(code, message, effect: effect, retryAfter: retryAfter, detail: detail, metadata: metadata)
    }

    /// Bytes of one that says no more than how it ended.
    static let plainBytes = 12
    private var isPlain: Bool { message.isEmpty && retryAfter == nil && detail == nil && metadata.isEmpty }

    /// As a frame.
    func append(to bytes: inout [UInt8], limits: EnvelopeLimits) {
        guard isPlain else { return FrameReader.append(FrameKind.trailer, encode(limits: limits), to: &bytes) }
        var out = EnvelopeWriter(bytes: bytes)
        bytes = []
        out.u8(FrameKind.trailer)
        out.u8(UInt8(Self.plainBytes))
        out.u8(0)
        out.u8(UInt8(clamping: code.rawValue))
        out.u8(effect.rawValue)
        out.u64(incarnation)
        out.u8(0)
        bytes = out.bytes
    }

    /// Message text beyond 4 KiB, and detail or metadata beyond their bound, are left out.
    package func encode(limits: EnvelopeLimits) -> [UInt8] {
        var out = EnvelopeWriter()
        var metadata = metadata
        var probe = EnvelopeWriter()
        probe.metadata(metadata)
        if probe.bytes.count > limits.metadataBytes || metadata.pairs.count > 128 { metadata = [:] }
        let detail = (detail?.count ?? 0) > limits.metadataBytes ? nil : detail
        out.u8((retryAfter == nil ? 0 : 1) | (detail == nil ? 0 : 2) | (metadata.isEmpty ? 0 : 4))
        out.u8(UInt8(clamping: code.rawValue))
        out.u8(effect.rawValue)
        out.u64(incarnation)
        out.field(Array(message.utf8.prefix(4096)))
        if let retryAfter { out.varint(UInt64(clamping: retryAfter.microseconds)) }
        if let detail { out.field(detail.bytes) }
        if !metadata.isEmpty { out.metadata(metadata) }
        return out.bytes
    }

    package init(decoding bytes: ArraySlice<UInt8>, limits: EnvelopeLimits) throws(EnvelopeViolation) {
        var reader = EnvelopeReader(bytes)
        let flags = try reader.u8()
        code = StatusCode(rawValue: Int(try reader.u8())) ?? .unknown
        effect = Effect(rawValue: try reader.u8()) ?? .unknown
        incarnation = try reader.u64()
        message = try reader.text(limit: 4096)
        if flags & 1 != 0 { retryAfter = .microseconds(Int64(clamping: try reader.varint())) }
        if flags & 2 != 0 { detail = ByteString(try reader.field(limit: limits.metadataBytes)) }
        if flags & 4 != 0 { metadata = try reader.metadata(limit: limits.metadataBytes) }
    }
}
