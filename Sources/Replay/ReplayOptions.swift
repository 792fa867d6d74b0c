import MastLinkInference
import MastLinkModel
import MastTimebase

/// How a capture is replayed.
package struct ReplayOptions: Sendable {
    package enum Mode: String, Hashable, Sendable, CaseIterable {
        /// The capture's conversations, over its link.
        case load
        /// Runs of a sample application, over the capture's link.
        case link
    }

    package enum Kill: Hashable, Sendable {
        case halfway
        /// Since the first call; in order.
        case at([Interval])
        case never
    }

    package var mode = Mode.load
    /// In mode `load`.
    package var load = ReplayPace()
    package var seed: UInt64 = 1
    /// Nil: as many as a fifth of the fitted link carries, at most five a second.
    package var runs: Int?
    /// From the first call to the last; nil: the fitted window's length, but 20 to 60 seconds.
    package var duration: Interval?
    /// Nobody is killed unless somebody asks for it: a replay is to show what the link does.
    package var kill = Kill.never
    /// On the client's link, since the first call; beside those that the capture shows.
    package var outages: [Outage] = []

    package init() {}

    package static let durations = Interval.seconds(20)...Interval.seconds(60)
    package static let mostRuns = 20_000
    package static let longestDuration = Interval.seconds(3_600)
    /// Virtual time for setting the cloud up.
    static let setUp = Interval.seconds(120)
    static let quickestPace = Interval.milliseconds(200)

    func duration(for fit: LinkFit?) -> Interval {
        if let duration { return min(max(duration, .milliseconds(1)), Self.longestDuration) }
        guard let fit else { return Self.durations.upperBound }
        return min(max(fit.window.length, Self.durations.lowerBound), Self.durations.upperBound)
    }

    /// How many runs, when one carries `meanBytes`.
    func runs(for fit: LinkFit?, over duration: Interval, meanBytes: (up: Int, down: Int)) -> Int {
        if let runs { return min(max(1, runs), Self.mostRuns) }
        guard let fit else { return min(max(1, Int(duration.nanoseconds / Self.quickestPace.nanoseconds)), Self.mostRuns) }
        let pace = max(Self.quickestPace, Self.pace(fit.up, meanBytes.up), Self.pace(fit.down, meanBytes.down))
        return min(max(1, Int(duration.nanoseconds / max(1, pace.nanoseconds))), Self.mostRuns)
    }

    /// The time in which a fifth of the mean rate carries one message and its packets' overhead.
    private static func pace(_ direction: LinkFit.Direction, _ bytes: Int) -> Interval {
        var sum: Int64 = 0
        let rates = direction.assumedRates
        for rate in rates { sum += min(rate.bitsPerSecond, 1_000_000_000_000) }
        let mean = Rate(bitsPerSecond: max(1, sum / Int64(max(1, rates.count)) / 5))
        return min(mean.time(forBytes: Int64(bytes) + 400), .seconds(10))
    }
}
