import MastTimebase

/// How often a path has lost lately, and for how long at once.
package struct LossHistory: Sendable {
    private var concluded = 0
    private var lost = 0
    /// The mean length of bursts, from the sending of its first packet lost to that of its last.
    package private(set) var burst = Interval.zero
    private var run: (first: Instant, last: Instant, number: UInt64)?

    /// Half of what is older than so many packets is forgotten.
    private static let memory = 1_024
    private static let leastConcluded = 50
    private static let leastLost = 2
    /// A longer one is a blackout, which no copy outlasts; and one of those is soon forgotten.
    private static let longestBurst = Interval.milliseconds(100)
    /// One in so many.
    private static let fragile = 200

    package init() {}

    /// More than half of a per cent is lost.
    package var isFragile: Bool { concluded >= Self.leastConcluded && lost >= Self.leastLost && lost * Self.fragile > concluded }

    package mutating func onArrival() { count(isLost: false) }

    /// In the order of numbers, as far as one acknowledgement tells.
    package mutating func onLoss(_ number: UInt64, sentAt: Instant) {
        count(isLost: true)
        if let run, number > run.number, number - run.number <= 2 {
            self.run = (run.first, max(run.last, sentAt), number)
            return
        }
        if let run { burst = (burst * 7 + min(run.last - run.first, Self.longestBurst)) / 8 }
        run = (sentAt, sentAt, number)
    }

    private mutating func count(isLost: Bool) {
        concluded += 1
        if isLost { lost += 1 }
        if concluded >= Self.memory { (concluded, lost) = (concluded / 2, (lost + 1) / 2) }
    }
}
