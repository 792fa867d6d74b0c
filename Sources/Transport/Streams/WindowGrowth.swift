import MastTimebase

/// Whether a receive window keeps its sender waiting: half of it and more came within a round trip, and the reader kept up. Then
/// it is doubled, up to a bound: a window of 1 MiB is 42 Mbit/s at a round trip of 200 ms, and one that suits the longest path
/// would let every peer fill it (the idea is dynamic right-sizing: Fisk and Feng, "Dynamic Right-Sizing in TCP", 2001).
package struct WindowGrowth: Sendable {
    /// The endpoint's time and the path's round trip, for a window that may grow.
    package struct Clock: Sendable {
        package var now: Instant
        package var roundTrip: Interval
        package init(now: Instant, roundTrip: Interval) { (self.now, self.roundTrip) = (now, roundTrip) }
    }

    /// Since when bytes are counted, and how many had come then.
    private var epoch: (start: Instant, received: UInt64)?

    package init() {}

    /// Told of each arrival.
    /// - Parameters: `received` bytes so far in all; `held` of them that the reader has not done with.
    /// - Returns: the window from now on, bytes.
    package mutating func window(_ window: UInt64, most: UInt64, received: UInt64, held: UInt64, _ clock: Clock) -> UInt64 {
        guard let begun = epoch else {
            epoch = (clock.now, received)
            return window
        }
        let elapsed = clock.now - begun.start
        guard elapsed >= clock.roundTrip else { return window }
        epoch = (clock.now, received)
        // Seldom heard of is not waiting for credit.
        guard elapsed < clock.roundTrip * 2, (received - begun.received) * 2 >= window, held * 4 <= window else { return window }
        return max(window, min(most, window * 2))
    }
}
