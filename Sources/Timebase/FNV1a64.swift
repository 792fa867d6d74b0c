/// FNV-1a, 64 bits (draft-eastlake-fnv): stable hashing for digests and stream names, where Swift's own
/// hashing differs from process to process. Not for input that an adversary chooses.
public struct FNV1a64: Sendable {
    public private(set) var value: UInt64 = 0xCBF2_9CE4_8422_2325

    public init() {}

    @inlinable public mutating func combine(_ byte: UInt8) { mix(byte) }
    public mutating func combine(_ bytes: some Sequence<UInt8>) { for byte in bytes { mix(byte) } }
    /// Little-endian.
    public mutating func combine(_ number: UInt64) {
        for shift in stride(from: UInt64(0), to: 64, by: 8) { mix(UInt8(truncatingIfNeeded: number >> shift)) }
    }
    public mutating func combine(_ number: Int64) { combine(UInt64(bitPattern: number)) }
    public mutating func combine(_ text: String) { combine(text.utf8); mix(0xFF) }

    public static func hash(_ bytes: some Sequence<UInt8>) -> UInt64 {
        var hash = FNV1a64()
        hash.combine(bytes)
        return hash.value
    }

    @usableFromInline mutating func mix(_ byte: UInt8) {
        value = (value ^ UInt64(byte)) &* 0x0000_0100_0000_01B3
    }
}
