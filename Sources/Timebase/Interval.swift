/// A signed span of time in whole nanoseconds.
///
/// 64-bit arithmetic is why this exists beside `Duration`, whose 128-bit arithmetic costs 10 to 80 times
/// as much on the packet path. Arithmetic saturates: an interval computed from a peer's numbers cannot trap.
public struct Interval: Hashable, Comparable, Sendable {
    public var nanoseconds: Int64

    @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    @inlinable public static var zero: Interval { Interval(nanoseconds: 0) }
    @inlinable public static var max: Interval { Interval(nanoseconds: .max) }

    @inlinable public static func nanoseconds(_ n: Int64) -> Interval { Interval(nanoseconds: n) }
    @inlinable public static func microseconds(_ n: Int64) -> Interval { Interval(nanoseconds: saturatingMultiply(n, 1_000)) }
    @inlinable public static func milliseconds(_ n: Int64) -> Interval { Interval(nanoseconds: saturatingMultiply(n, 1_000_000)) }
    @inlinable public static func seconds(_ n: Int64) -> Interval { Interval(nanoseconds: saturatingMultiply(n, 1_000_000_000)) }

    /// Whole microseconds, rounded towards zero.
    @inlinable public var microseconds: Int64 { nanoseconds / 1_000 }
    /// Whole milliseconds, rounded towards zero.
    @inlinable public var milliseconds: Int64 { nanoseconds / 1_000_000 }
    /// Seconds, for display and statistics only; never for a decision.
    @inlinable public var inSeconds: Double { Double(nanoseconds) / 1e9 }
    /// Milliseconds, for display and statistics only; never for a decision.
    @inlinable public var inMilliseconds: Double { Double(nanoseconds) / 1e6 }

    @inlinable public static func < (a: Interval, b: Interval) -> Bool { a.nanoseconds < b.nanoseconds }
    @inlinable public static func + (a: Interval, b: Interval) -> Interval { Interval(nanoseconds: saturatingAdd(a.nanoseconds, b.nanoseconds)) }
    @inlinable public static func - (a: Interval, b: Interval) -> Interval { Interval(nanoseconds: saturatingSubtract(a.nanoseconds, b.nanoseconds)) }
    @inlinable public static func * (a: Interval, n: Int64) -> Interval { Interval(nanoseconds: saturatingMultiply(a.nanoseconds, n)) }
    /// Division; by zero gives `.max` rather than a trap.
    @inlinable public static func / (a: Interval, n: Int64) -> Interval {
        n == 0 ? .max : Interval(nanoseconds: a.nanoseconds.dividedReportingOverflow(by: n).partialValue)
    }
    @inlinable public static func += (a: inout Interval, b: Interval) { a = a + b }
    @inlinable public static func -= (a: inout Interval, b: Interval) { a = a - b }
    @inlinable public static prefix func - (a: Interval) -> Interval { .zero - a }
    @inlinable public var magnitude: Interval { self < .zero ? -self : self }
}

@inlinable func saturatingAdd(_ a: Int64, _ b: Int64) -> Int64 {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? (b > 0 ? .max : .min) : sum
}

@inlinable func saturatingSubtract(_ a: Int64, _ b: Int64) -> Int64 {
    let (difference, overflow) = a.subtractingReportingOverflow(b)
    return overflow ? (b > 0 ? .min : .max) : difference
}

@inlinable func saturatingMultiply(_ a: Int64, _ b: Int64) -> Int64 {
    let (product, overflow) = a.multipliedReportingOverflow(by: b)
    return overflow ? ((a < 0) == (b < 0) ? .max : .min) : product
}
