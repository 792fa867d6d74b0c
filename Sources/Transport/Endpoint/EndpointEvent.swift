import MastTimebase

/// Names a connection of one endpoint; never used again for another.
package struct ConnectionHandle: Hashable, Comparable, Sendable, CustomStringConvertible {
    package var number: UInt64
    package init(number: UInt64) { self.number = number }
    package static func < (a: ConnectionHandle, b: ConnectionHandle) -> Bool { a.number < b.number }
    package var description: String { "c\(number)" }
}

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
    /// `openStream` said nil before; it will not now.
    case streamsAvailable(ConnectionHandle)
    case migrated(ConnectionHandle, to: NetworkAddress)
    case pong(ConnectionHandle, Interval)
    /// The answer to `queryKey`; nil when none came.
    case peerKey(NetworkAddress, PublicKey?)
    case closed(ConnectionHandle, CloseReason)
}

/// Why a connection is over.
public enum CloseReason: Hashable, Sendable, CustomStringConvertible {
    /// We closed it.
    case local(code: UInt64)
    /// The peer closed it, with its code and words.
    case peer(code: UInt64, reason: String)
    /// Nothing was received for the idle timeout.
    case idle
    /// No answer to our handshake: nobody there, the wrong key, or the wrong version.
    case handshakeTimeout
    /// The peer has forgotten the connection (it restarted).
    case reset
    /// The peer broke the protocol, or so did we.
    case violation(code: UInt64, reason: String)

    public var description: String {
        switch self {
        case .local(let code): "closed here (code \(code))"
        case .peer(let code, let reason): reason.isEmpty ? "closed by the peer (code \(code))" : "closed by the peer: \(reason)"
        case .idle: "idle timeout"
        case .handshakeTimeout: "no answer to the handshake"
        case .reset: "the peer no longer knows this connection"
        case .violation(_, let reason): "protocol violation: \(reason)"
        }
    }
}

/// A datagram to send.
package struct Transmit: Sendable, Equatable {
    package var payload: [UInt8]
    package var destination: NetworkAddress
    package init(payload: [UInt8], destination: NetworkAddress) {
        self.payload = payload
        self.destination = destination
    }
}
