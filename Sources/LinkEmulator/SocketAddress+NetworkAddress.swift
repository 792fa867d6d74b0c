import MastTimebase
import NIOCore

extension NetworkAddress {
    /// Nil for what is neither IPv4 nor IPv6.
    init?(_ address: SocketAddress) {
        // Port and address stand at the same offsets in the sockaddr of Linux and of the BSDs.
        func number(_ bytes: UnsafeRawBufferPointer, _ range: Range<Int>) -> UInt64 {
            range.reduce(0) { $0 << 8 | ($1 < bytes.count ? UInt64(bytes[$1]) : 0) }
        }
        switch address {
        case .v4:
            self = address.withSockAddr { pointer, size in
                let bytes = UnsafeRawBufferPointer(start: pointer, count: size)
                return NetworkAddress(
                    ipv4: UInt32(truncatingIfNeeded: number(bytes, 4..<8)), port: UInt16(truncatingIfNeeded: number(bytes, 2..<4)))
            }
        case .v6:
            self = address.withSockAddr { pointer, size in
                let bytes = UnsafeRawBufferPointer(start: pointer, count: size)
                return NetworkAddress(
                    high: number(bytes, 8..<16), low: number(bytes, 16..<24), port: UInt16(truncatingIfNeeded: number(bytes, 2..<4)))
            }
        case .unixDomainSocket: return nil
        }
    }

    /// For a socket; a mapped IPv4 address becomes a plain one.
    func socketAddress() throws -> SocketAddress {
        let packed = isIPv4 ? ByteBuffer(bytes: bytes.suffix(4)) : ByteBuffer(bytes: bytes)
        return try SocketAddress(packedIPAddress: packed, port: Int(port))
    }

    /// Any port on an address from which a socket reaches this one: on IPv4's loopback there are many, by `number`.
    func reachingSource(_ number: UInt32) -> NetworkAddress {
        if isIPv4 { return NetworkAddress(ipv4: isLoopback ? 0x7F00_0001 + number % 250 : 0, port: 0) }
        return NetworkAddress(high: 0, low: isLoopback ? 1 : 0, port: 0)
    }

    /// What IP and UDP headers add to a payload.
    var headerBytes: Int { isIPv4 ? 28 : 48 }
}
