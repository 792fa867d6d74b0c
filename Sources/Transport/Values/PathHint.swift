/// What the operating system or an ICMP message said of an address. Anyone can forge such a message, so it is a reason
/// to look, never proof.
public enum PathHint: Hashable, Sendable, CustomStringConvertible {
    case networkUnreachable
    case hostUnreachable
    /// Nobody listens at the port.
    case connectionRefused
    /// A filter, here or on the way, lets nothing through.
    case forbidden
    /// Our own address or interface is gone.
    case addressGone
    case messageTooLarge
    /// Another error number of the operating system.
    case other(Int32)

    public var description: String {
        switch self {
        case .networkUnreachable: "no route to the network"
        case .hostUnreachable: "no route to the host"
        case .connectionRefused: "connection refused"
        case .forbidden: "sending is forbidden"
        case .addressGone: "the local address is gone"
        case .messageTooLarge: "message too large for the path"
        case .other(let number): "error \(number)"
        }
    }
}
