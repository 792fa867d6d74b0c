import MastTimebase

/// Spreads a window's packets over its round trip (RFC 9002 section 7.7): a token bucket in bytes.
package struct Pacer: Sendable {
    /// Bytes that may leave back to back: ten datagrams, as the initial window; or what the rate gives in a millisecond, so that
    /// a fast sender is not woken for each ten, and its segments leave together.
    private var burst: Int
    private let leastBurst: Int
    /// As much as one system call takes of one size.
    private static let mostBurst = 65_536
    private static let quantum: Int128 = 1_000_000
    private var tokens: Int
    private var updated: Instant = .zero

    package init(datagramSize: Int) {
        leastBurst = 10 * datagramSize
        burst = leastBurst
        tokens = leastBurst
    }

    /// When `bytes` may be sent; nil means now.
    package mutating func blockedUntil(bytes: Int, window: Int, rtt: RTTEstimator, slowStart: Bool, at now: Instant) -> Instant? {
        // Without a sample there is no rate to pace at; the initial window bounds the burst.
        guard rtt.hasSample else { return nil }
        if now == updated, tokens >= bytes { return nil }
        let smoothed = max(rtt.smoothed.nanoseconds, 1_000)
        // 1.25 × window per round trip, twice it in slow start, so that pacing never starves growth.
        let scaled = Int64(clamping: Int128(window) * (slowStart ? 8 : 5) / 4)
        let elapsed = max(0, (now - updated).nanoseconds)
        let earned = Int64(clamping: Int128(scaled) * Int128(elapsed) / Int128(smoothed))
        if earned > 0 {
            burst = max(leastBurst, Int(min(Int128(Self.mostBurst), Int128(scaled) * Self.quantum / Int128(smoothed))))
            tokens = min(burst, tokens + Int(min(earned, Int64(burst))))
            updated = now
        }
        if tokens >= bytes { return nil }
        let missing = Int64(bytes - tokens)
        let wait = Int64(clamping: (Int128(missing) * Int128(smoothed) + Int128(scaled) - 1) / Int128(max(scaled, 1)))
        return now + .nanoseconds(max(wait, 1))
    }

    package mutating func onSent(bytes: Int) { tokens -= min(bytes, tokens) }
}
