import MastTimebase

/// What an endpoint has to tell its owner.
package enum EndpointEvent: Sendable {
    /// Our `connect` succeeded: the peer proved that it owns the key.
    case connected(ConnectionHandle, peerKey: PublicKey)
    /// A peer connected, and its first authentic packet proved its address.
    case accepted(ConnectionHandle, peerKey: PublicKey)
    /// The peer opened a stream. `deadline` is its remaining time, added to now.
    case streamOpened(ConnectionHandle, StreamID, deadline: Instant?)
    case streamReadable(ConnectionHandle, StreamID)
    case streamWritable(ConnectionHandle, StreamID)
    /// The peer no longer wants what we send on this stream.
    case streamStopped(ConnectionHandle, StreamID, code: UInt64)
    /// The peer's source holds more than it may, and this stream grew last: stop it, or release what was taken.
    case overdrawn(ConnectionHandle, StreamID)
    /// `openStream` said nil before; it will not now.
    case streamsAvailable(ConnectionHandle)
    case migrated(ConnectionHandle, to: NetworkAddress)
    case pong(ConnectionHandle, Interval)
    /// The network may have a fault on this connection's way; nothing is closed for it.
    case hinted(ConnectionHandle, PathHint)
    /// The answer to `queryKey`; nil when none came.
    case peerKey(NetworkAddress, PublicKey?)
    case closed(ConnectionHandle, CloseReason)
}
