/// How much one key may be used (RFC 9001 section 6.6, AES-GCM).
package struct ProtectionLimits: Sendable {
    /// Packets after which a side changes its key, when its peer has confirmed the one in use.
    package var packetsPerPhase: UInt64 = 1 << 20
    /// Packets that one key may seal at most; the connection ends there.
    package var confidentiality: UInt64 = 1 << 23
    /// Forged packets that a connection may see at most; it ends there.
    package var integrity: UInt64 = 1 << 52

    package init() {}
}
