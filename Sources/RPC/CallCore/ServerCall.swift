import MastTimebase

/// The handler's side of one call's stream: what may come when.
struct ServerCall: Sendable {
    private(set) var header: RequestHeader?
    private(set) var requests = 0
    private var kind: CallKind?

    enum Step: Equatable {
        /// Which method it is decides the kind; its owner answers with `expect`.
        case header(RequestHeader)
        case message(ArraySlice<UInt8>)
        case skipped
    }

    init() {}

    mutating func expect(_ kind: CallKind) { self.kind = kind }

    mutating func receive(_ frame: FrameReader.Frame, limits: EnvelopeLimits) throws(EnvelopeViolation) -> Step {
        switch frame.kind {
        case FrameKind.header:
            guard header == nil else { throw EnvelopeViolation("a second header") }
            let header = try RequestHeader(decoding: frame.payload, limits: limits)
            self.header = header
            return .header(header)
        case FrameKind.message:
            guard header != nil else { throw EnvelopeViolation("a message before the header") }
            if kind?.hasSingleRequest ?? false, requests > 0 { throw EnvelopeViolation("a second request") }
            requests += 1
            return .message(frame.payload)
        case FrameKind.firstOptional...: return .skipped
        default: throw EnvelopeViolation("frame kind \(frame.kind) in a request")
        }
    }
}
