/// Why a connection is over.
public enum CloseReason: Hashable, Sendable, CustomStringConvertible {
    /// We closed it.
    case local(code: UInt64)
    /// The peer closed it, with its code and words.
    case peer(code: UInt64, reason: String)
    /// Nothing was received for the idle timeout.
    case idle
    /// No answer to our handshake: nobody there, the wrong key, or the wrong version.
    case handshakeTimeout
    /// The peer has forgotten the connection (it restarted).
    case reset
    /// The peer broke the protocol, or so did we.
    case violation(code: UInt64, reason: String)

    public var description: String {
        switch self {
        case .local(let code): "closed here (code \(code))"
        case .peer(let code, let reason): reason.isEmpty ? "closed by the peer (code \(code))" : "closed by the peer: \(reason)"
        case .idle: "idle timeout"
        case .handshakeTimeout: "no answer to the handshake"
        case .reset: "the peer no longer knows this connection"
        case .violation(_, let reason): "protocol violation: \(reason)"
        }
    }
}
