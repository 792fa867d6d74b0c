/// Calendar time, in milliseconds since 1970-01-01T00:00:00Z.
///
/// Used only where a moment must mean the same thing on two machines or after a restart: tickets, leases,
/// join tokens. It can jump; nothing that times a packet reads it.
public struct WallTime: Hashable, Comparable, Sendable {
    public var milliseconds: Int64

    @inlinable public init(milliseconds: Int64) { self.milliseconds = milliseconds }

    @inlinable public static func < (a: WallTime, b: WallTime) -> Bool { a.milliseconds < b.milliseconds }
    @inlinable public static func + (a: WallTime, b: Interval) -> WallTime {
        WallTime(milliseconds: saturatingAdd(a.milliseconds, b.milliseconds))
    }
    @inlinable public static func - (a: WallTime, b: WallTime) -> Interval {
        .milliseconds(saturatingSubtract(a.milliseconds, b.milliseconds))
    }
}
