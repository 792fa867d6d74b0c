import Crypto
import MastCloudCore
import MastRPC
import MastTransport

/// Gives each party the route under which the forwarder knows it. A route is derived from the server's secret and
/// the party's key, so it survives a restart of the server, and with it the connections that run through it.
struct RouteBook: Sendable {
    private let secret: SymmetricKey
    private var owners: [UInt32: PublicKey] = [:]
    /// The control connection for which a route is in the forwarder now.
    private var connections: [UInt32: PeerConnection] = [:]
    static let maximumRoutes = 65_536

    init(secret: [UInt8]) { self.secret = SymmetricKey(data: secret) }

    /// The party's route, now served over `connection`; nil when there is no room.
    mutating func route(for key: PublicKey, on connection: PeerConnection) -> UInt32? {
        for attempt in UInt8(0)..<16 {
            let code = HMAC<SHA256>.authenticationCode(for: key.bytes + [attempt], using: secret)
            let route = code.prefix(4).reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
            guard route != 0 else { continue }
            if let owner = owners[route] {
                guard owner == key else { continue }
            } else {
                guard owners.count < Self.maximumRoutes else { return nil }
                owners[route] = key
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
