import MastTimebase
import MastTransport

/// What a handler may know of the call it answers.
public struct CallContext: Sendable {
    /// The connection the call came on; `RPCHost.client(on:)` calls back over it.
    public let connection: PeerConnection
    /// The method's path.
    public let method: String
    /// Nil unless the method, or its caller, wants it at most once.
    public let callID: CallID?
    /// On the host's clock. Calls made by the handler inherit it by themselves.
    public let deadline: Instant?
    public let metadata: Metadata
    /// 1 unless an earlier attempt may have got here.
    public let attempt: Int

    /// Who calls, proved by the handshake.
    public var peerKey: PublicKey { connection.peerKey }
    public var peerAddress: NetworkAddress { connection.address }
}
