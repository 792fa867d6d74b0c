/// Why a connection is over.
public enum CloseReason: Hashable, Sendable, CustomStringConvertible {
    /// We closed it.
    case local(code: UInt64)
    /// The peer closed it, with its code and words.
    case peer(code: UInt64, reason: String)
    /// Nothing was received for the idle timeout.
    case idle
    /// No answer to our handshake: nobody there, or the wrong key; and the last that the network said of the address, if anything.
    case handshakeTimeout(PathHint?)
    /// Whoever is there speaks these versions of the wire format, and not ours.
    case otherVersion([UInt8])
    /// The peer has forgotten the connection (it restarted).
    case reset
    /// Its place was needed: it was the longest silent of the source that held most of a full table.
    case displaced
    /// The peer broke the protocol, or so did we.
    case violation(code: UInt64, reason: String)

    public var description: String {
        switch self {
        case .local(let code): "closed here (code \(code))"
        case .peer(let code, let reason): reason.isEmpty ? "closed by the peer (code \(code))" : "closed by the peer: \(reason)"
        case .idle: "idle timeout"
        case .handshakeTimeout(let hint): "no answer to the handshake" + (hint.map { " (\($0))" } ?? "")
        case .otherVersion(let versions):
            "the peer speaks version \(versions.prefix(8).map { "\($0)" }.joined(separator: ", ")) of the wire format, and not \(WireVersion.current)"
        case .reset: "the peer no longer knows this connection"
        case .displaced: "displaced: the responder's table of connections is full"
        case .violation(_, let reason): "protocol violation: \(reason)"
        }
    }
}
