import MastLinkInference
import MastTimebase

/// When of a replay what was recorded happens: its time zero is the first message, and a pause in which nobody said
/// anything is played up to a bound.
package struct PlayedTime: Sendable {
    /// Of the first message, since the fitted window's start.
    package private(set) var origin = Interval.zero
    /// Pauses that were made shorter: when they end, and by how much in all until then.
    private var cuts: [(end: Interval, sum: Interval)] = []

    /// Longer ones are played as this: nothing that a client or a server keeps lives longer.
    package static let longestPause = Interval.seconds(600)

    package init() {}

    /// - Parameter exchanges: in order of start.
    init(_ exchanges: [WorkloadFit.Exchange]) {
        guard let first = exchanges.first else { return }
        origin = first.start
        var until = first.end
        for exchange in exchanges {
            let pause = exchange.start - until
            if pause > Self.longestPause { cuts.append((exchange.start, cutTime + pause - Self.longestPause)) }
            until = max(until, exchange.end)
        }
    }

    package var cutCount: Int { cuts.count }
    /// By how much in all.
    package var cutTime: Interval { cuts.last?.sum ?? .zero }

    /// - Parameter time: since the fitted window's start.
    /// - Returns: since the first message.
    func callAsFunction(_ time: Interval) -> Interval {
        // The last pause that is over by then.
        var (low, high) = (0, cuts.count)
        while low < high {
            let middle = (low + high) / 2
            if cuts[middle].end <= time { low = middle + 1 } else { high = middle }
        }
        return time - origin - (low > 0 ? cuts[low - 1].sum : .zero)
    }
}
