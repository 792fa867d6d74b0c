/// The cipher that seals data packets. The initiator lists those it takes, best first, in its sealed parameters; the responder
/// picks. The handshake itself always uses `Noise_IK_25519_AESGCM_SHA256`.
public enum CipherSuite: UInt64, Sendable, CaseIterable {
    /// Where both processors have AES instructions.
    case aes128GCM = 1
    /// Everywhere else.
    case chaCha20Poly1305 = 2
    case aes256GCM = 3

    /// Those that every implementation has.
    public static let standard: [CipherSuite] = [.aes128GCM, .chaCha20Poly1305]

    public var keyBytes: Int { self == .aes128GCM ? 16 : 32 }

    /// As IANA's registry of AEAD algorithms spells it.
    public var name: String {
        switch self {
        case .aes128GCM: "AEAD_AES_128_GCM"
        case .chaCha20Poly1305: "AEAD_CHACHA20_POLY1305"
        case .aes256GCM: "AEAD_AES_256_GCM"
        }
    }

    package init?(name: some StringProtocol) {
        guard let suite = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = suite
    }

    /// Packets that one key may seal (RFC 9001 section 6.6; ChaCha20-Poly1305 has no limit below the number space).
    package var confidentialityLimit: UInt64 { self == .chaCha20Poly1305 ? 1 << 62 : 1 << 23 }
    /// Forged packets that a connection may see in all (same section).
    package var integrityLimit: UInt64 { self == .chaCha20Poly1305 ? 1 << 36 : 1 << 52 }

    /// The responder's choice: the initiator's best among its own; its own best if that is ChaCha20-Poly1305, since one
    /// processor without AES instructions is reason enough. Nil: nothing in common.
    package static func choose(offered: [CipherSuite], own: [CipherSuite]) -> CipherSuite? {
        if own.first == .chaCha20Poly1305, offered.contains(.chaCha20Poly1305) { return .chaCha20Poly1305 }
        return offered.first { own.contains($0) }
    }
}
