import CTunnel
import MastTimebase

/// Waits for moments more exactly than sleeping does: the last stretch is polled.
package struct SendClock: Sendable {
    private let clock = TunnelClock()
    /// Sleepers wake up late by 50 µs and more.
    private static let pollBefore = Interval.microseconds(150)

    /// Time begins now, at zero.
    package init() { mast_timer_slack(1) }

    package var now: Instant { clock.now }

    /// - Parameter slice: returns after this long at the latest, to look after other things.
    /// - Returns: whether the time has come.
    package func wait(until time: Instant, atMost slice: Interval = .milliseconds(100)) -> Bool {
        let end = min(time, now + slice)
        let pause = end - now - Self.pollBefore
        if pause > .zero { _ = mast_wait(nil, 0, Int(pause.nanoseconds)) }
        while now < end {}
        return end == time
    }
}
