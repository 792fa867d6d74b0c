import MastTimebase

/// The caller's side of one logical call, over all its attempts.
struct ClientCall: Sendable {
    let kind: CallKind
    var header: RequestHeader
    var policy: RetryPolicy
    /// The request of a kind that has exactly one, kept for another attempt.
    private let message: [UInt8]?
    /// Frames of requests that wait for the stream.
    private(set) var request: [UInt8] = []
    private(set) var requestFinished: Bool
    /// Attempts begun.
    private(set) var attempts = 0
    /// Something of this call may have reached a handler.
    private(set) var mayHaveRun = false
    private(set) var responses = 0
    private var trailer: Trailer?

    enum Step: Equatable {
        case message(ArraySlice<UInt8>)
        case ended(Trailer)
        case skipped
    }

    init(kind: CallKind, header: RequestHeader, policy: RetryPolicy, request: [UInt8]?) {
        (self.kind, self.header, self.policy) = (kind, header, policy)
        message = request
        requestFinished = request != nil
    }

    /// Another message before the stream is open.
    mutating func queue(_ message: [UInt8]) { FrameReader.append(FrameKind.message, message, to: &request) }
    mutating func finishRequests() { requestFinished = true }

    /// Begins an attempt.
    /// - Returns: the bytes that open the stream, and whether they are all there is to send.
    mutating func open() -> (bytes: [UInt8], finish: Bool) {
        attempts += 1
        responses = 0
        trailer = nil
        var bytes: [UInt8] = []
        let length = message.map { FrameReader.wireBytes(payload: $0.count) } ?? request.count
        bytes.reserveCapacity(length + FrameReader.wireBytes(payload: RequestHeader.plainBytes))
        header.append(to: &bytes)
        if let message { FrameReader.append(FrameKind.message, message, to: &bytes) }
        bytes.append(contentsOf: request)
        if !kind.hasSingleRequest { request = [] }
        return (bytes, requestFinished)
    }

    mutating func receive(_ frame: FrameReader.Frame, limits: EnvelopeLimits) throws(EnvelopeViolation) -> Step {
        guard trailer == nil else { throw EnvelopeViolation("a frame follows the trailer") }
        switch frame.kind {
        case FrameKind.message:
            guard !kind.hasSingleResponse || responses == 0 else { throw EnvelopeViolation("a second response to a \(kind.name) call") }
            responses += 1
            return .message(frame.payload)
        case FrameKind.trailer:
            let trailer = try Trailer(decoding: frame.payload, limits: limits)
            if trailer.code == .ok, kind.hasSingleResponse, responses == 0 { throw EnvelopeViolation("success without a response") }
            self.trailer = trailer
            return .ended(trailer)
        case FrameKind.firstOptional...: return .skipped
        default: throw EnvelopeViolation("frame kind \(frame.kind) in a response")
        }
    }

    /// What the answer says about failure, with the cause that only the caller can know.
    func failure(_ trailer: Trailer) -> AttemptFailure {
        var error = trailer.error
        if header.attempt > 1, trailer.effect == .unknown, trailer.incarnation != header.earlierIncarnation {
            error.cause = .peerRestarted
        }
        return .answered(error)
    }

    /// The attempt failed; decides what follows. A failure that may have run is remembered for the next header.
    mutating func failed(_ failure: AttemptFailure, incarnation: UInt64, budget: RetryBudget) -> RetryPolicy.Decision {
        let ambiguous: Bool = switch failure {
        case .refused: false
        case .answered(let error): error.effect != .none
        case .reset, .connectionLost, .violation: true
        }
        let replayable = kind.hasSingleRequest && (responses == 0 || kind == .unary)
        let decision = policy.decide(failure, attempt: attempts, replayable: replayable, hasID: header.id != nil, budget: budget)
        if ambiguous {
            mayHaveRun = true
            if header.attempt == 1 { header.earlierIncarnation = incarnation }
            header.attempt = min(header.attempt + 1, 1_000)
        }
        return decision
    }

    /// The effect of giving up now.
    func effectOfGivingUp(attemptIsOpen: Bool) -> Effect { mayHaveRun || attemptIsOpen ? policy.unansweredEffect : .none }
}
