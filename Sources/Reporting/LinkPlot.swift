import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase

/// What a plot of a link shows: rates in bins of time, and each packet's time in the queue.
package struct LinkPlot: Encodable {
    package var name: String
    /// Nil where the input does not say which.
    package var direction: LinkDirection?
    package var durationS = 0.0
    package var binS = 1.0
    /// Mbit/s in each bin; empty where nothing says so.
    package var capacityMbps: [Double] = []
    package var arrivalMbps: [Double] = []
    package var departureMbps: [Double] = []
    /// The longest time in the queue of what left in each bin.
    package var queueDelayMs: [Double] = []
    package var droppedPackets: [Int] = []
    /// One way, at each bin's beginning; empty where it does not change.
    package var delayMs: [Double] = []
    package var outages: [Outage] = []
    /// What else is known of the link, each in a few words.
    package var facts: [String] = []
    package var summary = Summary()

    package struct Summary: Encodable {
        package var meanCapacityMbps: Double?
        var meanArrivalMbps: Double?
        var meanThroughputMbps: Double?
        var utilisation: Double?
        var queueDelayP50Ms: Double?
        var queueDelayP95Ms: Double?
        /// How long a message would have taken at least, at each millisecond: what mm-delay-graph calls signal delay.
        var signalDelayP95Ms: Double?
        var arrivedPackets: Int?
        var departedPackets: Int?
        var droppedPackets: Int?
        /// Of a capacity's time, in gaps of 200 ms or more.
        var gapShare: Double?
        /// Of the time that is shown, in outages.
        var outageShare: Double?
    }

    /// Columns that a plot distinguishes.
    package static let bins = 480

    /// A log, as `LinkLogReader` gives it.
    package struct Builder {
        /// Rates are gathered in milliseconds, or in wider bins when the log is longer than this many of them.
        private static let mostBins = 1 << 16
        private var width: Int64 = 1_000_000
        private var capacity: [Int] = []
        private var arrivals: [Int] = []
        private var departures: [Int] = []
        private var drops: [Int] = []
        private var slowest: [Int64] = []
        private var delays = IntervalHistogram()
        private var signals = IntervalHistogram()
        /// The least delay of the packets sent at one millisecond, of those whose signal delay is open.
        private var sent: (at: Int64, least: Int64)?
        private var first: Int64?
        private var last: Int64 = 0
        private var counts = (arrived: 0, departed: 0, dropped: 0)
        private var bytes = (offered: 0, arrived: 0, departed: 0)
        private var hasCapacity = false

        package init() {}

        package mutating func add(_ entry: LinkLogReader.Entry) {
            let at = max(0, entry.at)
            first = min(first ?? at, at)
            last = max(last, at)
            let bin = place(at)
            switch entry.kind {
            case .arrival:
                arrivals[bin] += entry.bytes
                counts.arrived += 1
                bytes.arrived += entry.bytes
            case .opportunity:
                hasCapacity = true
                capacity[bin] += entry.bytes
                bytes.offered += entry.bytes
            case .departure(let waited):
                departures[bin] += entry.bytes
                counts.departed += 1
                bytes.departed += entry.bytes
                slowest[bin] = max(slowest[bin], waited)
                delays.add(Interval(nanoseconds: waited))
                signal(sentAt: (at - waited) / 1_000_000, waited: waited)
            case .drop(let packets):
                drops[bin] += packets
                counts.dropped += packets
            }
        }

        /// A message of a moment at which nothing was sent waits for the next packet, and then as long as that.
        private mutating func signal(sentAt: Int64, waited: Int64) {
            guard let open = sent, sentAt > open.at else {
                sent = (max(sentAt, sent?.at ?? sentAt), min(waited, sent?.least ?? waited))
                return
            }
            signals.add(Interval(nanoseconds: open.least))
            // A log may be silent for years: a day's milliseconds in all are looked at.
            let steps = min(sentAt - open.at, 86_400_000 - Int64(signals.count))
            for back in 1..<max(1, steps) {
                signals.add(Interval(nanoseconds: waited + back * 1_000_000))
            }
            sent = (sentAt, waited)
        }

        private mutating func place(_ at: Int64) -> Int {
            while at / width >= Int64(Self.mostBins) { widen() }
            let bin = Int(at / width)
            if bin >= arrivals.count {
                let more = bin + 1 - arrivals.count
                let zeros = [Int](repeating: 0, count: more)
                capacity += zeros
                arrivals += zeros
                departures += zeros
                drops += zeros
                slowest += [Int64](repeating: 0, count: more)
            }
            return bin
        }

        private mutating func widen() {
            width *= 2
            func halved(_ values: [Int]) -> [Int] {
                stride(from: 0, to: values.count, by: 2).map { values[$0] + ($0 + 1 < values.count ? values[$0 + 1] : 0) }
            }
            (capacity, arrivals, departures, drops) = (halved(capacity), halved(arrivals), halved(departures), halved(drops))
            slowest = stride(from: 0, to: slowest.count, by: 2).map { max(slowest[$0], $0 + 1 < slowest.count ? slowest[$0 + 1] : 0) }
        }

        package func plot(name: String, direction: LinkDirection?) -> LinkPlot {
            var signals = signals
            if let sent { signals.add(Interval(nanoseconds: sent.least)) }
            var plot = LinkPlot(name: LinkPlot.title(name, direction), direction: direction)
            let begin = first ?? 0
            let duration = Double(last - begin) / 1e9
            plot.durationS = duration
            let step = max(1, (arrivals.count + LinkPlot.bins - 1) / LinkPlot.bins)
            plot.binS = Double(width) * Double(step) / 1e9
            let seconds = plot.binS
            func rates(_ values: [Int]) -> [Double] {
                stride(from: 0, to: values.count, by: step).map { from in
                    Double(values[from..<min(values.count, from + step)].reduce(0, +)) * 8 / seconds / 1e6
                }
            }
            plot.arrivalMbps = rates(arrivals)
            plot.departureMbps = rates(departures)
            if hasCapacity { plot.capacityMbps = rates(capacity) }
            for from in stride(from: 0, to: arrivals.count, by: step) {
                let range = from..<min(arrivals.count, from + step)
                plot.queueDelayMs.append(Double(slowest[range].max() ?? 0) / 1e6)
                plot.droppedPackets.append(drops[range].reduce(0, +))
            }
            func mean(_ bytes: Int) -> Double? { duration > 0 ? Double(bytes) * 8 / duration / 1e6 : nil }
            plot.summary.meanArrivalMbps = mean(bytes.arrived)
            plot.summary.meanThroughputMbps = mean(bytes.departed)
            if hasCapacity {
                plot.summary.meanCapacityMbps = mean(bytes.offered)
                plot.summary.utilisation = Double(bytes.departed) / Double(max(1, bytes.offered))
            }
            // The rank that mm-delay-graph takes: that of 0.95 × count, counted from 0.
            func quantile(_ share: Double, _ delays: IntervalHistogram) -> Double? {
                let rank = (share * Double(delays.count)).rounded(.down) + 0.5
                return delays.quantile(rank / Double(max(1, delays.count)))?.inMilliseconds
            }
            plot.summary.queueDelayP50Ms = quantile(0.5, delays)
            plot.summary.queueDelayP95Ms = quantile(0.95, delays)
            plot.summary.signalDelayP95Ms = quantile(0.95, signals)
            (plot.summary.arrivedPackets, plot.summary.departedPackets) = (counts.arrived, counts.departed)
            plot.summary.droppedPackets = counts.dropped
            return plot
        }
    }

    init(name: String, direction: LinkDirection? = nil) { (self.name, self.direction) = (name, direction) }

    package func text(width: Int) -> String {
        let columns = max(20, width - 22)
        let top = (capacityMbps + arrivalMbps + departureMbps).max() ?? 0
        var lines = ["\(name): \(TextLayout.duration(durationS))"]
        func row(_ label: String, _ values: [Double], top: Double, _ note: String) {
            guard !values.isEmpty else { return }
            lines.append(label + String(repeating: " ", count: max(1, 12 - label.count)) + TextLayout.sparkline(values, columns: columns, top: top) + " " + note)
        }
        row("capacity", capacityMbps, top: top, mean(summary.meanCapacityMbps))
        if !outages.isEmpty { lines.append("outages     " + outageMarks(columns)) }
        row("arrivals", arrivalMbps, top: top, mean(summary.meanArrivalMbps))
        row("departures", departureMbps, top: top, mean(summary.meanThroughputMbps))
        if let most = queueDelayMs.max(), most > 0 { row("queue delay", queueDelayMs, top: most, "\(TextLayout.fixed(most, 1)) ms") }
        if droppedPackets.contains(where: { $0 > 0 }) {
            row("drops", droppedPackets.map { Double($0) }, top: Double(droppedPackets.max() ?? 1), "\(summary.droppedPackets ?? 0)")
        }
        func figure(_ label: String, _ value: Double?, _ unit: String, _ digits: Int) {
            if let value { lines.append("\(label) \(TextLayout.fixed(value, digits)) \(unit)") }
        }
        if let most = delayMs.max(), most > 0 { row("delay", delayMs, top: most, "up to \(TextLayout.fixed(most, 1)) ms") }
        for fact in facts { lines.append(fact) }
        for outage in outages.prefix(10) { lines.append("outage: \(outage.kind) from \(TextLayout.fixed(outage.startS, 3)) s for \(TextLayout.fixed(outage.endS - outage.startS, 3)) s") }
        if outages.count > 10 { lines.append("\(outages.count - 10) more outages") }
        figure("average capacity", summary.meanCapacityMbps, "Mbit/s", 2)
        figure("average throughput", summary.meanThroughputMbps, "Mbit/s" + (summary.utilisation.map { " (\(TextLayout.fixed($0 * 100, 1)) % utilisation)" } ?? ""), 2)
        figure("95th percentile of queueing delay", summary.queueDelayP95Ms, "ms", 1)
        figure("95th percentile of signal delay", summary.signalDelayP95Ms, "ms", 1)
        figure("silent for 200 ms or more:", summary.gapShare.map { $0 * 100 }, "% of the time", 1)
        if !outages.isEmpty { figure("in outages:", summary.outageShare.map { $0 * 100 }, "% of the time", 1) }
        return lines.joined(separator: "\n") + "\n"
    }

    /// A cross where an outage was.
    private func outageMarks(_ columns: Int) -> String {
        let bins = max(1, capacityMbps.isEmpty ? delayMs.count : capacityMbps.count)
        let columns = min(columns, bins)
        var marks = [Character](repeating: " ", count: columns)
        guard durationS > 0 else { return "" }
        for outage in outages {
            let (from, to) = (outage.startS / durationS * Double(columns), outage.endS / durationS * Double(columns))
            for column in max(0, Int(from))..<max(Int(from) + 1, min(columns, Int(to.rounded(.up)))) where column < columns { marks[column] = "×" }
        }
        return String(marks)
    }

    private func mean(_ value: Double?) -> String { value.map { TextLayout.fixed($0, 2) + " Mbit/s" } ?? "" }
}
