import MastCapture
import MastTimebase

/// Round trips by QUIC's spin bit: the time between its turns in one direction (RFC 9312 section 3.8.2). Endpoints
/// may spin at random instead, which shows as turns that are far too frequent.
package struct SpinTracker: Sendable {
    private var value: Bool?
    private var turnedAt: Instant?
    /// A turn that came too soon to be one, unless it lasts.
    private var doubted: Instant?
    private var lastAt: Instant?
    /// Nanoseconds.
    package private(set) var roundTrips = SampleSketch()
    /// Of the first few samples the longest, then of each sample: what comes much sooner was overtaken.
    private var usual: Interval?
    private var latest: Interval?
    /// The longest time without a packet since the last turn.
    private var silence = Interval.zero
    private var turns = 0
    private var packets = 0
    private var changes = 0
    /// Samples that only tell how long the others may be.
    private static let first = 2

    package init() {}

    package mutating func observe(_ spin: Bool, at now: Instant) {
        packets += 1
        if let lastAt { silence = max(silence, now - lastAt) }
        defer { lastAt = now }
        guard let value, value != spin else {
            (self.value, doubted) = (spin, nil)
            return
        }
        changes += 1
        // A packet from before the turn that came after it (RFC 9312 section 3.8.2.1) turns nothing.
        if let turnedAt, let usual, turns >= Self.first, (now - turnedAt) * 4 < usual {
            doubted = doubted ?? now
            return
        }
        let at = doubted ?? now
        // After a pause it turns when there is something to send: the packet before says how long that was at most.
        if let turnedAt, let lastAt, at > turnedAt, (now - lastAt) * 8 <= max(at - turnedAt, .milliseconds(16)) {
            turns += 1
            // Whoever waits for longer than a round trip waits for a timer: what would have turned was lost. After a turn that came much
            // too soon it is not known which of them was one.
            if turns > Self.first, doubted == nil, let usual, silence * 4 <= usual * 5, let latest, latest * 4 >= at - turnedAt { roundTrips.add((at - turnedAt).nanoseconds) }
            latest = at - turnedAt
            usual = turns > Self.first ? at - turnedAt : max(usual ?? .zero, at - turnedAt)
        }
        (turnedAt, silence) = (at, .zero)
        (self.value, doubted) = (spin, nil)
    }

    /// It turned at all, and not with every other packet.
    package var isPlausible: Bool { roundTrips.count >= 4 && changes * 3 <= packets }
}
