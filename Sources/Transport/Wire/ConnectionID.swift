/// The 8 bytes by which a packet finds its connection, chosen by the party that receives them.
///
/// The upper 4 bytes are a *route*: 0 means "the endpoint at this socket", any other value is a registered
/// party behind a forwarder, which sends the packet on without reading more than this. The next byte is the *shard*, one of
/// the cores of the host that chose the ID: sockets that share a port hand a packet to it by this byte alone, wherever it comes
/// from, so that a client whose address changes stays where its connection is. Three bytes are random.
package struct ConnectionID: Hashable, Sendable, CustomStringConvertible {
    package var rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package init(route: UInt32, local: UInt32) { rawValue = UInt64(route) << 32 | UInt64(local) }
    /// - Parameter random: its low 24 bits count.
    package init(route: UInt32, shard: UInt8, random: UInt32) { self.init(route: route, local: UInt32(shard) << 24 | random & 0xFF_FFFF) }

    package static let none = ConnectionID(rawValue: 0)
    package var route: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
    /// What the owner chose: shard and random part.
    package var local: UInt32 { UInt32(truncatingIfNeeded: rawValue) }
    package var shard: UInt8 { UInt8(truncatingIfNeeded: rawValue >> 24) }
    package var description: String { String(rawValue, radix: 16) }
}
