import Dispatch
import MastRPC
import MastTimebase

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Names by way of the system's own resolver: files, DNS, whatever is configured. It blocks, for minutes if it must, so it has
/// threads of its own, and whoever asks does not wait for them.
enum SystemResolver {
    private static let queue = DispatchQueue(label: "mast.names", attributes: .concurrent)

    static func lookUp(_ name: String, port: UInt16, _ answer: @escaping @Sendable (Result<[NetworkAddress], NameLookupError>) -> Void) {
        queue.async { answer(addresses(of: name, port: port)) }
    }

    private static func addresses(of name: String, port: UInt16) -> Result<[NetworkAddress], NameLookupError> {
        var hints = addrinfo()
        hints.ai_family = AF_UNSPEC
        #if canImport(Glibc)
            hints.ai_socktype = Int32(SOCK_DGRAM.rawValue)
        #else
            hints.ai_socktype = SOCK_DGRAM
        #endif
        var first: UnsafeMutablePointer<addrinfo>?
        let code = getaddrinfo(name, nil, &hints, &first)
        defer { if let first { freeaddrinfo(first) } }
        guard code == 0 else { return .failure(failure(code, name)) }
        var found: [NetworkAddress] = []
        var next = first
        while let entry = next {
            next = entry.pointee.ai_next
            guard let address = address(entry.pointee.ai_addr, port: port), !found.contains(address) else { continue }
            found.append(address)
        }
        guard !found.isEmpty else { return .failure(NameLookupError(name: name, isFinal: true, reason: "it has no IP address")) }
        return .success(found)
    }

    /// Nil for link-local addresses too: they say nothing without an interface.
    private static func address(_ pointer: UnsafeMutablePointer<sockaddr>?, port: UInt16) -> NetworkAddress? {
        guard let pointer else { return nil }
        switch Int32(pointer.pointee.sa_family) {
        case AF_INET:
            return pointer.withMemoryRebound(to: sockaddr_in.self, capacity: 1) {
                NetworkAddress(ipv4: UInt32(bigEndian: $0.pointee.sin_addr.s_addr), port: port)
            }
        case AF_INET6:
            return pointer.withMemoryRebound(to: sockaddr_in6.self, capacity: 1) {
                withUnsafeBytes(of: $0.pointee.sin6_addr) { bytes in
                    let high = UInt64(bigEndian: bytes.loadUnaligned(as: UInt64.self))
                    let low = UInt64(bigEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
                    return high >> 54 == 0xFE80 >> 6 ? nil : NetworkAddress(high: high, low: low, port: port)
                }
            }
        default: return nil
        }
    }

    private static func failure(_ code: Int32, _ name: String) -> NameLookupError {
        switch code {
        case EAI_NONAME: NameLookupError(name: name, isFinal: true, reason: "no such host")
        case EAI_AGAIN: NameLookupError(name: name, isFinal: false, reason: "the name server does not answer")
        #if canImport(Glibc)
            // EAI_NODATA, which the header hides.
            case -5: NameLookupError(name: name, isFinal: true, reason: "it has no IP address")
        #endif
        default: NameLookupError(name: name, isFinal: false, reason: String(cString: gai_strerror(code)))
        }
    }
}
