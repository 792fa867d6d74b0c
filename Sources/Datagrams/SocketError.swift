import MastTimebase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Why a socket could not be had, in the system's words.
package struct SocketError: Error, Sendable, CustomStringConvertible {
    /// The system's errno; 0 when there is none.
    package var code: Int32
    package var address: NetworkAddress?

    package init(code: Int32, address: NetworkAddress? = nil) { (self.code, self.address) = (code, address) }

    package static let stopped = SocketError(code: ESHUTDOWN)

    package var description: String {
        guard let address else { return Self.text(code) }
        switch code {
        case EADDRINUSE: return "address \(address) is in use; choose another port, or stop the program that holds it"
        case EADDRNOTAVAIL: return "\(address.host) is no address of this machine; choose one that it has, or 0.0.0.0 for all"
        case EACCES: return "this user may not listen on port \(address.port); choose one from 1024 up"
        case EAFNOSUPPORT: return "this system has no IPv6; give an IPv4 address instead of \(address)"
        case EMFILE, ENFILE: return "cannot open a UDP socket at \(address): too many open files; raise the limit (ulimit -n)"
        default: return "cannot open a UDP socket at \(address): \(Self.text(code))"
        }
    }

    /// What the system says of an errno.
    package static func text(_ code: Int32) -> String {
        var buffer = [CChar](repeating: 0, count: 128)
        guard strerror_r(code, &buffer, buffer.count) == 0 else { return "error \(code)" }
        return String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Whether the socket itself is no more, rather than one datagram.
    static func isEnd(_ code: Int32) -> Bool {
        // ECONNABORTED is what a socket gets that an operator destroyed (`ss -K`); the others, what a phone finds on waking.
        [EBADF, ENOTSOCK, ESHUTDOWN, EPIPE, ENOTCONN, ECONNABORTED].contains(code)
    }
}
