/// Counts of intervals in buckets that grow with them, for quantiles in bounded memory: a value is known to within
/// one part in 128, and exactly below 128 ns. Negative intervals count as zero.
public struct IntervalHistogram: Sendable, Hashable {
    public private(set) var count = 0
    public private(set) var minimum = Interval.max
    public private(set) var maximum = Interval.zero
    private var sum: Int128 = 0
    /// 128 buckets for each power of two.
    private var buckets: [Int] = []

    public init() {}

    public mutating func add(_ interval: Interval) {
        let value = max(0, interval.nanoseconds)
        let index = Self.index(of: value)
        if index >= buckets.count { buckets.append(contentsOf: repeatElement(0, count: index + 1 - buckets.count)) }
        buckets[index] += 1
        count += 1
        sum += Int128(value)
        minimum = min(minimum, Interval(nanoseconds: value))
        maximum = max(maximum, Interval(nanoseconds: value))
    }

    public var mean: Interval? { count > 0 ? Interval(nanoseconds: Int64(sum / Int128(count))) : nil }

    /// What `share` (0 to 1) of the intervals do not exceed; nil when there is none.
    public func quantile(_ share: Double) -> Interval? {
        guard count > 0 else { return nil }
        let rank = min(count, max(1, Int((share * Double(count)).rounded(.up))))
        var seen = 0
        for (index, number) in buckets.enumerated() {
            seen += number
            if seen >= rank { return min(maximum, max(minimum, Interval(nanoseconds: Self.largest(in: index)))) }
        }
        return maximum
    }

    private static func index(of value: Int64) -> Int {
        let shift = max(0, 63 - value.leadingZeroBitCount - 7)
        return shift << 7 + Int(value >> Int64(shift))
    }

    private static func largest(in index: Int) -> Int64 {
        guard index >= 256 else { return Int64(index) }
        let shift = Int64(index >> 7 - 1)
        let lowest = Int64(index & 127 + 128) << shift
        return lowest + (1 << shift - 1)
    }
}
