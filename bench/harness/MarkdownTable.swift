import Foundation

/// Medians over the repetitions with their spread; failures in plain sight.
enum MarkdownTable {
    static func text(_ results: Results) -> String {
        var out = "# \(results.plan), \(results.date)\n\n\(results.about)\n\n"
        out += "`\(results.command)`, seed \(results.seed), \(results.repetitions) repetitions, contenders taking turns. "
        out += results.machine.sorted { $0.key < $1.key }.map { "\($0.key): \($0.value)" }.joined(separator: "; ") + "\n\n"
        out += legend + "\n" + overview(results)
        for section in results.sections { out += "\n## \(section.workload), \(section.link)\n\n" + table(section, results) }
        out += "\n## Contenders\n\n| contender | version | encrypted | when the client's address changes | loopback Mbit/s |\n|---|---|---|---|--:|\n"
        for (name, said) in results.contenders.sorted(by: { $0.key < $1.key }) {
            out += "| \(name) | \(version(said)) | \(results.encrypted[name] ?? "") | \(results.migration[name] ?? "") | \(number(results.ceilings[name])) |\n"
        }
        if let limits = results.machineLimits {
            out += "\n## What the machine allows\n\nBest of three, by `contenders/c/machine.c` (one end) and `limit.c` (both ends).\n\n| | |\n|---|--:|\n"
            for (name, value) in limits.sorted(by: { $0.key < $1.key }) { out += "| \(name) | \(number(value)) |\n" }
        }
        if let allocations = results.allocations {
            out += "\n## Allocations of a call\n\nOf 64 bytes, one at a time; the slope between a short and a longer run.\n\n| contender | client | server |\n|---|--:|--:|\n"
            for (name, ends) in allocations.sorted(by: { $0.key < $1.key }) { out += "| \(name) | \(number(ends.client)) | \(number(ends.server)) |\n" }
        }
        if !results.calibration.isEmpty {
            out += "\n## Calibration\n\nA plain UDP probe over our link and over the kernel's token bucket at the same rate and delay.\n\n"
            out += "| link | Mbit/s | round trip p50 ms | p99 ms |\n|---|--:|--:|--:|\n"
            for line in results.calibration {
                out += "| \(line.what) | \(String(format: "%.3f", line.mbps)) | \(number(line.rttP50Ms)) | \(number(line.rttP99Ms)) |\n"
            }
        }
        return out
    }

    static let legend = """
        Latencies are of calls, from when each should have begun, over the calls of all repetitions together, with the least and the most of \
        single repetitions; a p99 rests on at least 1,000 calls, or is not given. Rates are medians of the repetitions. *of limit* is \
        the figure over what the very same link would have allowed an omniscient sender at that run's own times (latency: limit over \
        measured, rate: measured over limit). *vs ours* is the median of the ratios in the same repetition, above 1 where the contender did better. \
        *Packet delay* is one way, 95 % of the packets of the transfer's direction. *wire* counts IP bytes of all that the link was \
        offered, set-up included, over useful bytes, or per call. *CPU* is of both ends together; *a core* is over that. † too slow on the loopback to be ranked on this link.

        """

    /// A row for each contender, a column for each link and workload: medians.
    static func overview(_ results: Results) -> String {
        let sections = results.sections
        func isMixed(_ section: Results.Section) -> Bool { Figure(section) == .latency && section.groups.contains { $0.runs.contains { $0.limitMbps != nil } } }
        let heads = sections.map { section in
            "\(section.workload), \(section.link): " + (Figure(section) == .rate ? "Mbit/s" : isMixed(section) ? "p50 / p99 ms, Mbit/s" : "p50 / p99 ms")
        }
        var out = "| | " + heads.joined(separator: " | ") + " |\n|---|" + String(repeating: "--:|", count: heads.count) + "\n"
        func cell(_ p50: Double?, _ p99: Double?, _ rate: Double?, _ section: Results.Section) -> String {
            if Figure(section) == .rate { return number(rate) }
            return "\(number(p50)) / \(number(p99))" + (isMixed(section) ? ", \(number(rate))" : "")
        }
        for name in HTMLReport.names(results) {
            let cells = sections.map { section -> String in
                guard let group = section.groups.first(where: { $0.contender == name }) else { return "" }
                let bad = group.runs.filter { $0.state != .ok }
                guard !group.good.isEmpty else { return bad[0].state.rawValue }
                let figures = cell(group.latency(50), group.latency(99), group.median(\.megabitsPerSecond), section)
                return figures + (results.isInterpreterLimited(name, in: section) ? " †" : "") + (bad.isEmpty ? "" : " (\(bad.count) of \(group.runs.count) failed)")
            }
            out += "| \(name == "ours" ? "**ours**" : name) | " + cells.joined(separator: " | ") + " |\n"
        }
        let limits = sections.map { section -> String in
            let good = section.groups.flatMap(\.good)
            return cell(section.limit(50), section.limit(99), Statistics.median(good.compactMap(\.limitMbps)), section)
        }
        return out + "| *limit* | " + limits.joined(separator: " | ") + " |\n"
    }

