import MastTimebase

/// Why a call failed, and whether it took effect.
///
/// Handlers throw it; callers catch it. The transport never makes up `unknown` codes: that code always
/// means that a handler threw something else.
public struct RPCError: Error, Sendable, Equatable, CustomStringConvertible {
    public var code: StatusCode
    /// One line for a person.
    public var message: String
    public var effect: Effect
    /// When the peer wants to hear from us again.
    public var retryAfter: Interval?
    /// Bytes of the application's own, for a typed account of the failure.
    public var detail: ByteString?
    public var metadata: Metadata
    /// Where the failure arose; always `.remote` in what a handler throws.
    public var cause: Cause

    public enum Cause: String, Sendable, Codable {
        /// The peer answered with this error.
        case remote
        case deadline
        case cancelled
        /// No connection came up: nothing was sent.
        case unreachable
        /// The connection went away after something was sent.
        case connectionLost
        /// The peer is another incarnation than the one the first attempt went to.
        case peerRestarted
        /// The peer's transport refused the stream before any handler saw it.
        case refused
        case protocolViolation
        case tooLarge
        /// This host, or the connection this client was bound to, was closed by us.
        case closed
    }

    public init(
        _ code: StatusCode, _ message: String = "", effect: Effect = .unknown, retryAfter: Interval? = nil,
        detail: ByteString? = nil, metadata: Metadata = [:]
    ) {
        self.code = code
        self.message = message
        self.effect = effect
        self.retryAfter = retryAfter
        self.detail = detail
        self.metadata = metadata
        self.cause = .remote
    }

    init(_ code: StatusCode, _ message: String, effect: Effect, cause: Cause) {
        self.init(code, message, effect: effect)
        self.cause = cause
    }

    /// For a log or a person: what a peer wrote is escaped here, and long texts are cut.
    public var description: String {
        "\(code.name)\(message.isEmpty ? "" : ": \(message.printable(atMost: 1_024))") [effect \(effect)]"
    }
}
