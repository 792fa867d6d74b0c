import MastTimebase
import MastTransport

/// What the core knows of one established connection. A class, because every call carries it.
final class ConnectionInfo: Sendable {
    let handle: ConnectionHandle
    let peerKey: PublicKey
    let address: NetworkAddress
    let isInitiator: Bool
    let incarnation: UInt64
    let handshakeHash: [UInt8]

    init(
        handle: ConnectionHandle, peerKey: PublicKey, address: NetworkAddress, isInitiator: Bool, incarnation: UInt64,
        handshakeHash: [UInt8]
    ) {
        (self.handle, self.peerKey, self.address, self.isInitiator) = (handle, peerKey, address, isInitiator)
        (self.incarnation, self.handshakeHash) = (incarnation, handshakeHash)
    }

    func moved(to address: NetworkAddress) -> ConnectionInfo {
        ConnectionInfo(
            handle: handle, peerKey: peerKey, address: address, isInitiator: isInitiator, incarnation: incarnation,
            handshakeHash: handshakeHash)
    }
}

/// A handle on one connection of a host, for whoever must know who is at the other end.
public struct PeerConnection: Sendable, Hashable {
    public let host: RPCHost
    let info: ConnectionInfo

    package var handle: ConnectionHandle { info.handle }
    public var peerKey: PublicKey { info.peerKey }
    /// The peer's address when this handle was made; `currentAddress` follows migrations.
    public var address: NetworkAddress { info.address }
    /// True when this host dialled.
    public var isInitiator: Bool { info.isInitiator }
    /// The peer's run: another number after it restarted.
    public var incarnation: UInt64 { info.incarnation }
    /// 32 bytes, the same on both sides of this connection and on no other.
    public var handshakeHash: [UInt8] { info.handshakeHash }

    /// Calls the peer over this very connection, whoever made it.
    public var client: RPCClient { host.client(on: self) }

    public var isOpen: Bool { host.withEndpoint { [handle] endpoint, _ in endpoint.isUsable(handle) } }
    public var currentAddress: NetworkAddress {
        host.withEndpoint { [handle] endpoint, _ in endpoint.remoteAddress(handle) } ?? address
    }
    /// Nil once the connection is closed.
    public var statistics: ConnectionStatistics? { host.withEndpoint { [handle] endpoint, _ in endpoint.statistics(handle) } }

    public func close(reason: String = "") {
        host.touch { [handle] core, now in core.endpoint.close(handle, code: 0, reason: reason, at: now) }
    }

    public static func == (a: PeerConnection, b: PeerConnection) -> Bool { a.host === b.host && a.handle == b.handle }
    public func hash(into hasher: inout Hasher) { hasher.combine(handle) }
}
