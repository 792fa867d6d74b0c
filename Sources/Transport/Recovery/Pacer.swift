import MastTimebase

/// Spreads a window's packets over its round trip (RFC 9002 section 7.7): a token bucket in bytes.
package struct Pacer: Sendable {
    /// Bytes that may leave back to back: ten datagrams, as the initial window.
    private let burst: Int
    private var tokens: Int
    private var updated: Instant = .zero

    package init(datagramSize: Int) {
        burst = 10 * datagramSize
        tokens = burst
    }

    /// When `bytes` may be sent; nil means now.
    package mutating func blockedUntil(bytes: Int, window: Int, rtt: RTTEstimator, slowStart: Bool, at now: Instant) -> Instant? {
        // Without a sample there is no rate to pace at; the initial window bounds the burst.
        guard rtt.hasSample else { return nil }
        let smoothed = max(rtt.smoothed.nanoseconds, 1_000)
        // 1.25 × window per round trip, twice it in slow start, so that pacing never starves growth.
        let scaled = Int64(clamping: Int128(window) * (slowStart ? 8 : 5) / 4)
        let elapsed = max(0, (now - updated).nanoseconds)
        let earned = Int64(clamping: Int128(scaled) * Int128(elapsed) / Int128(smoothed))
        if earned > 0 {
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
