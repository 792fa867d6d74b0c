import MastTimebase

/// Bytes in a time.
package struct PacingRate: Sendable, Equatable {
    package var bytes: Int64
    package var per: Interval

    package init(bytes: Int64, per: Interval) {
        (self.bytes, self.per) = (max(bytes, 1), max(per, .microseconds(1)))
    }

    package var bytesPerSecond: Int { Int(clamping: Int128(bytes) * 1_000_000_000 / Int128(per.nanoseconds)) }
}

/// Spreads packets over time (RFC 9002 section 7.7): a token bucket in bytes.
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
    /// - Parameter rate: nil where none is known; the initial window bounds the burst then.
    package mutating func blockedUntil(bytes: Int, rate: PacingRate?, at now: Instant) -> Instant? {
        guard let rate else { return nil }
        if now == updated, tokens >= bytes { return nil }
        let elapsed = max(0, (now - updated).nanoseconds)
        let earned = Int64(clamping: Int128(rate.bytes) * Int128(elapsed) / Int128(rate.per.nanoseconds))
        if earned > 0 {
            burst = max(leastBurst, Int(min(Int128(Self.mostBurst), Int128(rate.bytes) * Self.quantum / Int128(rate.per.nanoseconds))))
            tokens = min(burst, tokens + Int(min(earned, Int64(burst))))
            updated = now
        }
        if tokens >= bytes { return nil }
        let missing = Int64(bytes - tokens)
        let wait = Int64(clamping: (Int128(missing) * Int128(rate.per.nanoseconds) + Int128(rate.bytes) - 1) / Int128(rate.bytes))
        return now + .nanoseconds(max(wait, 1))
    }

    package mutating func onSent(bytes: Int) { tokens -= min(bytes, tokens) }
}
