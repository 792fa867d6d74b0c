import Crypto

/// An X25519 key pair: a party's long-term transport identity.
public struct StaticKeyPair: Sendable {
    let privateKey: Curve25519.KeyAgreement.PrivateKey
    public let publicKey: PublicKey

    /// Nil unless there are exactly 32 bytes.
    public init?(privateKey: some Collection<UInt8>) {
        guard let key = try? Curve25519.KeyAgreement.PrivateKey(rawRepresentation: Array(privateKey)) else { return nil }
        self.privateKey = key
        publicKey = PublicKey(agreement: key.publicKey)
    }

    /// A fresh pair from handed-in chance: the system's generator live, a seeded one in the simulator.
    public init(using generator: inout some RandomNumberGenerator) {
        var seed: [UInt8] = []
        for _ in 0..<4 { seed += withUnsafeBytes(of: generator.next().littleEndian) { Array($0) } }
        // Any 32 bytes are a valid X25519 private key (RFC 7748 section 5); the fallback cannot be reached.
        privateKey = (try? .init(rawRepresentation: seed)) ?? .init()
        publicKey = PublicKey(agreement: privateKey.publicKey)
    }

    /// The 32 private bytes, for the owner's own key file.
    public var privateBytes: [UInt8] { Array(privateKey.rawRepresentation) }

    /// X25519; nil when the peer's key is of low order, which would make the secret known to everyone.
    package func agree(with peer: PublicKey) -> [UInt8]? {
        guard let key = peer.agreementKey, let secret = try? privateKey.sharedSecretFromKeyAgreement(with: key) else { return nil }
        let bytes = secret.withUnsafeBytes { Array($0) }
        return bytes.allSatisfy { $0 == 0 } ? nil : bytes
    }
}

extension PublicKey {
    // Crypto's keys are 32 bytes by type.
    init(agreement key: Curve25519.KeyAgreement.PublicKey) { self.init(unchecked: Array(key.rawRepresentation)) }
    var agreementKey: Curve25519.KeyAgreement.PublicKey? { try? .init(rawRepresentation: bytes) }
}
