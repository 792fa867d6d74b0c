import MastRPC
import MastTransport

/// A client's proof that it holds its device's signing key: a signature over this very connection, so that
/// nobody can use it on another one. It names no user; who that is, a node derives from its stored records.
package struct IdentityProof: Codable, Hashable, Sendable {
    package var scope: String
    package var signature: ByteString

    package init(scope: String = "runs", handshakeHash: [UInt8], clientKey: PublicKey, signedBy key: SigningKeyPair)
        throws(TrustError)
    {
        self.scope = scope
        signature = ByteString(try key.sign(Self.message(scope: scope, handshakeHash: handshakeHash, clientKey: clientKey)))
    }

    /// The stored device that made this proof.
    package func verify(device: DeviceKeys, handshakeHash: [UInt8]) throws(TrustError) {
        guard handshakeHash.count == 32, scope.utf8.count <= maximumNameBytes else { throw .malformed("identity proof") }
        let message = Self.message(scope: scope, handshakeHash: handshakeHash, clientKey: device.transportKey)
        guard device.signingKey.isValidSignature(signature.bytes, of: message) else {
            throw .wrongSignature(of: "identity proof")
        }
    }

    private static func message(scope: String, handshakeHash: [UInt8], clientKey: PublicKey) -> [UInt8] {
        var writer = CanonicalWriter()
        writer.text("mast identity v1")
        writer.bytes(handshakeHash)
        writer.key(clientKey)
        writer.text(scope)
        return writer.bytes
    }
}
