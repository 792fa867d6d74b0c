/// A point on a run's own monotone clock: nanoseconds since the run began.
///
/// Only a driver's clock and the simulator create instants; everything else is handed one.
public struct Instant: Hashable, Comparable, Sendable {
    public var nanoseconds: Int64

    @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

    /// The beginning of the run.
    @inlinable public static var zero: Instant { Instant(nanoseconds: 0) }
    /// Later than anything that happens.
    @inlinable public static var distantFuture: Instant { Instant(nanoseconds: .max) }

    @inlinable public static func < (a: Instant, b: Instant) -> Bool { a.nanoseconds < b.nanoseconds }
    @inlinable public static func + (a: Instant, b: Interval) -> Instant { Instant(nanoseconds: saturatingAdd(a.nanoseconds, b.nanoseconds)) }
    @inlinable public static func - (a: Instant, b: Interval) -> Instant { Instant(nanoseconds: saturatingSubtract(a.nanoseconds, b.nanoseconds)) }
    @inlinable public static func - (a: Instant, b: Instant) -> Interval { Interval(nanoseconds: saturatingSubtract(a.nanoseconds, b.nanoseconds)) }
    @inlinable public static func += (a: inout Instant, b: Interval) { a = a + b }

    /// The time since the run began.
    @inlinable public var sinceStart: Interval { Interval(nanoseconds: nanoseconds) }
}
