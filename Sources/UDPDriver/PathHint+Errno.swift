import MastTransport

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

extension PathHint {
    /// What the system's errno says of a path; ICMP messages come as errno too.
    init(errno code: Int32) {
        self = switch code {
        case ENETUNREACH: .networkUnreachable
        case EHOSTUNREACH, EHOSTDOWN: .hostUnreachable
        case ECONNREFUSED: .connectionRefused
        case EPERM, EACCES: .forbidden
        case ENETDOWN, EADDRNOTAVAIL, ENODEV, ENOTCONN: .addressGone
        case EMSGSIZE: .messageTooLarge
        default: .other(code)
        }
    }
}
