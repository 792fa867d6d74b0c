import Crypto
import MastCloudCore
import MastRPC
import MastTransport

/// Gives each party the route under which the forwarder knows it. A route is derived from the server's secret and
/// the party's key, so it survives a restart of the server, and with it the connections that run through it.
struct RouteBook: Sendable {
    /// A node keeps its route when it restarts, and with it what clients remember. A client may be several programs
    /// of one user at once: each has a route of its own, by the incarnation that its handshake shows.
    struct Party: Hashable, Sendable {
        var key: PublicKey
        var incarnation: UInt64?

        var bytes: [UInt8] {
            guard let incarnation else { return key.bytes }
            return key.bytes + stride(from: 56, through: 0, by: -8).map { UInt8(truncatingIfNeeded: incarnation >> UInt64($0)) }
        }
    }

    private let secret: SymmetricKey
    private var owners: [UInt32: Party] = [:]
    /// The control connection for which a route is in the forwarder now.
    private var connections: [UInt32: PeerConnection] = [:]
    static let maximumRoutes = 65_536

    init(secret: [UInt8]) { self.secret = SymmetricKey(data: secret) }

    /// The party's route, now served over `connection`; nil when there is no room.
    mutating func route(for party: Party, on connection: PeerConnection) -> UInt32? {
        for attempt in UInt8(0)..<16 {
            let code = HMAC<SHA256>.authenticationCode(for: party.bytes + [attempt], using: secret)
            let route = code.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            guard route != 0 else { continue }
            if let owner = owners[route] {
                guard owner == party else { continue }
            } else {
                guard owners.count < Self.maximumRoutes else { return nil }
                owners[route] = party
            }
            connections[route] = connection
            return route
        }
        return nil
    }

    /// The routes served over `connection`, which closed; a party that has come back on another one keeps its route.
    mutating func release(_ connection: PeerConnection, route: UInt32) -> Bool {
        guard connections[route] == connection else { return false }
        connections[route] = nil
        owners[route] = nil
        return true
    }

    func serves(_ route: UInt32, on connection: PeerConnection) -> Bool { connections[route] == connection }
}
