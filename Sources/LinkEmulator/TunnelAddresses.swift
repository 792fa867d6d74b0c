import CTunnel
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The addresses of a tunnel's two ends: 10.109.n.1 and fd6d:6173:74:n::1 at the host, .2 and ::2 inside.
package struct TunnelAddresses: Sendable, Hashable {
    /// 1 to 254.
    package let number: Int

    package init(number: Int) { self.number = min(max(1, number), 254) }

    package var host: String { "10.109.\(number).1" }
    package var inside: String { "10.109.\(number).2" }
    package var host6: String { "fd6d:6173:74:\(String(number, radix: 16))::1" }
    package var inside6: String { "fd6d:6173:74:\(String(number, radix: 16))::2" }
    /// `inside` as a number.
    package var inside4: UInt32 { host4 + 1 }
    /// `host` as a number.
    package var host4: UInt32 { 10 << 24 | 109 << 16 | UInt32(number) << 8 | 1 }

    /// Addresses that no interface here has; nil when 254 tunnels are open.
    package static func free() -> TunnelAddresses? {
        var taken: [Int] = []
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return nil }
        defer { freeifaddrs(first) }
        var next = first
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let address = entry.pointee.ifa_addr, Int32(address.pointee.sa_family) == AF_INET else { continue }
            let number = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { UInt32(bigEndian: $0.pointee.sin_addr.s_addr) }
            if number >> 16 == 10 << 8 | 109 { taken.append(Int(number >> 8 & 0xFF)) }
        }
        // A tunnel inside another must not repeat its addresses: what it sees of it is its own inner end.
        return (1...254).first { !taken.contains($0) }.map { TunnelAddresses(number: $0) }
    }

    func withCStrings<Result>(isHost: Bool, mtu: Int, _ body: (inout mast_tun_address) -> Result) -> Result {
        let (local, peer) = isHost ? (host, inside) : (inside, host)
        let (local6, peer6) = isHost ? (host6, inside6) : (inside6, host6)
        return local.withCString { local in
            peer.withCString { peer in
                local6.withCString { local6 in
                    peer6.withCString { peer6 in
                        var address = mast_tun_address(
                            local4: local, peer4: peer, local6: local6, peer6: peer6, mtu: Int32(clamping: mtu))
                        return body(&address)
                    }
                }
            }
        }
    }
}
