import Foundation

/// The tables for a terminal: aligned columns, one section after the other.
enum TerminalSummary {
    static func text(_ results: Results) -> String {
        var out = "\n\(results.plan): \(results.about)\n"
        for section in results.sections {
            out += "\n\(section.workload), \(section.link)\n" + aligned(MarkdownTable.table(section, results))
        }
        if results.ceilings.values.contains(where: { $0 > 0 }) {
            out += "\nLoopback ceilings, Mbit/s: " + results.ceilings.sorted { $0.value > $1.value }.map { "\($0.key) \(MarkdownTable.number($0.value))" }.joined(separator: ", ") + "\n"
        }
        for line in results.calibration {
            out += "\(line.what): \(String(format: "%.3f", line.mbps)) Mbit/s, round trip p50 \(MarkdownTable.number(line.rttP50Ms)) ms, p99 \(MarkdownTable.number(line.rttP99Ms)) ms\n"
        }
        return out
    }

    private static func aligned(_ table: String) -> String {
        let lines = table.split(separator: "\n").map(String.init)
        let rows = lines.filter { $0.hasPrefix("|") && !$0.hasPrefix("|--") }.map { line in
            line.dropFirst().dropLast().split(separator: "|", omittingEmptySubsequences: false).map {
                $0.trimmingCharacters(in: .whitespaces).replacingOccurrences(of: "*", with: "")
            }
        }
        let columns = rows.map(\.count).max() ?? 0
        // What went wrong is a sentence in the second column, and not a reason to widen it.
        let widths = (0..<columns).map { column in
            rows.filter { $0.count > column && !($0.count > 2 && column == 1 && $0[2].isEmpty) }.map { $0[column].count }.max() ?? 0
        }
        var out = ""
        for row in rows {
            let cells = row.enumerated().map { index, cell in
                let pad = String(repeating: " ", count: max(0, widths[index] - cell.count))
                return index == 0 ? cell + pad : pad + cell
            }
            out += "  " + cells.joined(separator: "  ").replacingOccurrences(of: "\\s+$", with: "", options: .regularExpression) + "\n"
        }
        return out + lines.filter { !$0.hasPrefix("|") && !$0.isEmpty }.map { "  \($0)\n" }.joined()
    }
}
