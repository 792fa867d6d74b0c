import Foundation

/// Medians over the repetitions with their spread; failures in plain sight.
enum MarkdownTable {
    static func text(_ results: Results) -> String {
        var out = "# \(results.plan), \(results.date)\n\n"
        out += results.machine.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: "; ") + "; seed \(results.seed)\n"
        var heading = ""
        for group in results.groups {
            let title = "\(group.workload) on \(group.link)"
            if title != heading {
                heading = title
                out += "\n## \(title)\n\n| contender | p50 ms (min–max) | p99 ms | calls/s | Mbit/s | runs |\n|---|---|---|---|---|---|\n"
            }
            out += row(group.contender, group.runs) + "\n"
        }
        return out
    }

    private static func row(_ name: String, _ runs: [Run]) -> String {
        let good = runs.filter { $0.state == "ok" }
        let bad = runs.count - good.count
        guard !good.isEmpty else { return "| \(name) | **\(runs[0].state)**: \(runs[0].reason ?? "no reason given") | | | | 0 of \(runs.count) |" }
        let p50 = good.map { Double($0.p50Nanoseconds) / 1e6 }
        func number(_ value: Double) -> String { String(format: value < 10 ? "%.2f" : "%.0f", value) }
        let spread = "\(number(Statistics.median(p50))) (\(number(p50.min() ?? 0))–\(number(p50.max() ?? 0)))"
        let others = [
            good.map { Double($0.p99Nanoseconds) / 1e6 }, good.map(\.callsPerSecond), good.map(\.megabitsPerSecond),
        ].map { number(Statistics.median($0)) }.joined(separator: " | ")
        return "| \(name) | \(spread) | \(others) | \(good.count) of \(runs.count)\(bad > 0 ? ", **\(bad) failed**" : "") |"
    }
}
