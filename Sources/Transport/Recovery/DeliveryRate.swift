import Collections
import MastTimebase

/// How fast packets come out of the path, by the peer's receive times where it tells them: what an acknowledgement does on its way back
/// is then no part of it (draft-ietf-ccwg-bbr section 4.1 has the same by our own clock).
package struct DeliveryRate: Sendable {
    /// What came within half a millisecond: a radio delivers by its frames, and a receiver reads in batches.
    private struct Cluster {
        var at: Double
        var heardAt: Double
        var bytes: Double
        /// One-way time of the fastest of them, clocks' difference included.
        var transit: Double
    }

    /// Nanoseconds. Two spans, as a radio's rate is lumpy: the larger of the two rates counts.
    static let shortSpan = 40e6
    static let longSpan = 100e6
    /// A pause beyond this is none of the path's pace.
    static let pause = 100e6
    private static let together = 0.5e6
    /// Of a long path, half a round trip, and no more than this.
    static let longestSpan = 250e6
    /// As many as the longest span holds.
    private static let mostArrivals = 512

    /// Bytes a nanosecond; nil before there is a span to measure.
    package private(set) var value: Double?
    /// Whether the window bounded what was sent in a span that was measured. Until then the value is no more than an application's pace.
    package private(set) var isOfThePath = false
    /// The ninth decile of the time between arrivals, nanoseconds.
    package private(set) var gap = 2e6
    private var arrivals: Deque<Cluster> = []
    private var measuredAt = -Double.infinity

    package init() {}

    /// - Parameters:
    ///   - at: when they came, nanoseconds of the receiver's clock.
    ///   - heardAt: when we heard of it, nanoseconds of ours.
    package mutating func onArrival(bytes: Int, at: Double, heardAt: Double, transit: Double) {
        let bytes = Double(bytes)
        guard let last = arrivals.last else {
            arrivals.append(Cluster(at: at, heardAt: heardAt, bytes: bytes, transit: transit))
            return
        }
        if at <= last.at + Self.together {
            arrivals[arrivals.count - 1].bytes += bytes
            arrivals[arrivals.count - 1].heardAt = heardAt
            arrivals[arrivals.count - 1].transit = min(last.transit, transit)
            return
        }
        let passed = at - last.at
        learn(passed)
        // Where every one is a pause, the path is as slow as that.
        if passed > Self.pause, arrivals.count > 1 {
            arrivals.removeAll(keepingCapacity: true)
        } else if arrivals.count >= Self.mostArrivals {
            arrivals.removeFirst()
        }
        arrivals.append(Cluster(at: at, heardAt: heardAt, bytes: bytes, transit: transit))
    }

    /// What is measured begins with the next arrival.
    package mutating func restart() { arrivals.removeAll(keepingCapacity: true) }

    /// Nothing arrives for a pause at least: the next arrival takes no more of what was before than that there was some.
    package mutating func rest() { arrivals = Deque(Array(arrivals.suffix(2))) }

    /// A quantile by stochastic approximation (Robbins and Monro): nine steps up weigh one down.
    private mutating func learn(_ passed: Double) {
        let passed = min(passed, Self.pause)
        gap += passed > gap ? min(passed - gap, gap * 0.09) : -gap * 0.01
        gap = min(max(gap, 0.1e6), Self.pause)
    }

    /// - Parameters:
    ///   - roundTrip: the shortest, nanoseconds; the short span is at least half of it.
    ///   - busyAbove: a one-way time that says that the queue was never empty. Else what came is no more than what was sent.
    ///   - isLimited: whether the window bounds what is sent.
    ///   - isLosing: whether much is lost, queue or none: a policer lets through what it lets through.
    package mutating func measure(roundTrip: Double, busyAbove: Double, isLimited: Bool, isLosing: Bool = false) {
        // Once a millisecond is often enough, and a fast path acknowledges more often.
        guard let last = arrivals.last, last.at - measuredAt >= 1e6 || last.at < measuredAt else { return }
        let span = min(max(Self.shortSpan, roundTrip / 2), Self.longestSpan)
        let longest = max(span, Self.longSpan)
        while arrivals.count > 2, arrivals[1].at <= last.at - longest { arrivals.removeFirst() }
        guard let first = arrivals.first, last.at - first.at >= span * 0.75 else { return }
        measuredAt = last.at
        var bytes = 0.0
        var fastest = Double.infinity
        var short: Double?
        var index = arrivals.count - 1
        while index > 0 {
            bytes += arrivals[index].bytes
            fastest = min(fastest, arrivals[index].transit)
            index -= 1
            let begun = arrivals[index].at
            let isWhole = index == 0 || last.at - arrivals[index - 1].at > span
            if short == nil, last.at - begun >= span * 0.75, isWhole { short = bytes / (last.at - begun) }
        }
        let long = bytes / (last.at - first.at)
        // A peer may tell any times; what we heard in ours bounds the lie.
        let heard = bytes / max(last.heardAt - first.heardAt, 1e6)
        let measured = min(max(short ?? long, long), 4 * heard)
        if isLimited { isOfThePath = true }
        value = isLosing || isLimited && fastest > busyAbove ? measured : max(value ?? 0, measured)
    }
}
