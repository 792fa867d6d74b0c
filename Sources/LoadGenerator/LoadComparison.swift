import MastCapture

/// A run beside an earlier one.
package struct LoadComparison: Codable, Sendable, Equatable {
    /// What of an earlier run's JSON it needs.
    package struct Baseline: Decodable, Sendable {
        package var method: String
        package var load: String?
        package var count, succeeded, failed, latencyCount: Int
        package var averageMs, slowestMs: Double?
        package var requestsPerSecond: Double
        package var latencyDistribution: [LoadReport.Percentile]
        package var isVoid, isInterrupted: Bool
        package var late: LoadReport.Late?

        /// Why nothing can be judged by it; nil if something can.
        /// - Parameter load: as a report has it.
        package func unfit(for method: String, _ load: String) -> String? {
            if isVoid { return "that run was void" }
            if isInterrupted { return "that run was interrupted" }
            if self.method != method { return "it called \(self.method)" }
            if let own = self.load, own != load { return "its load was \(own), and this one's is \(load)" }
            return nil
        }

        fileprivate func isFirm(_ percent: Double) -> Bool { LoadReport.isFirm(percent, of: latencyCount, late: late) }
    }

    package struct Row: Codable, Sendable, Equatable {
        package var name: String
        package var before, now: Double?
        /// How much worse it is, as a share of what it was; below 0 is better. Nil where one of them is missing.
        package var worseShare: Double?
        /// Whether enough calls stand behind it to judge by it.
        package var isFirm: Bool
    }

    package var rows: [Row]
    /// The share beyond which a row counts as worse; nil where nobody asked.
    package var failAboveShare: Double?
    /// Names of the rows that are worse than that.
    package var worse: [String]
    /// Why the two are not quite alike.
    package var remarks: [String]

    /// Calls that a figure must rest on to be judged by.
    private static let fewest = 10

    package init(_ before: Baseline, _ now: LoadReport, failAbove: Double?) {
        func row(_ name: String, _ old: Double?, _ new: Double?, isFirm: Bool = true, higherIsBetter: Bool = false) -> Row {
            var worse: Double?
            if let old, let new {
                let change = higherIsBetter ? old - new : new - old
                // From nothing to something: as much again, at the least.
                worse = old > 0 ? change / old : change > 0 ? 1 : 0
            }
            return Row(name: name, before: old, now: new, worseShare: worse.map { LoadFigure.rounded($0) }, isFirm: isFirm)
        }
        let least = min(before.succeeded, now.succeeded)
        var rows = [row("average ms", before.averageMs, now.averageMs, isFirm: least >= Self.fewest)]
        for percent in LoadReport.percents where percent >= 50 {
            let old = before.latencyDistribution.first { $0.percent == percent }?.latencyMs
            rows.append(
                row("\(LoadFigure.percentile(percent)) % ms", old, now.latency(percent), isFirm: before.isFirm(percent) && now.isFirm(percent)))
        }
        rows.append(row("requests/s", before.requestsPerSecond, now.requestsPerSecond, isFirm: least >= Self.fewest, higherIsBetter: true))
        let failedBefore = before.count == 0 ? 0 : Double(before.failed) / Double(before.count)
        rows.append(row("failed %", failedBefore * 100, now.failedShare * 100, isFirm: max(before.failed, now.failed) >= Self.fewest))
        failAboveShare = failAbove
        var worse = failAbove.map { bound in rows.filter { $0.isFirm && ($0.worseShare ?? 0) > bound }.map(\.name) } ?? []
        // Of a baseline with latencies, none at all are worse than any.
        if failAbove != nil, before.succeeded > 0, now.succeeded == 0 { worse.append("no call succeeded") }
        (self.rows, self.worse, remarks) = (rows, worse, [])
        if before.method != now.method { remarks.append("the earlier run called \(before.method)") }
        if let load = before.load, load != now.load { remarks.append("the earlier run's load was \(load)") }
        if before.isVoid { remarks.append("the earlier run was void") }
        if before.isInterrupted { remarks.append("the earlier run was interrupted") }
    }

    package var text: String {
        let table = rows.map { row in
            func figure(_ value: Double?) -> String { value.map { TextLayout.fixed($0, 3) } ?? "-" }
            var judgement = row.worseShare.map { $0 > 0 ? "\(LoadFigure.percent($0)) worse" : $0 < 0 ? "\(LoadFigure.percent(-$0)) better" : "the same" } ?? "-"
            if !row.isFirm { judgement += " (too few calls to judge by)" }
            if worse.contains(row.name) { judgement += "  BEYOND \(LoadFigure.percent(failAboveShare ?? 0))" }
            return [row.name, figure(row.before), figure(row.now), judgement]
        }
        let lines = TextLayout.table([["", "before", "now", ""]] + table, left: [0, 3]).map { "  " + $0 }
        return (["", "Against the baseline:"] + lines + remarks.map { "  Note: \($0)" }).joined(separator: "\n") + "\n"
    }
}
