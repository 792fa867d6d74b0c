import MastCapture
import MastTimebase

extension LoadReport {
    /// A run under way.
    package struct Progress: Sendable {
        private let elapsed: Interval
        /// Of the whole; nil where only a number of calls ends it.
        private let length: Interval?
        private let inFlight: Int
        /// Calls a second that are due now; nil in a closed loop.
        private let rate: Double?

        package init(elapsed: Interval, length: Interval?, inFlight: Int, rate: Double?) {
            (self.elapsed, self.length, self.inFlight, self.rate) = (elapsed, length, inFlight, rate)
        }

        package func text(_ collector: LoadCollector) -> String {
            let time = TextLayout.fixed(elapsed.inSeconds, 0)
            var parts = [length.map { "\(time) of \(TextLayout.fixed($0.inSeconds, 0)) s" } ?? "\(time) s"]
            let ended = elapsed > .zero ? Double(collector.count - collector.notSent) / elapsed.inSeconds : 0
            parts.append((rate.map { "due \(TextLayout.fixed($0, 0))/s, " } ?? "") + "ended \(TextLayout.fixed(ended, 0))/s")
            if let half = collector.latencies.percentile(50), let most = collector.latencies.percentile(99) {
                parts.append("p50 \(LoadFigure.time(half)), p99 \(LoadFigure.time(most))")
            }
            parts.append("\(inFlight) in flight")
            if collector.failed > 0 { parts.append("\(collector.failed) failed") }
            if rate != nil {
                let share = collector.count == 0 ? 0 : Double(collector.lateByGenerator) / Double(collector.count)
                parts.append("late \(LoadFigure.percent(share))" + (share > LoadReport.mostLate ? " (void)" : ""))
            }
            return parts.joined(separator: " · ")
        }
    }
}
