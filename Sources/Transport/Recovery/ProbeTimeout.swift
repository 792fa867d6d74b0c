import MastTimebase

/// When to send a probe because nothing was acknowledged (RFC 9002 section 6.2, with a cap).
///
/// Backoff is ×1.5 and capped: an uncapped doubling makes a one-minute outage cost one or two more. The cap is
/// 250 ms for the first 30 s of silence, as long as a tunnel or a lift, then 1 s, then after a minute 5 s.
package enum ProbeTimeout {
    package static func interval(rtt: RTTEstimator, consecutive: Int, silentFor: Interval) -> Interval {
        let base = rtt.smoothed + max(rtt.variation * 4, .milliseconds(2))
        var value = base
        for _ in 0..<min(consecutive, 16) { value = value * 3 / 2 }
        let cap: Interval =
            if silentFor < .seconds(30) { .milliseconds(250) } else if silentFor < .seconds(60) { .seconds(1) } else { .seconds(5) }
        // A path slower than the cap keeps its own round trip as the floor, or every packet would be probed. Not its variation: of one
        // stall that would be some ten seconds.
        return min(value, max(cap, min(base, rtt.smoothed * 5 / 4 + .milliseconds(2))))
    }
}
