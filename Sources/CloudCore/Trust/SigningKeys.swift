import Crypto
import MastTransport

/// An Ed25519 public key (RFC 8032), written as base64url.
public struct SigningPublicKey: Hashable, Sendable {
    /// 32 bytes.
    public let bytes: [UInt8]

    public init?(bytes: [UInt8]) {
        guard bytes.count == 32 else { return nil }
        self.bytes = bytes
    }

    package func isValidSignature(_ signature: [UInt8], of message: [UInt8]) -> Bool {
        guard let key = try? Curve25519.Signing.PublicKey(rawRepresentation: bytes) else { return false }
        return key.isValidSignature(signature, for: message)
    }
}

extension SigningPublicKey: LosslessStringConvertible, Comparable {
    public var description: String { Base64URL.encode(bytes) }

    public init?(_ text: String) {
        guard let bytes = Base64URL.decode(text) else { return nil }
        self.init(bytes: bytes)
    }

    public static func < (a: SigningPublicKey, b: SigningPublicKey) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }
}

/// An Ed25519 key pair. Its description never shows the private half.
public struct SigningKeyPair: Sendable, CustomStringConvertible {
    public let publicKey: SigningPublicKey
    /// 32 bytes: a secret.
    package let privateBytes: [UInt8]

    public init?(privateKey: [UInt8]) {
        guard let key = try? Curve25519.Signing.PrivateKey(rawRepresentation: privateKey),
            let publicKey = SigningPublicKey(bytes: Array(key.publicKey.rawRepresentation))
        else { return nil }
        (self.publicKey, self.privateBytes) = (publicKey, Array(key.rawRepresentation))
    }

    public init(using generator: inout some RandomNumberGenerator) {
        // Any 32 bytes are an Ed25519 seed, so the first try succeeds.
        while true {
            if let pair = SigningKeyPair(privateKey: generator.bytes(32)) {
                self = pair
                return
            }
        }
    }

    package func sign(_ message: [UInt8]) throws(TrustError) -> [UInt8] {
        do {
            return Array(try Curve25519.Signing.PrivateKey(rawRepresentation: privateBytes).signature(for: message))
        } catch {
            throw .malformed("signing key")
        }
    }

    public var description: String { "SigningKeyPair(\(publicKey))" }
}

extension RandomNumberGenerator {
    package mutating func bytes(_ count: Int) -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            let word = next()
            for shift in stride(from: 0, to: 64, by: 8) where bytes.count < count {
                bytes.append(UInt8(truncatingIfNeeded: word >> UInt64(shift)))
            }
        }
        return bytes
    }
}
