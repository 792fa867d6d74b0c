import Collections
import MastTimebase

/// How long packets wait on their way: one-way time, less the least of it lately. The clocks' difference cancels, and their drift is
/// forgotten with the least (100 parts in a million are 3 ms in its 30 s).
package struct QueueingDelay: Sendable {
    private var least = WindowedMinimum(over: .seconds(30))
    /// Those of the last 10 ms: the least of them counts, as single packets come late by a radio's repeats.
    private var recent: Deque<(at: Double, transit: Double)> = []
    private static let recently = 10e6
    private static let mostRecent = 256
    /// Since last asked.
    private var slowest: Double?
    private var fastest: Interval?

    package init() {}

    /// - Parameters:
    ///   - at: when it came, nanoseconds of the receiver's clock.
    ///   - transit: that, less when it was sent by ours.
    package mutating func insert(_ transit: Interval, at: Double, now: Instant) {
        least.insert(transit, at: now)
        let value = Double(transit.nanoseconds)
        slowest = slowest.map { max($0, value) } ?? value
        fastest = fastest.map { min($0, transit) } ?? transit
        if let last = recent.last, at < last.at { return }
        if recent.count == Self.mostRecent { recent.removeFirst() }
        recent.append((at, value))
    }

    /// Nothing arrives for a while: the next is the only one of its ten milliseconds.
    package mutating func rest() { recent = Deque(Array(recent.suffix(1))) }

    /// The least one-way time, nanoseconds, clocks' difference included.
    package var floor: Double? { least.value.map { Double($0.nanoseconds) } }

    /// Nanoseconds; nil before a packet came.
    package var value: Double? {
        guard let floor, let last = recent.last else { return nil }
        var least = Double.infinity
        for sample in recent where sample.at >= last.at - Self.recently { least = min(least, sample.transit) }
        return max(0, least - floor)
    }

    /// The same, and what is too old for it is forgotten.
    package mutating func current() -> Double? {
        if let last = recent.last { while let first = recent.first, first.at < last.at - Self.recently { recent.removeFirst() } }
        return value
    }

    /// The shortest wait since the last time this was asked.
    package mutating func takeShortest() -> Double {
        defer { fastest = nil }
        guard let floor, let fastest else { return 0 }
        return max(0, Double(fastest.nanoseconds) - floor)
    }

    /// The path is another than before: its least is `wait` nanoseconds longer.
    package mutating func raiseFloor(by wait: Double, at now: Instant) {
        if let value = least.value { least.reset(to: value + .nanoseconds(Int64(min(wait, 1e12))), at: now) }
    }

    /// The longest wait since the last time this was asked.
    package mutating func takeLongest() -> Double {
        defer { slowest = nil }
        guard let floor, let slowest else { return 0 }
        return max(0, slowest - floor)
    }
}
