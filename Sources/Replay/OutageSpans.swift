import MastLinkInference
import MastTimebase

/// The outages of a fitted link, to be asked about stretches of time.
struct OutageSpans {
    private let starts: [Interval]
    /// The latest end of each and those before it.
    private let ends: [Interval]

    init(_ link: LinkFit) {
        let outages = link.outages.filter { $0.kind != .senderIdle }.sorted { $0.start < $1.start }
        starts = outages.map(\.start)
        var ends: [Interval] = []
        for outage in outages { ends.append(max(ends.last ?? outage.start, outage.start + outage.length)) }
        self.ends = ends
    }

    /// Whether any of them lies between, in part at least; times since the fitted window's start.
    func touch(from: Interval, to: Interval) -> Bool {
        var (low, high) = (0, starts.count)
        while low < high {
            let middle = (low + high) / 2
            if starts[middle] < to { low = middle + 1 } else { high = middle }
        }
        return low > 0 && ends[low - 1] > from
    }
}
