import MastRPC
import MastTransport

/// A client's proof that it holds its device's signing key: a signature over this very connection, so that
/// nobody can use it on another one. It names no user; who that is, a node derives from its stored records.
package struct IdentityProof: Codable, Hashable, Sendable {
    /// What the proof is for. It is part of what is signed: one made for runs operates nothing.
    package enum Scope: String, Sendable {
        /// On the control connection, for a ticket.
        case runs
        /// On the connection end to end with the center, for an operator's call.
        case operation
    }

    package var scope: String
    package var signature: ByteString

    package init(scope: Scope = .runs, handshakeHash: [UInt8], clientKey: PublicKey, signedBy key: SigningKeyPair)
        throws(TrustError)
    {
        self.scope = scope.rawValue
        signature = ByteString(try key.sign(Self.message(scope, handshakeHash: handshakeHash, clientKey: clientKey)))
    }

    /// Throws unless the stored device made this proof, on that connection and for that scope.
    package func verify(device: DeviceKeys, handshakeHash: [UInt8], scope expected: Scope) throws(TrustError) {
        guard handshakeHash.count == 32 else { throw .malformed("identity proof") }
        guard scope == expected.rawValue else { throw .wrongScope(of: "identity proof", expected: expected.rawValue) }
        let message = Self.message(expected, handshakeHash: handshakeHash, clientKey: device.transportKey)
        guard device.signingKey.isValidSignature(signature.bytes, of: message) else {
            throw .wrongSignature(of: "identity proof")
        }
    }

    private static func message(_ scope: Scope, handshakeHash: [UInt8], clientKey: PublicKey) -> [UInt8] {
        var writer = CanonicalWriter()
        writer.text("mast identity v1")
        writer.bytes(handshakeHash)
        writer.key(clientKey)
        writer.text(scope.rawValue)
        return writer.bytes
    }
}

/// The name of the metadata entry in which an operator's call shows its proof.
package let operatorProofMetadataName = "mast-operator"

extension IdentityProof {
    /// As a metadata value.
    package var metadataText: String { Base64URL.encode(signature.bytes) }

    /// An operator's proof from a call's metadata.
    package init?(operatorProof text: String?) {
        guard let text, text.utf8.count <= 128, let bytes = Base64URL.decode(text) else { return nil }
        (scope, signature) = (Scope.operation.rawValue, ByteString(bytes))
    }
}
