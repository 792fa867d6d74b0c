import Collections

/// First messages that opened a connection, so that the same one opens no second.
///
/// The last ones are known exactly: half a minute at the full rate of handshakes, hours at a usual one. Older ones
/// leave a trace in a filter that never overlooks one of them, and now and then (one in fifty after two million)
/// takes a new one for an old one: such a message must bring an address cookie, and then may open. So a new client
/// pays no round trip for this, and a filter that has become full costs one, never safety.
///
/// Messages recorded before this endpoint began are not in it: nothing in them proves their age. Each can open one
/// half-open connection, once, in its sender's share.
package struct InitiationRegister: Sendable {
    package enum Memory { case new, perhapsOld, seen }

    /// 2^24 bits, 2 MiB, made when the first message is forgotten.
    private static let filterBits = 1 << 24

    private let key: [UInt8]
    private let limit: Int
    private var order: Deque<UInt64> = []
    private var names: Set<UInt64> = []  // lookup only
    private var filter: [UInt64] = []

    package init(key: [UInt8], limit: Int) {
        self.key = key
        self.limit = max(1, limit)
    }

    /// A keyed hash of the initiator's ephemeral key, which no two handshakes share: nobody outside can make two alike.
    package func name(of packet: [UInt8]) -> UInt64 {
        let start = PacketHeader.longHeaderSize
        guard packet.count >= start + 32 else { return 0 }
        return Hashing.hmac(key: key, Array(packet[start..<(start + 32)])).prefix(8).reduce(0) { $0 << 8 | UInt64($1) }
    }

    package func memory(of name: UInt64) -> Memory {
        if names.contains(name) { return .seen }
        guard !filter.isEmpty else { return .new }
        return Self.bits(of: name).allSatisfy { filter[$0 >> 6] & (1 << UInt64($0 & 63)) != 0 } ? .perhapsOld : .new
    }

    package mutating func insert(_ name: UInt64) {
        guard names.insert(name).inserted else { return }
        order.append(name)
        guard order.count > limit, let oldest = order.popFirst() else { return }
        names.remove(oldest)
        if filter.isEmpty { filter = Array(repeating: 0, count: Self.filterBits / 64) }
        for bit in Self.bits(of: oldest) { filter[bit >> 6] |= 1 << UInt64(bit & 63) }
    }

    /// Its connection had to give way before it was confirmed: its initiator may try again.
    package mutating func forget(_ name: UInt64) { names.remove(name) }

    private static func bits(of name: UInt64) -> [Int] {
        let step = name >> 32 | 1
        return (0..<4).map { Int((name &+ step &* $0) & UInt64(filterBits - 1)) }
    }
}
