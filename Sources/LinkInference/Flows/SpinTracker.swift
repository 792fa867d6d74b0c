import MastCapture
import MastTimebase

/// Round trips by QUIC's spin bit: the time between its turns in one direction (RFC 9312 section 3.8.2). Endpoints
/// may spin at random instead, which shows as turns that are far too frequent.
package struct SpinTracker: Sendable {
    private var value: Bool?
    private var turnedAt: Instant?
    private var lastAt: Instant?
    /// Nanoseconds.
    package private(set) var roundTrips = SampleSketch()
    /// Of the first few samples the longest, then of each sample: what comes much sooner was overtaken.
    private var usual: Interval?
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
            self.value = spin
            return
        }
        changes += 1
        // A packet from before the turn that came after it (RFC 9312 section 3.8.2.1) turns nothing.
        if let turnedAt, let usual, turns > Self.first, (now - turnedAt) * 4 < usual { return }
        // After a pause it turns when there is something to send: the packet before says how long that was at most.
        if let turnedAt, let lastAt, now > turnedAt, (now - lastAt) * 8 <= max(now - turnedAt, .milliseconds(16)) {
            turns += 1
            // Whoever waits for longer than a round trip waits for a timer: what would have turned was lost.
            if turns > Self.first, let usual, silence * 4 <= usual * 5 { roundTrips.add((now - turnedAt).nanoseconds) }
            usual = turns > Self.first ? now - turnedAt : max(usual ?? .zero, now - turnedAt)
        }
        (turnedAt, silence) = (now, .zero)
        self.value = spin
    }

    /// It turned at all, and not with every other packet.
    package var isPlausible: Bool { roundTrips.count >= 4 && changes * 3 <= packets }
}
