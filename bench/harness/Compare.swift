import ArgumentParser
import Foundation

/// `bench/compare OLD NEW`.
struct Compare: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compare", abstract: "Shows what changed between two result files, and fails on a regression beyond the noise.",
        discussion: "A change counts when it is larger than --least and the two spreads (least to most of the repetitions) do not overlap.")

    @Argument(help: "A result file of bench/run.") var old: String
    @Argument(help: "A later one of the same plan.") var new: String
    @Option(help: "Changes of less than this share are noise.") var least = 0.05
    @Flag(help: "Print one JSON array.") var json = false

    struct Change: Encodable {
        var link, workload, contender, figure: String
        var old, new: Double
        /// Above 1 is better.
        var ratio: Double
        var verdict: String
    }

    func run() throws {
        let (before, after) = (try Results.load(old), try Results.load(new))
        var changes: [Change] = []
        for section in after.sections {
            guard let earlier = before.sections.first(where: { $0.link == section.link && $0.workload == section.workload }) else { continue }
            for group in section.groups {
                guard let then = earlier.groups.first(where: { $0.contender == group.contender }) else { continue }
                if then.good.count > 0, group.good.isEmpty {
                    changes.append(Change(link: group.link, workload: group.workload, contender: group.contender, figure: "runs", old: Double(then.good.count), new: 0, ratio: 0, verdict: "regression"))
                    continue
                }
                let figures: [(String, Bool, (Run) -> Double?)] =
                    Figure(section) == .latency
                    ? [("p50 ms", false, { $0.latency(50) }), ("p90 ms", false, { $0.latency(90) }), ("p99 ms", false, { $0.latency(99) }), ("wire B/call", false, \.wirePerCall)]
                    : [("Mbit/s", true, \.megabitsPerSecond), ("wire/useful", false, \.wirePerUseful)]
                for (name, isMoreBetter, value) in figures {
                    if let change = compare(then, group, name, isMoreBetter, value) { changes.append(change) }
                }
            }
        }
        guard !changes.isEmpty else { throw BenchError("the two files have no link, workload and contender in common") }
        if json {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            print(String(decoding: try encoder.encode(changes), as: UTF8.self))
        } else {
            for change in changes where change.verdict != "same" {
                print("\(change.verdict.uppercased()) \(change.workload), \(change.link), \(change.contender): \(change.figure) \(MarkdownTable.number(change.old)) → \(MarkdownTable.number(change.new))")
            }
            let counts = Dictionary(grouping: changes, by: \.verdict).mapValues(\.count)
            print("\(changes.count) figures: \(counts["regression"] ?? 0) worse, \(counts["improvement"] ?? 0) better, \(counts["same"] ?? 0) within the noise")
        }
        if changes.contains(where: { $0.verdict == "regression" }) { throw ExitCode(1) }
    }

    private func compare(_ then: Results.Group, _ now: Results.Group, _ name: String, _ isMoreBetter: Bool, _ value: (Run) -> Double?) -> Change? {
        guard let a = then.median(value), let b = now.median(value), let before = then.range(value), let after = now.range(value), a > 0, b > 0 else { return nil }
        let ratio = isMoreBetter ? b / a : a / b
        let isApart = !before.overlaps(after) && abs(ratio - 1) > least
        return Change(
            link: now.link, workload: now.workload, contender: now.contender, figure: name, old: a, new: b, ratio: ratio,
            verdict: !isApart ? "same" : ratio < 1 ? "regression" : "improvement")
    }
}
