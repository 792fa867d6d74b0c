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
    /// In milliseconds, which hold whatever date a clock is set to; nanoseconds would end with the year 2262.
    package func wallTime() -> WallTime {
        let time = Self.read(CLOCK_REALTIME)
        let (milliseconds, isTooFar) = Int64(time.tv_sec).multipliedReportingOverflow(by: 1_000)
        return WallTime(milliseconds: isTooFar ? (time.tv_sec < 0 ? .min / 2 : .max / 2) : milliseconds &+ Int64(time.tv_nsec) / 1_000_000)
    }

    /// Of a clock that counts from the machine's start.
    private static func nanoseconds(_ clock: clockid_t) -> Int64 {
        let time = read(clock)
        return Int64(time.tv_sec) &* 1_000_000_000 &+ Int64(time.tv_nsec)
    }

    private static func read(_ clock: clockid_t) -> timespec {
        var time = timespec()
        clock_gettime(clock, &time)
        return time
    }
}
