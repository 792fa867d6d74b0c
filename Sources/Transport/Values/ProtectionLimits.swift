/// How much one key may be used. Nil: what the cipher suite allows (RFC 9001 section 6.6).
package struct ProtectionLimits: Sendable {
    /// Packets after which a side changes its key, when it may.
    package var packetsPerPhase: UInt64 = 1 << 20
    /// Packets that one key may seal at most; the connection ends there.
    package var confidentiality: UInt64?
    /// Forged packets that a connection may see at most; it ends there.
    package var integrity: UInt64?

    package init() {}
}
