import MastCloudCore
import MastTimebase

/// What a station could not get or keep, and when it tries again: a failure that is forgotten is repeated for ever.
package struct ReplicaTroubles: Sendable {
    package enum Cause: Sendable {
        /// Nobody gave it, or not whole. Another try helps when somebody has come.
        case fetching
        /// The disk did not take it.
        case storing
    }

    private struct Trouble: Sendable {
        var digest: ContentDigest
        var cause: Cause
        var reason: String
        var attempts: Int
        var last: Instant
        var wait: Interval
    }

    /// Wait after a first failure; it doubles with each further one.
    package static let firstWait = Interval.seconds(1)
    package static let longestWait = Interval.seconds(300)
    /// A run that asks for it is not made to wait for the next regular try.
    package static let longestWaitOfRuns = Interval.seconds(2)
    /// Reasons come from peers and the system; more is cut off.
    private static let reasonBytes = 200

    /// At most one for each released application.
    private var troubles: [Trouble] = []

    package init() {}

    package mutating func failed(_ digest: ContentDigest, _ cause: Cause, _ reason: String, at now: Instant) {
        var trouble = Trouble(digest: digest, cause: cause, reason: "", attempts: 0, last: now, wait: .zero)
        if let index = troubles.firstIndex(where: { $0.digest == digest }) { trouble = troubles.remove(at: index) }
        if trouble.cause != cause { (trouble.attempts, trouble.wait) = (0, .zero) }
        trouble.cause = cause
        trouble.reason = String(decoding: reason.utf8.prefix(Self.reasonBytes), as: UTF8.self)
        trouble.last = now
        trouble.attempts = min(trouble.attempts + 1, 1_000_000)
        trouble.wait = trouble.wait == .zero ? Self.firstWait : min(trouble.wait * 2, Self.longestWait)
        troubles.append(trouble)
    }

    package mutating func settled(_ digest: ContentDigest) { troubles.removeAll { $0.digest == digest } }

    /// Others may have come who have what was missing.
    package mutating func peersChanged() {
        for index in troubles.indices where troubles[index].cause == .fetching { troubles[index].wait = .zero }
    }

    /// Forgets what is not wanted any more.
    package mutating func keep(_ isWanted: (ContentDigest) -> Bool) { troubles.removeAll { !isWanted($0.digest) } }

    /// Whether it may be tried (again).
    package func isDue(_ digest: ContentDigest, at now: Instant) -> Bool {
        troubles.first { $0.digest == digest }.map { now - $0.last >= $0.wait } ?? true
    }

    /// Why a run is not to try it now; nil when it may.
    package func refusal(_ digest: ContentDigest, at now: Instant) -> String? {
        guard let trouble = troubles.first(where: { $0.digest == digest }), trouble.cause == .fetching,
            now - trouble.last < min(trouble.wait, Self.longestWaitOfRuns)
        else { return nil }
        return trouble.reason
    }

    /// For heartbeats and status, the oldest failure first.
    package func report(at now: Instant) -> [ReplicaTrouble] {
        troubles.map { trouble in
            ReplicaTrouble(
                digest: trouble.digest, reason: trouble.reason, attempts: trouble.attempts,
                nextTryMilliseconds: max(0, (trouble.last + trouble.wait - now).milliseconds))
        }
    }
}
