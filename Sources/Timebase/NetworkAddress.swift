/// An IPv4 or IPv6 address with a UDP port, as a plain value: pure code needs no socket library, and a
/// comparison allocates nothing. IPv4 is held as an IPv4-mapped IPv6 address (RFC 4291 section 2.5.5.2).
public struct NetworkAddress: Hashable, Comparable, Sendable {
    /// The 128-bit address in host order, high and low half.
    public var high: UInt64
    public var low: UInt64
    public var port: UInt16

    @inlinable public init(high: UInt64, low: UInt64, port: UInt16) {
        (self.high, self.low, self.port) = (high, low, port)
    }

    /// An IPv4 address given in host order: `0x7F00_0001` is 127.0.0.1.
    @inlinable public init(ipv4: UInt32, port: UInt16) {
        self.init(high: 0, low: 0x0000_FFFF_0000_0000 | UInt64(ipv4), port: port)
    }

    public static func loopback(port: UInt16) -> NetworkAddress { NetworkAddress(ipv4: 0x7F00_0001, port: port) }

    @inlinable public var isIPv4: Bool { high == 0 && low >> 32 == 0xFFFF }
    /// The IPv4 address in host order, when it is one.
    @inlinable public var ipv4: UInt32? { isIPv4 ? UInt32(truncatingIfNeeded: low) : nil }
    public var isLoopback: Bool { isIPv4 ? (low >> 24) & 0xFF == 127 : high == 0 && low == 1 }
    public var isUnspecified: Bool { (high == 0 && low == 0) || ipv4 == 0 }

    /// The 16 bytes of the (mapped) IPv6 address in network order.
    public var bytes: [UInt8] {
        [high, low].flatMap { half in stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: half >> UInt64($0)) } }
    }

    @inlinable public func with(port: UInt16) -> NetworkAddress { NetworkAddress(high: high, low: low, port: port) }

    @inlinable public static func == (a: NetworkAddress, b: NetworkAddress) -> Bool {
        a.low == b.low && a.port == b.port && a.high == b.high
    }

    @inlinable public static func < (a: NetworkAddress, b: NetworkAddress) -> Bool {
        (a.high, a.low, a.port) < (b.high, b.low, b.port)
    }
}

extension NetworkAddress: CustomStringConvertible {
    /// `127.0.0.1:4433` or `[2001:db8::1]:4433` (RFC 5952: the longest run of zero groups is shortened).
    public var description: String { isIPv4 ? "\(host):\(port)" : "[\(host)]:\(port)" }

    /// The address without its port.
    public var host: String {
        if let v4 = ipv4 {
            return "\(v4 >> 24).\(v4 >> 16 & 0xFF).\(v4 >> 8 & 0xFF).\(v4 & 0xFF)"
        }
        let groups = [high, low].flatMap { half in [48, 32, 16, 0].map { UInt16(truncatingIfNeeded: half >> UInt64($0)) } }
        var best = 0..<0
        var index = 0
        while index < 8 {
            var end = index
            while end < 8, groups[end] == 0 { end += 1 }
            if end - index > best.count, end - index > 1 { best = index..<end }
            index = max(end, index + 1)
        }
        let text = { (range: Range<Int>) in groups[range].map { String($0, radix: 16) }.joined(separator: ":") }
        return best.isEmpty ? text(0..<8) : text(0..<best.lowerBound) + "::" + text(best.upperBound..<8)
    }
}

extension NetworkAddress: LosslessStringConvertible {
    /// Parses `a.b.c.d:port` or `[v6]:port`; nil for anything else (host names are a driver's business).
    public init?(_ text: String) {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]) else { return nil }
        var host = text[..<colon]
        if host.hasPrefix("["), host.hasSuffix("]") { host = host.dropFirst().dropLast() }
        self.init(host: String(host), port: port)
    }

    /// Parses a numeric IPv4 or IPv6 address.
    public init?(host: String, port: UInt16) {
        if !host.contains(":") {
            let parts = host.split(separator: ".", omittingEmptySubsequences: false)
            guard parts.count == 4 else { return nil }
            var value: UInt32 = 0
            for part in parts {
                guard let byte = UInt8(part) else { return nil }
                value = value << 8 | UInt32(byte)
            }
            self.init(ipv4: value, port: port)
            return
        }
        let halves = host.components(separatedByDoubleColon: ())
        guard let front = Self.groups(halves.front), let back = Self.groups(halves.back ?? "") else { return nil }
        let zeros = 8 - front.count - back.count
        guard halves.back == nil ? zeros == 0 : zeros >= 1 else { return nil }
        let all = front + Array(repeating: 0, count: max(0, zeros)) + back
        let join = { (range: Range<Int>) in all[range].reduce(UInt64(0)) { $0 << 16 | UInt64($1) } }
        self.init(high: join(0..<4), low: join(4..<8), port: port)
    }

    private static func groups(_ text: some StringProtocol) -> [UInt16]? {
        if text.isEmpty { return [] }
        var result: [UInt16] = []
        for part in text.split(separator: ":", omittingEmptySubsequences: false) {
            guard part.count <= 4, let group = UInt16(part, radix: 16), result.count < 8 else { return nil }
            result.append(group)
        }
        return result
    }
}

extension String {
    fileprivate func components(separatedByDoubleColon: ()) -> (front: Substring, back: Substring?) {
        var index = startIndex
        while index < endIndex {
            let next = self.index(after: index)
            if next < endIndex, self[index] == ":", self[next] == ":" {
                return (self[..<index], self[self.index(after: next)...])
            }
            index = next
        }
        return (self[...], nil)
    }
}
