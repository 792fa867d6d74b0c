import Foundation
import MastCalls
import MastCapture

/// What one phase of the demo saw.
struct DemoPhase: Sendable {
    var name: String
    var latenciesMs: [Double] = []
    var failed = 0
    /// In order of first appearance.
    var servedBy: [(name: String, runs: Int)] = []
    var retransmitted: UInt64 = 0
    /// Runs answered by a node that this phase is not about: the phase shows nothing then.
    var isAsExpected = true
    var failures: [String] = []

    init(_ name: String) { self.name = name }

    var runs: Int { latenciesMs.count + failed }

    mutating func answered(by node: String, after latency: Interval) {
        latenciesMs.append(latency.inMilliseconds)
        if let index = servedBy.firstIndex(where: { $0.name == node }) { servedBy[index].runs += 1 } else { servedBy.append((node, 1)) }
    }

    /// Nearest rank; nil without a sample.
    func quantile(_ q: Double) -> Double? {
        guard !latenciesMs.isEmpty else { return nil }
        let sorted = latenciesMs.sorted()
        return sorted[min(sorted.count - 1, max(0, Int((q * Double(sorted.count)).rounded(.up)) - 1))]
    }
}

/// The demo's outcome. A run is *lost* when it failed, *duplicated* when a second result reached the pool for its id
/// or its bytes differ from what the search gives when done here.
struct DemoReport: Sendable {
    var phases: [DemoPhase]
    var lost: Int
    var duplicated: Int
    var retransmitted: UInt64
    var radioOutages: Int
    var failovers: Int
    var captureName: String
    var windowText: String
    var seed: UInt64
    var seconds: Double

    var passed: Bool { lost == 0 && duplicated == 0 && phases.allSatisfy(\.isAsExpected) }

    var verdict: String {
        let runs = phases.reduce(0) { $0 + $1.runs }
        if passed {
            return "PASS: \(runs) runs over \(captureName), two stations killed and one brought back; none lost, none answered twice"
        }
        if lost > 0 || duplicated > 0 { return "FAIL: of \(runs) runs \(lost) lost, \(duplicated) answered twice or wrongly" }
        let odd = phases.filter { !$0.isAsExpected }.map(\.name).joined(separator: ", ")
        return "FAIL: every run was answered once, but not by the node that should have served: \(odd)"
    }

    var text: String {
        let number = { (value: Double?) in value.map { String(format: "%.1f", $0) } ?? "-" }
        var rows = [["phase", "runs", "failed", "served by", "p50 ms", "p95 ms", "p99 ms", "n", "sent again"]]
        for phase in phases {
            let nodes = phase.servedBy.map { "\($0.name) \($0.runs)" }.joined(separator: ", ")
            rows.append([
                phase.name, "\(phase.runs)", "\(phase.failed)", nodes.isEmpty ? "-" : nodes, number(phase.quantile(0.5)), number(phase.quantile(0.95)),
                number(phase.quantile(0.99)), "\(phase.latenciesMs.count)", "\(phase.retransmitted)",
            ])
        }
        let widths = rows[0].indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        var lines = rows.map { row in
            row.enumerated().map { column, cell in
                let gap = String(repeating: " ", count: widths[column] - cell.count)
                return column == 0 || column == 3 ? cell + gap : gap + cell
            }.joined(separator: "  ")
        }
        lines.insert(String(repeating: "-", count: lines.map(\.count).max() ?? 0), at: 1)
        lines.append("")
        lines.append("link: \(captureName), \(windowText); data center 60 ms away each way; seed \(seed); \(String(format: "%.1f", seconds)) s")
        lines.append("packets the client sent again: \(retransmitted); radio outages sat out: \(radioOutages); failovers: \(failovers)")
        for phase in phases { for failure in phase.failures.prefix(3) { lines.append("\(phase.name): \(failure)") } }
        lines.append(verdict)
        return lines.joined(separator: "\n") + "\n"
    }

    var json: JSON { JSON(self) }

    struct JSON: Encodable {
        struct Phase: Encodable {
            var name: String
            var calls, failed: Int
            var servedBy: [String: Int]
            var p50Ms, p95Ms, p99Ms: Double?
            var samples: Int
            var retransmitted: UInt64
        }
        var verdict: String
        var lost, duplicated: Int
        var phases: [Phase]
        var retransmitted: UInt64
        var radioOutages, failovers: Int
        var capture, window: String
        var seed: UInt64
        var durationS: Double

        init(_ report: DemoReport) {
            let round = { (value: Double?) in value.map { ($0 * 1_000).rounded() / 1_000 } }
            verdict = report.passed ? "pass" : "fail"
            (lost, duplicated, retransmitted) = (report.lost, report.duplicated, report.retransmitted)
            (radioOutages, failovers) = (report.radioOutages, report.failovers)
            (capture, window, seed, durationS) = (report.captureName, report.windowText, report.seed, round(report.seconds) ?? 0)
            phases = report.phases.map { phase in
                Phase(
                    name: phase.name, calls: phase.runs, failed: phase.failed,
                    servedBy: Dictionary(uniqueKeysWithValues: phase.servedBy.map { ($0.name, $0.runs) }), p50Ms: round(phase.quantile(0.5)),
                    p95Ms: round(phase.quantile(0.95)), p99Ms: round(phase.quantile(0.99)), samples: phase.latenciesMs.count,
                    retransmitted: phase.retransmitted)
            }
        }
    }
}
