/// The 8 bytes by which a packet finds its connection, chosen by the party that receives them.
///
/// The upper 4 bytes are a *route*: 0 means "the endpoint at this socket", any other value is a registered
/// party behind a forwarder, which sends the packet on without reading more than this.
package struct ConnectionID: Hashable, Sendable, CustomStringConvertible {
    package var rawValue: UInt64

    package init(rawValue: UInt64) { self.rawValue = rawValue }
    package init(route: UInt32, local: UInt32) { rawValue = UInt64(route) << 32 | UInt64(local) }

    package static let none = ConnectionID(rawValue: 0)
    package var route: UInt32 { UInt32(truncatingIfNeeded: rawValue >> 32) }
    package var description: String { String(rawValue, radix: 16) }
}
