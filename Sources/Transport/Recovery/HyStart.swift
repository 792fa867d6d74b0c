import MastTimebase

/// HyStart++ (RFC 9406): slow start ends when the round trip grows, before the queue is full.
package struct HyStart: Sendable {
    /// Section 4.3.
    private static let leastThreshold = Interval.milliseconds(4)
    private static let mostThreshold = Interval.milliseconds(16)
    private static let samples = 8
    private static let conservativeDivisor = 4
    private static let conservativeRounds = 5

    private var roundStart = Instant.zero
    private var newestSent = Instant.zero
    private var lastRound: Interval?
    private var thisRound: Interval?
    private var seen = 0
    /// In conservative slow start: the round trip it began with, and how many rounds it has had.
    private var conservative: (baseline: Interval, rounds: Int)?

    package init() {}

    /// By how much slower the window grows than in slow start.
    package var divisor: Int { conservative == nil ? 1 : Self.conservativeDivisor }

    package mutating func onArrival(sentAt: Instant) {
        newestSent = max(newestSent, sentAt)
        seen += 1
    }

    /// - Returns: whether slow start is over.
    package mutating func onAcknowledgement(_ roundTrip: Interval, at now: Instant) -> Bool {
        if newestSent > roundStart {
            (roundStart, lastRound, thisRound, seen) = (now, thisRound, nil, 0)
            if var state = conservative {
                state.rounds += 1
                conservative = state
                if state.rounds >= Self.conservativeRounds { return true }
            }
        }
        let least = thisRound.map { min($0, roundTrip) } ?? roundTrip
        thisRound = least
        guard seen >= Self.samples else { return false }
        if let state = conservative {
            // It was no growth: slow start goes on.
            if least < state.baseline { conservative = nil }
        } else if let lastRound, least >= lastRound + min(max(lastRound / 8, Self.leastThreshold), Self.mostThreshold) {
            conservative = (least, 0)
        }
        return false
    }
}
