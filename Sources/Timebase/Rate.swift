/// A data rate in bits per second.
public struct Rate: Hashable, Comparable, Sendable {
    public var bitsPerSecond: Int64

    @inlinable public init(bitsPerSecond: Int64) { self.bitsPerSecond = max(0, bitsPerSecond) }
    @inlinable public static func bitsPerSecond(_ n: Int64) -> Rate { Rate(bitsPerSecond: n) }
    @inlinable public static func kilobitsPerSecond(_ n: Int64) -> Rate { Rate(bitsPerSecond: saturatingMultiply(n, 1_000)) }
    @inlinable public static func megabitsPerSecond(_ n: Int64) -> Rate { Rate(bitsPerSecond: saturatingMultiply(n, 1_000_000)) }

    /// The rate that moves `bytes` in `interval`; zero when the interval is not positive.
    @inlinable public init(bytes: Int64, in interval: Interval) {
        guard interval > .zero, bytes > 0 else { self.init(bitsPerSecond: 0); return }
        let (bits, overflow) = bytes.multipliedReportingOverflow(by: 8_000_000_000)
        // Dividing 128 bits takes ten times as long.
        guard overflow else { self.init(bitsPerSecond: bits / interval.nanoseconds); return }
        let wide = Int128(bytes) * 8_000_000_000 / Int128(interval.nanoseconds)
        self.init(bitsPerSecond: Int64(clamping: wide))
    }

    /// Time to serialize `bytes` at this rate, rounded up; `.max` at rate zero.
    @inlinable public func time(forBytes bytes: Int64) -> Interval {
        guard bitsPerSecond > 0 else { return .max }
        let wide = (Int128(bytes) * 8_000_000_000 + Int128(bitsPerSecond) - 1) / Int128(bitsPerSecond)
        return Interval(nanoseconds: Int64(clamping: wide))
    }

    /// Whole bytes that fit into `interval`.
    @inlinable public func bytes(in interval: Interval) -> Int64 {
        guard interval > .zero else { return 0 }
        return Int64(clamping: Int128(bitsPerSecond) * Int128(interval.nanoseconds) / 8_000_000_000)
    }

    @inlinable public static func < (a: Rate, b: Rate) -> Bool { a.bitsPerSecond < b.bitsPerSecond }
    /// Megabits per second, for display only.
    @inlinable public var inMegabitsPerSecond: Double { Double(bitsPerSecond) / 1e6 }
}
