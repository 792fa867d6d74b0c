/// An X25519 public key: the name by which a peer is known.
public struct PublicKey: Hashable, Comparable, Sendable, CustomStringConvertible, LosslessStringConvertible {
    /// 32 bytes (RFC 7748).
    public let bytes: [UInt8]

    /// Nil unless there are exactly 32 bytes.
    public init?(bytes: some Collection<UInt8>) {
        guard bytes.count == 32 else { return nil }
        self.bytes = Array(bytes)
    }

    /// For bytes whose count another type already guarantees.
    init(unchecked bytes: [UInt8]) { self.bytes = bytes }

    /// Unpadded base64url (RFC 4648 section 5), 43 characters.
    public var description: String { Base64URL.encode(bytes) }

    public init?(_ description: String) {
        guard let bytes = Base64URL.decode(description) else { return nil }
        self.init(bytes: bytes)
    }

    public static func < (a: PublicKey, b: PublicKey) -> Bool { a.bytes.lexicographicallyPrecedes(b.bytes) }
}
