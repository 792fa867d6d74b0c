import Foundation

/// The bytes of every transfer: byte i is block[i mod 65521], the block SplitMix64 of the seed, little-endian.
public struct Pattern: Sendable {
    /// A prime, so that a chunk in the wrong place never matches.
    public static let period = 65521
    private let block: [UInt8]

    public init(seed: UInt64) {
        var (block, state) = ([UInt8](), seed)
        block.reserveCapacity(Self.period + 8)
        while block.count < Self.period {
            state &+= 0x9E37_79B9_7F4A_7C15
            let z = Self.mixed(state)
            for shift in stride(from: UInt64(0), to: 64, by: 8) { block.append(UInt8(truncatingIfNeeded: z >> shift)) }
        }
        self.block = Array(block.prefix(Self.period))
    }

    /// SplitMix64's output for a state (Steele, Lea and Flood, OOPSLA 2014).
    public static func mixed(_ state: UInt64) -> UInt64 {
        var z = (state ^ (state >> 30)) &* 0xBF58_476D_1CE4_E5B9
        z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
        return z ^ (z >> 31)
    }

    /// Whether these are the bytes from `offset` on: compared where they are, as quinn's program does, for what is measured is not this.
    public func matches(_ bytes: [UInt8], at offset: Int) -> Bool {
        bytes.withUnsafeBytes { bytes in
            block.withUnsafeBytes { block in
                var (checked, phase) = (0, offset % Self.period)
                while checked < bytes.count {
                    let take = min(bytes.count - checked, Self.period - phase)
                    guard let a = bytes.baseAddress, let b = block.baseAddress, memcmp(a + checked, b + phase, take) == 0 else { return false }
                    (checked, phase) = (checked + take, 0)
                }
                return true
            }
        }
    }

    public func slice(at offset: Int, count: Int) -> [UInt8] {
        var out: [UInt8] = []
        out.reserveCapacity(count)
        var phase = offset % Self.period
        while out.count < count {
            let take = min(count - out.count, Self.period - phase)
            out += block[phase..<phase + take]
            phase = 0
        }
        return out
    }
}
