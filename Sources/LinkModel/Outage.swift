import MastTimebase

/// A stretch of time in which a link carries nothing.
package struct Outage: Hashable, Sendable {
    package enum Mode: String, CaseIterable, Codable, Hashable, Sendable {
        /// The server stands still: delivery opportunities pass unused, the queue goes on filling up to its
        /// limit, and afterwards it drains at the link's rate. A handover with forwarding does this.
        case hold
        /// Packets that arrive at the queue are discarded; what waits is still served. A failed handover or
        /// a tunnel, seen from the near end.
        case drop
        /// Packets that leave the server are discarded, so the sender's queue drains into nothing: a tunnel,
        /// seen from the far end.
        case air
    }

    /// The time of its first instant, from the beginning of the run.
    package var start: Interval
    /// It covers `start ..< start + duration`.
    package var duration: Interval
    package var mode: Mode

    package init(start: Interval, duration: Interval, mode: Mode = .hold) {
        (self.start, self.duration, self.mode) = (start, duration, mode)
    }

    package var end: Interval { start + duration }
}

extension Outage: CustomStringConvertible {
    /// Parses `12s+2s` (two seconds, from the twelfth on; a hold), `hold:12s+2s`, `drop:12s+2s`, `air:12s+2s`.
    package init?(text: String) {
        var rest = text[...]
        var mode = Mode.hold
        if let colon = rest.firstIndex(of: ":") {
            guard let named = Mode(rawValue: String(rest[..<colon])) else { return nil }
            mode = named
            rest = rest[rest.index(after: colon)...]
        }
        guard let plus = rest.firstIndex(of: "+"), let start = Interval(text: rest[..<plus]),
            let duration = Interval(text: rest[rest.index(after: plus)...]), duration > .zero
        else { return nil }
        self.init(start: start, duration: duration, mode: mode)
    }

    package var description: String { "\(mode.rawValue):\(start.text)+\(duration.text)" }
}

/// Disjoint, sorted stretches of time, read in order of time: what is past is never looked at again.
struct OutageTimeline: Sendable {
    private var starts: [Int64] = []
    private var ends: [Int64] = []
    /// Stretches before this one are over for every question still to come.
    private var first = 0

    var isEmpty: Bool { first == ends.count }

    init(_ outages: [Outage], mode: Outage.Mode) {
        // In order of time each is the last so far: chance may draw a million of them.
        let stretches = outages.filter { $0.mode == mode }.map { ($0.start.nanoseconds, $0.end.nanoseconds) }.sorted { $0.0 < $1.0 }
        for (start, end) in stretches where start < end {
            if let last = ends.last, start <= last {
                ends[ends.count - 1] = max(last, end)
            } else {
                starts.append(start)
                ends.append(end)
            }
        }
    }

    /// Adds `from ..< to`, joined with what it touches.
    mutating func insert(from: Int64, to: Int64) {
        guard from < to else { return }
        var low = from
        var high = to
        var lower = first
        while lower < ends.count, ends[lower] < from { lower += 1 }
        var upper = lower
        while upper < starts.count, starts[upper] <= to {
            low = min(low, starts[upper])
            high = max(high, ends[upper])
            upper += 1
        }
        starts.replaceSubrange(lower..<upper, with: CollectionOfOne(low))
        ends.replaceSubrange(lower..<upper, with: CollectionOfOne(high))
    }

    /// Ends at `now` what is going on, and forgets everything later.
    mutating func clear(from now: Int64) {
        while let start = starts.last, starts.count > first {
            guard let end = ends.last, end > now else { return }
            starts.removeLast()
            ends.removeLast()
            if start < now {
                starts.append(start)
                ends.append(now)
                return
            }
        }
    }

    /// Promises that no later question is about a time before `time`.
    @inline(__always) mutating func forget(before time: Int64) {
        while first < ends.count, ends[first] <= time { first += 1 }
        // A radio that falls idle again and again adds stretches for as long as the run lasts.
        if first >= 1_024 { dropPast() }
    }

    private mutating func dropPast() {
        starts.removeFirst(first)
        ends.removeFirst(first)
        first = 0
    }

    /// Whether `time` lies in a stretch. Times asked for never decrease.
    @inline(__always) mutating func covers(_ time: Int64) -> Bool {
        forget(before: time)
        return first < ends.count && starts[first] <= time
    }

    /// The first time not before `time` that no stretch covers.
    @inline(__always) func firstFree(from time: Int64) -> Int64 {
        if isEmpty { return time }
        var index = first
        while index < ends.count, ends[index] <= time { index += 1 }
        return index < ends.count && starts[index] <= time ? ends[index] : time
    }

    /// The beginning of the first stretch after `time`; `.max` without one.
    func nextStart(after time: Int64) -> Int64 {
        var index = first
        while index < starts.count, starts[index] <= time { index += 1 }
        return index < starts.count ? starts[index] : .max
    }

    /// When work of `length` is done that starts at `time`, itself free, and pauses in every stretch.
    @inline(__always) func finish(from time: Int64, length: Int64) -> Int64 {
        var end = saturatingSum(time, length)
        if isEmpty { return end }
        var index = first
        while index < ends.count, ends[index] <= time { index += 1 }
        while index < ends.count, starts[index] < end {
            end = saturatingSum(end, ends[index] - starts[index])
            index += 1
        }
        return end
    }
}

@inline(__always) func saturatingSum(_ a: Int64, _ b: Int64) -> Int64 {
    let (sum, overflow) = a.addingReportingOverflow(b)
    return overflow ? (b > 0 ? .max : .min) : sum
}
