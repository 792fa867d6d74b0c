import MastTimebase

/// How often each source may have something done for it: a fixed table of token buckets, found by a keyed hash of the
/// source. Sources that share a bucket share its rate; which ones do, nobody outside can tell.
///
/// One source never has more than one bucket's rate, all together never more than `buckets` × `perSecond`.
package struct SourceBudget: Sendable {
    private struct Bucket {
        var tokens: Int32
        var refilled: Instant
    }

    /// 64 KiB of memory once it is used; a flood from random sources falls on all of them alike, and must exceed
    /// `buckets` × `perSecond` before it takes anything from the others.
    package static let buckets = 4_096

    private let perSecond: Int
    private let burst: Int
    private let salt: (UInt64, UInt64)
    /// Empty until first asked: most endpoints never are.
    private var table: [Bucket] = []

    package init(perSecond: Int, burst: Int, salt: (UInt64, UInt64)) {
        self.perSecond = max(1, perSecond)
        self.burst = max(1, min(burst, Int(Int32.max)))
        self.salt = salt
    }

    package mutating func take(_ source: TrafficSource, at now: Instant) -> Bool {
        if table.isEmpty { table = Array(repeating: Bucket(tokens: Int32(burst), refilled: now), count: Self.buckets) }
        let index = index(of: source)
        var bucket = table[index]
        // An hour fills any bucket, and its product fits.
        let elapsed = max(0, min((now - bucket.refilled).nanoseconds, 3_600_000_000_000))
        let earned = Int(Int128(elapsed) * Int128(perSecond) / 1_000_000_000)
        if earned > 0 {
            bucket.tokens = Int32(min(burst, Int(bucket.tokens) + earned))
            // Only the time that made whole tokens is spent.
            bucket.refilled = bucket.tokens == Int32(burst) ? now : bucket.refilled + .nanoseconds(Int64(earned) * 1_000_000_000 / Int64(perSecond))
        }
        let isEnough = bucket.tokens > 0
        if isEnough { bucket.tokens -= 1 }
        table[index] = bucket
        return isEnough
    }

    /// Two rounds of a 64-bit mixer (MurmurHash3's finaliser, Stafford's constants) with a secret word before each.
    private func index(of source: TrafficSource) -> Int {
        Int(truncatingIfNeeded: Self.mix(Self.mix(source.word ^ salt.0) &+ salt.1) >> 52)
    }

    private static func mix(_ word: UInt64) -> UInt64 {
        var word = word
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}
