import MastTimebase

#if canImport(Glibc)
import Glibc
#elseif canImport(Musl)
import Musl
#elseif canImport(Darwin)
import Darwin
#endif

/// The machine's clocks as the core wants them: nanoseconds since this clock was made, and calendar time.
package struct SystemClock: Sendable {
    private let start: Int64

    package init() { start = Self.nanoseconds(CLOCK_MONOTONIC) }

    package func now() -> Instant { Instant(nanoseconds: Self.nanoseconds(CLOCK_MONOTONIC) - start) }
    package func wallTime() -> WallTime { WallTime(milliseconds: Self.nanoseconds(CLOCK_REALTIME) / 1_000_000) }

    private static func nanoseconds(_ clock: clockid_t) -> Int64 {
        var time = timespec()
        clock_gettime(clock, &time)
        return Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec)
    }
}
