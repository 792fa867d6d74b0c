import MastTimebase

/// Whom a share of what an endpoint has is counted for: as much of an address as one subscriber is commonly given, or,
/// behind a forwarder that this endpoint is registered with, the initiator's route there.
///
/// An address costs an attacker something; ports, keys and connections cost nothing.
package struct TrafficSource: Hashable, Comparable, Sendable {
    private enum Kind: UInt8 { case ipv4, ipv6, route }
    private let kind: UInt8
    private let number: UInt64

    /// IPv4: all 32 bits. IPv6: the first 56 (RFC 6177 section 2: what a site gets, at least).
    package init(_ address: NetworkAddress) {
        if let ipv4 = address.ipv4 {
            (kind, number) = (Kind.ipv4.rawValue, UInt64(ipv4))
        } else {
            (kind, number) = (Kind.ipv6.rawValue, address.high >> 8)
        }
    }

    /// - Parameter route: by which a forwarder knows the initiator.
    package init(route: UInt32) { (kind, number) = (Kind.route.rawValue, UInt64(route)) }

    package static func < (a: TrafficSource, b: TrafficSource) -> Bool { (a.kind, a.number) < (b.kind, b.number) }

    /// The source as a number, for tables that are indexed by a keyed hash of it.
    package var word: UInt64 { UInt64(kind) << 62 ^ number }

    /// As that number: see `StreamID`.
    package func _rawHashValue(seed: Int) -> Int { word._rawHashValue(seed: seed) }
}