    static func version(_ said: String) -> String {
        guard let object = try? JSONSerialization.jsonObject(with: Data(said.utf8)) as? [String: Any] else { return said }
        return [object["version"], object["notes"]].compactMap { $0 as? String }.filter { !$0.isEmpty }.joined(separator: "; ")
    }

    static func number(_ value: Double?) -> String {
        guard let value else { return "–" }
        return String(format: abs(value) < 1 ? "%.3f" : abs(value) < 10 ? "%.2f" : abs(value) < 100 ? "%.1f" : "%.0f", value)
    }

    private static func spread(_ group: Results.Group, _ value: (Run) -> Double?) -> String {
        guard let median = group.median(value), let range = group.range(value) else { return "–" }
        return range.lowerBound == range.upperBound ? number(median) : "\(number(median)) (\(number(range.lowerBound))–\(number(range.upperBound)))"
    }

    /// Of all repetitions' calls together, with the least and the most of the repetitions where each has calls enough.
    private static func pooled(_ group: Results.Group, _ percent: Double) -> String {
        guard let value = group.latency(percent) else { return "– (\(group.answered) calls)" }
        let single = group.good.compactMap { $0.latency(percent) }
        guard single.count == group.good.count, let low = single.min(), let high = single.max(), low < high else { return number(value) }
        return "\(number(value)) (\(number(low))–\(number(high)))"
    }

