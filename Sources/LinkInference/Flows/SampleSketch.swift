import MastCapture
import MastTimebase

/// Quantiles of a long run of samples in bounded memory: every sample at first, then every second, every fourth…
package struct SampleSketch: Sendable, Hashable {
    private static let most = 512

    // Small: a flow has a dozen of these, and a capture tens of thousands of flows.
    private var samples: UInt32 = 0
    /// A power of two.
    private var stride: UInt32 = 1
    private var low = Int64.max
    private var high = Int64.min
    /// Empty while there is one sample, which is `low`: most flows are so short that they have no more.
    private var kept: [Int64] = []

    package init() {}

    /// Of samples; it stays at 4,294,967,295.
    package var count: Int { Int(samples) }
    package var smallest: Int64? { samples > 0 ? low : nil }
    package var largest: Int64? { samples > 0 ? high : nil }

    package mutating func add(_ value: Int64) {
        guard samples > 0 else {
            (low, high, samples) = (value, value, 1)
            return
        }
        if samples == 1 { kept.append(low) }
        low = min(low, value)
        high = max(high, value)
        if samples & (stride - 1) == 0 {
            if kept.count >= Self.most {
                kept = kept.indices.filter { $0 % 2 == 0 }.map { kept[$0] }
                stride *= 2
            }
            if samples & (stride - 1) == 0 { kept.append(value) }
        }
        if samples < .max { samples += 1 }
    }

    package func quantile(_ share: Double) -> Int64? { quantiles(share, share)?.0 }

    package func quantiles(_ first: Double, _ second: Double) -> (Int64, Int64)? {
        guard kept.count > 1 else { return samples > 0 ? (low, low) : nil }
        let sorted = kept.sorted()
        let value = { (share: Double) in sorted[min(sorted.count - 1, max(0, Int((Double(sorted.count - 1) * share).rounded())))] }
        return (value(first), value(second))
    }
}
