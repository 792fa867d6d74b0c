import MastCapture
import MastTimebase

/// A stretch without packets.
package struct Silence: Codable, Sendable, Hashable {
    /// Since the first packet.
    package var startS: Double
    package var lengthS: Double
    /// `up`, `down` or `both`.
    package var direction: String
}

/// Finds stretches of at least `threshold` without a packet, in both directions at once or in one while the
/// other went on. Bounded: keeps the first `most` and counts the rest.
package struct SilenceDetector: Sendable {
    package static let most = 10_000

    package let threshold: Interval
    package private(set) var silences: [Silence] = []
    package private(set) var omitted = 0
    private var lastAny: Instant?
    private var last: (up: Mark?, down: Mark?)
    /// Sum of the silences in both directions so far: what it grew by during a gap in one direction is explained.
    private var silentInBoth = Interval.zero

    private struct Mark: Sendable {
        var time: Instant
        var silentInBoth: Interval
    }

    package init(threshold: Interval = .milliseconds(200)) { self.threshold = threshold }

    package mutating func observe(_ direction: FlowDirection, at time: Instant) {
        if let lastAny, time - lastAny >= threshold {
            silentInBoth += time - lastAny
            record(from: lastAny, to: time, "both")
        }
        lastAny = time
        let before = direction == .up ? last.up : last.down
        if let before {
            let gap = time - before.time
            // What both directions share is reported once, as theirs; a remainder of the threshold is this one's.
            if gap >= threshold, gap - (silentInBoth - before.silentInBoth) >= threshold {
                record(from: before.time, to: time, direction.name)
            }
        }
        let mark = Mark(time: time, silentInBoth: silentInBoth)
        if direction == .up { last.up = mark } else { last.down = mark }
    }

    private mutating func record(from start: Instant, to end: Instant, _ direction: String) {
        guard silences.count < Self.most else {
            omitted += 1
            return
        }
        silences.append(
            Silence(
                startS: rounded(start.sinceStart.inSeconds, 6), lengthS: rounded((end - start).inSeconds, 6),
                direction: direction))
    }
}