    static func table(_ section: Results.Section, _ results: Results) -> String {
        let figure = Figure(section)
        let ours = section.groups.first { $0.contender == "ours" }
        var columns = ["contender"]
        if figure == .latency { columns += ["p50 ms", "p90 ms", "p99 ms", "calls/s"] }
        columns += ["Mbit/s", "of limit", "vs ours"]
        let isMixed = figure == .latency && section.groups.contains { $0.runs.contains { $0.limitMbps != nil } }
        if figure == .rate { columns += ["packet delay ms", "wire/useful"] } else { columns.append(isMixed ? "packet delay ms" : "wire B/call") }
        columns += [figure == .latency ? "CPU µs/call" : "Mbit/s a core", "runs"]
        let hasMemory = section.groups.contains { $0.runs.contains { $0.bytesPerConnection != nil } }
        if hasMemory { columns.insert("kB/connection", at: columns.count - 1) }
        var out = "| " + columns.joined(separator: " | ") + " |\n|---|" + String(repeating: "--:|", count: columns.count - 1) + "\n"
        // Best first; what did not work last.
        let order = section.groups.sorted { a, b in
            switch (a.median(figure.value), b.median(figure.value)) {
            case (let x?, let y?): figure == .latency ? x < y : x > y
            case (_?, nil): true
            default: false
            }
        }
        for group in order {
            let bad = group.runs.filter { $0.state != .ok }
            let mark = results.isInterpreterLimited(group.contender, in: section) ? " †" : ""
            var cells = [(group.contender == "ours" ? "**ours**" : group.contender) + mark]
            if group.good.isEmpty {
                let first = bad[0]
                let reason = (first.reason ?? "no reason given").replacingOccurrences(of: "|", with: "/").prefix(120)
                cells.append("**\(first.state.rawValue)**: \(reason)")
                cells += [String](repeating: "", count: columns.count - 3)
            } else {
                if figure == .latency { cells += [pooled(group, 50), pooled(group, 90), pooled(group, 99), number(group.median(\.callsPerSecond))] }
                cells.append(figure == .rate ? spread(group, \.megabitsPerSecond) : number(group.median(\.megabitsPerSecond)))
                let share = group.median { run in
                    figure == .latency
                        ? run.limitP50Ms.flatMap { limit in run.latency(50).map { limit / $0 } }
                        : run.limitMbps.map { run.megabitsPerSecond / $0 }
                }
                cells.append(share.map { "\(number($0 * 100)) %" } ?? "–")
                let ratios = ours.map { figure.ratios(group, to: $0) } ?? []
                cells.append(group.contender == "ours" ? "1" : number(Statistics.median(ratios)))
                if figure == .rate || isMixed { cells.append(number(group.median(\.packetDelayP95Ms))) }
                if !isMixed { cells.append(number(group.median(figure == .rate ? \.wirePerUseful : \.wirePerCall))) }
                cells.append(number(group.median(figure == .latency ? \.cpuMicrosecondsPerCall : \.megabitsPerSecondAndCore)))
                if hasMemory { cells.append(number(group.median { $0.bytesPerConnection.map { Double($0) / 1000 } })) }
            }
            cells.append(bad.isEmpty ? "\(group.runs.count)" : "\(group.good.count), **\(bad.count) \(bad[0].state.rawValue)**")
            out += "| " + cells.joined(separator: " | ") + " |\n"
        }
        if figure == .latency {
            if let p50 = section.limit(50), let p90 = section.limit(90) {
                let rate = isMixed ? " |  | \(number(Statistics.median(section.groups.flatMap(\.good).compactMap(\.limitMbps)))) |" : ""
                out += "| *limit* | \(number(p50)) | \(number(p90)) | \(number(section.limit(99))) |" + rate
                out += String(repeating: " |", count: columns.count - (isMixed ? 6 : 4)) + "\n"
            }
        } else if let limit = Statistics.median(section.groups.flatMap(\.good).compactMap(\.limitMbps)) {
            out += "| *limit* | \(number(limit)) |" + String(repeating: " |", count: columns.count - 2) + "\n"
        }
        return out + shares(section)
    }

    /// Of clients that shared the link: who got how much.
    private static func shares(_ section: Results.Section) -> String {
        let together = Dictionary(grouping: section.groups.flatMap(\.good), by: { "\($0.repetition)" })
        let names = section.groups.map(\.contender)
        var out = ""
        for first in names where !first.contains(" beside ") {
            guard let second = names.first(where: { $0.hasSuffix(" beside \(first)") }) else { continue }
            let pairs = together.values.compactMap { runs -> [Double]? in
                guard let a = runs.first(where: { $0.contender == first }), let b = runs.first(where: { $0.contender == second }) else { return nil }
                return [a.fairMbps, b.fairMbps].compactMap { $0 }
            }.filter { $0.count == 2 }
            guard let index = Statistics.median(pairs.map(Statistics.jain)) else {
                out += "\n\(first) and \(second): no index of fairness, they were together for less than \(Int(Run.fairSeconds)) s\n"
                continue
            }
            let rates = [0, 1].map { place in number(Statistics.median(pairs.map { $0[place] })) }
            out += "\n\(first) and \(second), the last \(Int(Run.fairSeconds)) s: \(rates[0]) and \(rates[1]) Mbit/s, Jain's index \(number(index))\n"
        }
        return out
    }

    /// The same table for a page.
    static func html(_ section: Results.Section, _ results: Results) -> String {
        let rows = table(section, results).split(separator: "\n").filter { $0.hasPrefix("|") && !$0.hasPrefix("|--") }
        return "<table>" + rows.enumerated().map { index, row in
            let cells = row.dropFirst().dropLast().split(separator: "|", omittingEmptySubsequences: false)
            let kind = index == 0 ? "th" : "td"
            return "<tr>" + cells.map { cell in
                let text = HTMLReport.escaped(cell.trimmingCharacters(in: .whitespaces).replacingOccurrences(of: "*", with: ""))
                return "<\(kind)>\(text)</\(kind)>"
            }.joined() + "</tr>"
        }.joined() + "</table>"
    }
}
