/// What a stateless reset must bring: the ID that we send to, and the token that its owner gave us in the handshake.
/// Nobody else knows the token, so no two peers can claim one name.
struct ResetName: Hashable, Sendable {
    private let id: ConnectionID
    private let token: [UInt8]

    init(id: ConnectionID, token: [UInt8]) {
        self.id = id
        self.token = token
    }

    /// Nil for a peer that gave no token: it cannot reset.
    init?(of connection: borrowing Connection) {
        guard !connection.peerParameters.resetToken.isEmpty else { return nil }
        self.init(id: connection.remoteID, token: connection.peerParameters.resetToken)
    }
}
