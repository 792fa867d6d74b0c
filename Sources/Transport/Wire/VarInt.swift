/// Variable-length integers of 1, 2, 4 or 8 bytes, 62 bits of value (RFC 9000 section 16).
package enum VarInt {
    package static let max: UInt64 = (1 << 62) - 1

    /// Bytes needed for `value`; values above 62 bits are clamped when written.
    package static func size(_ value: UInt64) -> Int {
        switch value {
        case ..<(1 << 6): 1
        case ..<(1 << 14): 2
        case ..<(1 << 30): 4
        default: 8
        }
    }
}
