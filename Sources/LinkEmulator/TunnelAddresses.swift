import CTunnel
#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#else
    import Darwin
#endif

/// The addresses of a tunnel's two ends: 10.109.n.1 and fd6d:6173:74:n::1 at the host, .2 and ::2 inside.
///
/// Where a tunnel begins inside another, its number is greater than that one's: along the chain none comes twice. The
/// inner end has the outermost host as its peer, so what stands in a namespace tells which that is.
package struct TunnelAddresses: Sendable, Hashable {
    /// 1 to 254.
    package static let numbers = 1...254

    package let number: Int
    /// The number of the chain's first tunnel; `number` if it does not begin inside another.
    package let outermost: Int

    package init(number: Int, outermost: Int? = nil) {
        self.number = min(max(Self.numbers.lowerBound, number), Self.numbers.upperBound)
        self.outermost = min(max(Self.numbers.lowerBound, outermost ?? number), self.number)
    }

    package var host: String { Self.host(number) }
    package var inside: String { "10.109.\(number).2" }
    package var host6: String { Self.host6(number) }
    package var inside6: String { "fd6d:6173:74:\(String(number, radix: 16))::2" }
    /// The host that all tunnels lead to.
    package var outermostHost: String { Self.host(outermost) }
    package var outermostHost6: String { Self.host6(outermost) }
    package var isInsideAnother: Bool { outermost != number }
    /// `inside` as a number.
    package var inside4: UInt32 { host4 + 1 }
    /// `host` as a number.
    package var host4: UInt32 { 10 << 24 | 109 << 16 | UInt32(number) << 8 | 1 }

    private static func host(_ number: Int) -> String { "10.109.\(number).1" }
    private static func host6(_ number: Int) -> String { "fd6d:6173:74:\(String(number, radix: 16))::1" }

    /// Addresses that a tunnel from this namespace may have, as its interfaces say: of none of them does one bear the number.
    static func candidates() -> [TunnelAddresses] {
        var first: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&first) == 0 else { return [] }
        defer { freeifaddrs(first) }
        var taken: [Int] = []
        var around: TunnelAddresses?
        var next = first
        while let entry = next {
            next = entry.pointee.ifa_next
            guard let own = parts(entry.pointee.ifa_addr) else { continue }
            taken.append(own.number)
            if own.end == 2, let peer = parts(Self.peer(entry.pointee)), peer.end == 1, peer.number <= own.number {
                around = TunnelAddresses(number: own.number, outermost: peer.number)
            }
        }
        return numbers.filter { $0 > around?.number ?? 0 && !taken.contains($0) }
            .map { TunnelAddresses(number: $0, outermost: around?.outermost) }
    }

    private static func peer(_ entry: ifaddrs) -> UnsafeMutablePointer<sockaddr>? {
        #if canImport(Darwin)
            entry.ifa_dstaddr
        #else
            entry.ifa_ifu.ifu_dstaddr
        #endif
    }

    /// n and the last number of an address 10.109.n.*.
    private static func parts(_ address: UnsafeMutablePointer<sockaddr>?) -> (number: Int, end: Int)? {
        guard let address, Int32(address.pointee.sa_family) == AF_INET else { return nil }
        let number = address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { UInt32(bigEndian: $0.pointee.sin_addr.s_addr) }
        return number >> 16 == 10 << 8 | 109 ? (Int(number >> 8 & 0xFF), Int(number & 0xFF)) : nil
    }

    func withCStrings<Result>(isHost: Bool, mtu: Int, _ body: (inout mast_tun_address) -> Result) -> Result {
        let (local, peer) = isHost ? (host, inside) : (inside, outermostHost)
        let (local6, peer6) = isHost ? (host6, inside6) : (inside6, outermostHost6)
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
