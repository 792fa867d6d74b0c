import CTunnel
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// Passes name queries on to the host's resolver, and the answers back. It looks at nothing but a query's number, by
/// which it finds the asker again (RFC 1035 section 4.1.1).
struct NameForwarder: ~Copyable {
    /// Queries come here, on the loopback interface.
    let socket: Int32
    let resolver: Int32
    let port: UInt16
    /// Who asked, by the query's number; a later query of the same number takes the place.
    private var askers: [UInt16: sockaddr_in] = [:]

    /// Nil when the resolver cannot be reached.
    init?(resolverAddress: UInt32) {
        let socket = mast_datagram_socket()
        let resolver = mast_datagram_socket()
        var own = Self.address(0x7F00_0001, 0)
        var target = Self.address(resolverAddress, 53)
        var bound = sockaddr_in()
        let isReady =
            Self.with(&own) { bind(socket, $0, $1) } == 0 && Self.with(&target) { connect(resolver, $0, $1) } == 0
            && Self.name(of: socket, &bound)
        guard socket >= 0, resolver >= 0, isReady else {
            if socket >= 0 { close(socket) }
            if resolver >= 0 { close(resolver) }
            return nil
        }
        (self.socket, self.resolver, port) = (socket, resolver, UInt16(bigEndian: bound.sin_port))
    }

    deinit {
        close(socket)
        close(resolver)
    }

    /// Moves what is there.
    mutating func pump() {
        withUnsafeTemporaryAllocation(byteCount: 65_536, alignment: 8) { buffer in
            var asker = sockaddr_in()
            for _ in 0..<64 {
                let count = Self.with(&asker) { address, _ in
                    var length = socklen_t(MemoryLayout<sockaddr_in>.size)
                    return recvfrom(socket, buffer.baseAddress, buffer.count, 0, UnsafeMutablePointer(mutating: address), &length)
                }
                guard count >= 12 else { break }
                askers[UInt16(buffer[0]) << 8 | UInt16(buffer[1])] = asker
                send(resolver, buffer.baseAddress, count, 0)
            }
            for _ in 0..<64 {
                let count = recv(resolver, buffer.baseAddress, buffer.count, 0)
                guard count >= 12 else { break }
                guard var asker = askers.removeValue(forKey: UInt16(buffer[0]) << 8 | UInt16(buffer[1])) else { continue }
                _ = Self.with(&asker) { sendto(socket, buffer.baseAddress, count, 0, $0, $1) }
            }
        }
    }

    private static func address(_ host: UInt32, _ port: UInt16) -> sockaddr_in {
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = host.bigEndian
        address.sin_port = port.bigEndian
        return address
    }

    private static func with<Result>(
        _ address: inout sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Result
    ) -> Result {
        withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
        }
    }

    private static func name(of socket: Int32, _ address: inout sockaddr_in) -> Bool {
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        return withUnsafeMutablePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(socket, $0, &length) }
        } == 0
    }
}
