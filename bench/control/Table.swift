/// The figures as Markdown: a row for each group of roads and controller, means over its roads.
enum Table {
    static func text(_ outcomes: [Outcome], each: Bool) -> String {
        var keys: [String] = []
        for outcome in outcomes where !keys.contains(key(outcome, each)) { keys.append(key(outcome, each)) }
        var lines = [
            "| road | controller | use % | start % | Mbit/s | delay p50 | p95 | p99 | call p50 | p99 | limit p50 | p99 | lost % | Jain | share % |",
            "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
        ]
        for key in keys {
            let group = outcomes.filter { Self.key($0, each) == key }
            var names: [String] = []
            for outcome in group where !names.contains(outcome.controller) { names.append(outcome.controller) }
            for name in names {
                let rows = group.filter { $0.controller == name }
                func mean(_ value: (Outcome) -> Double?) -> Double? {
                    let values = rows.compactMap(value)
                    return values.isEmpty ? nil : values.reduce(0, +) / Double(values.count)
                }
                let cells = [
                    form(mean { $0.utilisation * 100 }, 1), form(mean { $0.start * 100 }, 0), form(mean { $0.mbit }, 2), form(mean { $0.delayP50 }, 1), form(mean { $0.delayP95 }, 1),
                    form(mean { $0.delayP99 }, 1), form(mean { $0.callP50 }, 1), form(mean { $0.callP99 }, 1), form(mean { $0.callLimitP50 }, 1),
                    form(mean { $0.callLimitP99 }, 1), form(mean { $0.lostShare * 100 }, 2), form(mean { $0.jain }, 3), form(mean { $0.firstShare.map { $0 * 100 } }, 1),
                ]
                lines.append("| \(key) | \(name) | " + cells.joined(separator: " | ") + " |")
            }
        }
        return lines.joined(separator: "\n")
    }

    private static func key(_ outcome: Outcome, _ each: Bool) -> String { (each ? outcome.road : outcome.group) + (outcome.isTuned ? " (tuned)" : "") }

    private static func form(_ value: Double?, _ decimals: Int) -> String {
        guard let value else { return "" }
        var scale = 1.0
        for _ in 0..<decimals { scale *= 10 }
        let whole = Int((value.magnitude * scale).rounded())
        let text = decimals == 0 ? "\(whole)" : "\(whole / Int(scale)).\(String(whole % Int(scale)).leftPadded(decimals))"
        return value < 0 ? "-" + text : text
    }
}

extension String {
    fileprivate func leftPadded(_ count: Int) -> String { String(repeating: "0", count: max(0, count - self.count)) + self }
}
