import MastTimebase

/// One network path of a connection: where the peer is, whether that is proved, and what the path can carry.
/// An established connection's path is proved, but where its handshake was answered at two addresses.
package struct Path: Sendable {
    package var address: NetworkAddress
    /// Path ids enter the nonce; a connection has one path at a time so far.
    let identifier: UInt32 = 0
    package var isValidated: Bool
    /// Until validated, at most three times what came may go (RFC 9000 section 8.1).
    package var received: Int = 0
    package var sent: Int = 0
    /// What is under way here, and what it has shown.
    var recovery: Recovery

    package init(address: NetworkAddress, validated: Bool, configuration: TransportConfiguration) {
        self.address = address
        isValidated = validated
        recovery = Recovery(configuration)
    }

    package func maySend(_ bytes: Int) -> Bool { isValidated || sent + bytes <= 3 * received }

    /// How large the next datagram may be, at most `size`.
    package func allowance(_ size: Int) -> Int { isValidated ? size : min(size, 3 * received - sent) }
}
