import MastTimebase

/// The forwarder: sends a packet whose connection ID bears a registered party's route on to that party, unread.
///
/// It keeps no state per flow and no key. It is not an open proxy: both ends must be registered, the packet must
/// come from an address that a party has proved on its control connection, and each route has a byte budget.
package struct RouteTable: Sendable {
    package struct Party: Sendable {
        package var address: NetworkAddress
        /// Token bucket, bytes.
        var tokens: Int64
        var refilled: Instant
        package var forwardedPackets: UInt64 = 0
        package var forwardedBytes: UInt64 = 0
    }

    /// Routes kept at most: as many parties as one server's socket can reasonably serve.
    package static let maximumRoutes = 100_000
    /// Budget of one route towards its party.
    package var budget: Rate = .megabitsPerSecond(1_000)
    private var parties: [UInt32: Party] = [:]  // lookup only
    /// How many routes are at an address: the source check in one look-up.
    private var sources: [NetworkAddress: Int] = [:]  // lookup only

    package init() {}

    package var count: Int { parties.count }
    package var isEmpty: Bool { parties.isEmpty }
    package func address(of route: UInt32) -> NetworkAddress? { parties[route]?.address }
    /// Whether the party known by `route` is at `address`.
    package func isHome(_ route: UInt32, at address: NetworkAddress) -> Bool { parties[route]?.address == address }
    package func party(_ route: UInt32) -> Party? { parties[route] }

    /// Adds a route or moves it. False when the table is full or `route` is 0, which means the endpoint itself.
    package mutating func set(_ route: UInt32, address: NetworkAddress, at now: Instant) -> Bool {
        guard route != 0 else { return false }
        if let old = parties[route] {
            guard old.address != address else { return true }
            forget(old.address)
            parties[route]?.address = address
        } else {
            guard parties.count < Self.maximumRoutes else { return false }
            parties[route] = Party(address: address, tokens: burst, refilled: now)
        }
        sources[address, default: 0] += 1
        return true
    }

    package mutating func remove(_ route: UInt32) {
        guard let old = parties.removeValue(forKey: route) else { return }
        forget(old.address)
    }

    private mutating func forget(_ address: NetworkAddress) {
        guard let count = sources[address] else { return }
        sources[address] = count > 1 ? count - 1 : nil
    }

    /// A tenth of a second at full rate.
    private var burst: Int64 { max(65_536, budget.bytes(in: .milliseconds(100))) }

    /// Where to send `bytes` that bear `route` and came from `source`; nil to drop.
    package mutating func forward(_ route: UInt32, from source: NetworkAddress, bytes: Int, at now: Instant) -> NetworkAddress? {
        guard sources[source] != nil, var party = parties[route], party.address != source else { return nil }
        let earned = budget.bytes(in: now - party.refilled)
        if earned > 0 {
            party.tokens = min(burst, party.tokens + earned)
            party.refilled = now
        }
        guard party.tokens >= Int64(bytes) else {
            parties[route] = party
            return nil
        }
        party.tokens -= Int64(bytes)
        party.forwardedPackets += 1
        party.forwardedBytes += UInt64(bytes)
        parties[route] = party
        return party.address
    }
}
