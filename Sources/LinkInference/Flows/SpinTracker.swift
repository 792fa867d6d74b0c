import MastCapture
import MastTimebase

/// Round trips by QUIC's spin bit: the time between its turns in one direction (RFC 9312 section 3.8.2). Endpoints
/// may spin at random instead, which shows as turns that are far too frequent.
package struct SpinTracker: Sendable {
    private var value: Bool?
    private var turnedAt: Instant?
    /// Nanoseconds.
    package private(set) var roundTrips = SampleSketch()
    private var packets = 0

    package init() {}

    package mutating func observe(_ spin: Bool, at now: Instant) {
        packets += 1
        if let value, value != spin {
            if let turnedAt, now > turnedAt { roundTrips.add((now - turnedAt).nanoseconds) }
            turnedAt = now
        }
        value = spin
    }

    /// It turned at all, and not with every other packet.
    package var isPlausible: Bool { roundTrips.count >= 4 && roundTrips.count * 3 <= packets }
}
