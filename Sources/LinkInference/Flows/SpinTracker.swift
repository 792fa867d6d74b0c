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
    private var packets = 0

    package init() {}

    package mutating func observe(_ spin: Bool, at now: Instant) {
        packets += 1
        if let value, value != spin {
            // After a pause it turns when there is something to send: the packet before says how long that was at most.
            if let turnedAt, let lastAt, now > turnedAt, (now - lastAt) * 8 <= max(now - turnedAt, .milliseconds(16)) {
                roundTrips.add((now - turnedAt).nanoseconds)
            }
            turnedAt = now
        }
        value = spin
        lastAt = now
    }

    /// It turned at all, and not with every other packet.
    package var isPlausible: Bool { roundTrips.count >= 4 && roundTrips.count * 3 <= packets }
}
