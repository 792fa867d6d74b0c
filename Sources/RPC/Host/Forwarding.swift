import MastTimebase
import MastTransport

/// A host's part in forwarding: the routes that it serves for others, and the one by which others reach it.
package struct Forwarding: Sendable {
    let host: RPCHost

    /// What comes for `route` goes on to `address`.
    /// - Returns: false when the table is full.
    @discardableResult
    package func set(_ route: UInt32, to address: NetworkAddress) -> Bool {
        host.touch { core, now in core.endpoint.forwarder.set(route, address: address, at: now) }
    }

    package func remove(_ route: UInt32) { host.touch { core, _ in core.endpoint.forwarder.remove(route) } }

    /// This host is reached by `route` from now on, through forwarders at these addresses.
    package func join(_ route: UInt32, through forwarders: [NetworkAddress]) {
        host.touch { core, _ in (core.endpoint.localRoutes, core.endpoint.forwarderAddresses) = ([route], forwarders) }
    }
}

extension RPCHost {
    package var forwarding: Forwarding { Forwarding(host: self) }

    /// Whether peers have yet to acknowledge something of ours.
    package var isSending: Bool {
        touch { core, _ in
            core.connections.keys.sorted().contains { core.endpoint.statistics($0)?.oldestUnacknowledged != nil }
        }
    }
}

extension PeerConnection {
    /// Asks the peer's transport for a sign of life.
    package func ping() { host.touch { [handle] core, now in core.endpoint.ping(handle, at: now) } }
}
