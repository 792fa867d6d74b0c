/// How far a connection came, by its packets in the capture.
package enum TCPConnectionState: String, Sendable, Hashable, CaseIterable {
    /// SYN alone: nothing came back.
    case neverOpened
    /// A RST answered the SYN.
    case refused
    /// The SYN was answered, and no acknowledgement ended the handshake.
    case halfOpen
    /// Opened in the capture, and open at its end.
    case open
    /// Opened before the capture began, and open at its end.
    case midway
    /// One side said that it sends no more.
    case closing
    /// Both sides said so.
    case closed
    /// Open, then ended by a RST.
    case reset

    package var text: String {
        switch self {
        case .neverOpened: "never opened"
        case .halfOpen: "half-open"
        default: rawValue
        }
    }
}
