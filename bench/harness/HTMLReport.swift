import Foundation

/// One self-contained page for looking: for each link and workload its distributions, its plane of throughput and delay, its calls over
/// time, and its bars.
enum HTMLReport {
    static func page(_ results: Results) -> String {
        var body = "<h1>\(escaped(results.plan))</h1><p>\(escaped(results.about))</p><p class=small><code>\(escaped(results.command))</code><br>\(escaped(results.date)); "
        body += results.machine.sorted { $0.key < $1.key }.map { escaped("\($0.key): \($0.value)") }.joined(separator: "; ")
        body += "; seed \(results.seed); \(results.repetitions) repetitions, contenders taking turns</p><nav>"
        let sections = results.sections
        for (index, section) in sections.enumerated() { body += "<a href='#s\(index)'>\(escaped(section.workload)), \(escaped(section.link))</a> " }
        body += "</nav>"
        let colours = Dictionary(uniqueKeysWithValues: names(results).enumerated().map { ($1, colour($0)) })
        for (index, section) in sections.enumerated() {
            body += "<section id=s\(index)><h2>\(escaped(section.workload)), \(escaped(section.link))</h2>"
            if let about = results.links.first(where: { $0.name == section.link })?.about { body += "<p class=small>\(escaped(about))</p>" }
            body += failures(section)
            let figure = Figure(section)
            if figure == .latency { body += distribution(section, colours) }
            if section.groups.contains(where: { $0.good.contains { $0.packetDelayP95Ms != nil && $0.limitMbps != nil } }) { body += plane(section, colours) }
            if figure == .latency { body += overTime(section, results.capacities[section.link], colours) }
            body += bars(section, figure, colours)
            body += "<details><summary>Figures</summary>\(MarkdownTable.html(section, results))</details>"
            body += "</section>"
        }
        return """
            <!doctype html><html lang=en><meta charset="utf-8"><meta name=viewport content="width=device-width"><title>\(escaped(results.plan))</title>
            <style>:root{color-scheme:light dark;--ink:light-dark(#222,#ddd);--faint:light-dark(#ddd,#444);--bad:light-dark(#b00,#f77)}
            body{font:15px/1.5 system-ui,sans-serif;max-width:64rem;margin:2rem auto;padding:0 1rem;color:var(--ink)}svg{width:100%;height:auto}
            text{font:12px system-ui,sans-serif;fill:var(--ink)}.grid{stroke:var(--faint)}.axis{stroke:var(--ink)}.bad{color:var(--bad)}
            .small{font-size:13px}nav a{margin-right:.8em;white-space:nowrap}figure{margin:1rem 0}figcaption{font-size:13px}
            table{border-collapse:collapse;font-size:13px}td,th{padding:.15rem .6rem;text-align:right;border-bottom:1px solid var(--faint)}td:first-child,th:first-child{text-align:left}
            .limit{fill:none;stroke:var(--ink);stroke-dasharray:5 4}.wash{fill:var(--faint);opacity:.6}@media print{nav{display:none}section{break-inside:avoid}}</style>\(body)</html>
            """
    }

    static func names(_ results: Results) -> [String] {
        var names: [String] = []
        for run in results.runs where !names.contains(run.contender) { names.append(run.contender) }
        return names.sorted { ($0 == "ours" ? 0 : 1, $0) < ($1 == "ours" ? 0 : 1, $1) }
    }

    private static func colour(_ index: Int) -> String {
        let fixed = ["#d1495b", "#00798c", "#d59a1b", "#30638e", "#5d9c76", "#8d6a9f", "#6b7a83", "#b5651d", "#7a4fd0", "#c2508f", "#2a9df4", "#8a9a1b", "#a0522d", "#1b998b"]
        return fixed[index % fixed.count]
    }

    static func escaped(_ text: String) -> String {
        text.replacingOccurrences(of: "&", with: "&amp;").replacingOccurrences(of: "<", with: "&lt;").replacingOccurrences(of: "'", with: "&#39;")
    }

    static func point(_ x: Double, _ y: Double) -> String { String(format: "%.1f,%.1f", x, y) }

    private static func failures(_ section: Results.Section) -> String {
        section.groups.compactMap { group in
            let bad = group.runs.filter { $0.state != .ok }
            guard let first = bad.first else { return nil }
            return "<p class=bad>\(escaped(group.contender)): \(bad.count) of \(group.runs.count) runs \(first.state.rawValue): \(escaped(first.reason ?? ""))</p>"
        }.joined()
    }

    // MARK: Distributions

    private static func distribution(_ section: Results.Section, _ colours: [String: String]) -> String {
        typealias Point = (share: Double, ms: Double)
        var lines: [(String, [Point])] = []
        for group in section.groups {
            let curve: [Point] = Run.shares.compactMap { share in group.latency(share).map { Point(share, $0) } }
            if !curve.isEmpty { lines.append((group.contender, curve)) }
        }
        func middle(_ curve: [Point]) -> Double { curve.first { $0.share >= 50 }?.ms ?? 0 }
        lines.sort { middle($0.1) < middle($1.1) }
        let values = lines.flatMap { $0.1.map(\.ms) }.filter { $0 > 0 }
        guard let least = values.min(), let most = values.max() else { return "" }
        let limits = (section.limit(50), section.limit(99))
        let axis = LogAxis(min(least, limits.0 ?? least), most, from: 60, to: 700)
        var out = "<figure><svg viewBox='0 0 880 \(max(320, 40 + lines.count * 20))' role=img aria-label='latency distributions'>" + axis.grid(top: 20, bottom: 270, unit: "ms")
        for share in [0.0, 0.5, 0.9, 1.0] {
            let y = 270 - 250 * share
            out += "<path class=grid d='M60 \(y)H700'/><text x=52 y=\(y + 4) text-anchor=end>\(Int(share * 100)) %</text>"
        }
        for (index, (name, curve)) in lines.enumerated() {
            let colour = colours[name] ?? "#888"
            let points = curve.map { point(axis.x($0.ms), 270 - 2.5 * $0.share) }
            out += "<polyline fill=none stroke='\(colour)' stroke-width='\(name == "ours" ? 3 : 1.6)' points='\(points.joined(separator: " "))'><title>\(escaped(name))</title></polyline>"
            out += "<rect x=715 y=\(18 + index * 20) width=12 height=12 fill='\(colour)'/><text x=733 y=\(29 + index * 20)>\(escaped(name))</text>"
        }
        for (value, share) in [(limits.0, 50.0), (limits.1, 99.0)] {
            guard let value else { continue }
            let (x, y) = (axis.x(value), 270 - 2.5 * share)
            out += "<path class=axis d='M\(x - 5) \(y - 5)L\(x + 5) \(y + 5)M\(x - 5) \(y + 5)L\(x + 5) \(y - 5)' stroke-width=2><title>limit, p\(Int(share)): \(MarkdownTable.number(value)) ms</title></path>"
        }
        return out + "</svg><figcaption>Share of calls answered within a time (of all repetitions together); crosses: what the link would have allowed, p50 and p99.</figcaption></figure>"
    }

    // MARK: Throughput against delay

    private static func plane(_ section: Results.Section, _ colours: [String: String]) -> String {
        let groups = section.groups.filter { !$0.good.isEmpty && $0.median(\.packetDelayP95Ms) != nil }
        let delays = groups.flatMap { $0.good.compactMap(\.packetDelayP95Ms) }.filter { $0 > 0 }
        guard let least = delays.min(), let most = delays.max() else { return "" }
        let limit = Statistics.median(groups.flatMap(\.good).compactMap(\.limitMbps))
        let top = max(limit ?? 0, groups.flatMap { $0.good.map(\.megabitsPerSecond) }.max() ?? 1) * 1.08
        // Half of the least exchange: one way of an empty link.
        let corner = Statistics.median(groups.flatMap(\.good).compactMap(\.limitP50Ms)).map { $0 / 2 }
        let axis = LogAxis(min(least, corner ?? least) * 0.9, most * 1.1, from: 60, to: 700)
        func y(_ rate: Double) -> Double { 270 - 250 * rate / top }
        var out = "<figure><svg viewBox='0 0 880 \(max(320, 40 + groups.count * 20))' role=img aria-label='throughput against delay'>" + axis.grid(top: 20, bottom: 270, unit: "ms")
        for tick in Axis.ticks(0, top) { out += "<path class=grid d='M60 \(y(tick))H700'/><text x=52 y=\(y(tick) + 4) text-anchor=end>\(MarkdownTable.number(tick))</text>" }
        if let limit { out += "<path class=limit d='M60 \(y(limit))H700'/><text x=640 y=\(y(limit) - 4)>limit</text>" }
        if let corner { out += "<path class=limit d='M\(axis.x(corner)) 20V270'/>" }
        out += "<text x=14 y=14>Mbit/s</text>"
        for (index, group) in groups.enumerated() {
            let colour = colours[group.contender] ?? "#888"
            for run in group.good { out += "<circle cx=\(axis.x(run.packetDelayP95Ms ?? 0)) cy=\(y(run.megabitsPerSecond)) r=2.5 fill='\(colour)' opacity=.45 />" }
            let (x, at) = (axis.x(group.median(\.packetDelayP95Ms) ?? 0), y(group.median(\.megabitsPerSecond) ?? 0))
            out += "<circle cx=\(x) cy=\(at) r='\(group.contender == "ours" ? 8 : 6)' fill='\(colour)'><title>\(escaped(group.contender))</title></circle>"
            out += "<circle cx=721 cy=\(24 + index * 20) r=6 fill='\(colour)'/><text x=733 y=\(29 + index * 20)>\(escaped(group.contender))</text>"
        }
        return out + "</svg><figcaption>Mbit/s of the transfer against the one-way delay that 95 % of its packets stayed below: up and to the left is better, the dashed corner is the link's own.</figcaption></figure>"
    }

    // MARK: Over time

    private static func overTime(_ section: Results.Section, _ capacity: Results.Capacity?, _ colours: [String: String]) -> String {
        let lines: [(String, [[Double]])] = section.groups.compactMap { group in
            guard let points = group.runs.compactMap(\.points).first else { return nil }
            return (group.contender, points)
        }
        let values: [Double] = lines.flatMap { line in line.1.map { $0[1] } }.filter { $0 > 0 }
        guard let least = values.min(), let most = values.max() else { return "" }
        let times: [Double] = lines.flatMap { line in line.1.map { $0[0] } }
        guard let begin = times.min(), let end = times.max(), end > begin else { return "" }
        let axis = LogAxis(least, most, from: 200, to: 20)
        func x(_ time: Double) -> Double { 60 + 640 * (time - begin) / (end - begin) }
        var out = "<figure><svg viewBox='0 0 880 330' role=img aria-label='calls over time'>"
        for (value, isLabelled) in axis.lines {
            out += "<path class=grid d='M60 \(axis.x(value))H700'/>"
            if isLabelled { out += "<text x=52 y=\(axis.x(value) + 4) text-anchor=end>\(MarkdownTable.number(value))</text>" }
        }
        for tick in Axis.ticks(begin, end) { out += "<text x=\(x(tick)) y=318 text-anchor=middle>\(MarkdownTable.number(tick)) s</text>" }
        for (name, points) in lines {
            let colour = colours[name] ?? "#888"
            let radius = name == "ours" ? 2.6 : 1.8
            for point in points {
                let across = String(format: "%.1f", x(point[0]))
                if point[1] > 0 {
                    let down = String(format: "%.1f", axis.x(point[1]))
                    out += "<circle cx=\(across) cy=\(down) r=\(radius) fill='\(colour)'/>"
                } else {
                    out += "<text x=\(across) y=16 fill='\(colour)'>×</text>"
                }
            }
        }
        out += "<text x=705 y=24>ms</text>"
        if let capacity {
            let rates = capacity.downMbps.isEmpty ? capacity.upMbps : capacity.downMbps
            let top = rates.max() ?? 0
            if top > 0 {
                var path = ""
                for (index, rate) in rates.enumerated() {
                    let (left, right) = (Double(index) * capacity.step, Double(index + 1) * capacity.step)
                    guard right > begin, left < end else { continue }
                    path += "L\(point(x(max(begin, left)), 300 - 80 * rate / top))L\(point(x(min(end, right)), 300 - 80 * rate / top))"
                }
                out += "<path class=wash d='M60,300\(path)L700,300Z'/><text x=705 y=224>\(MarkdownTable.number(top)) Mbit/s</text><text x=705 y=300>0</text>"
            }
        }
        return out + "</svg><figcaption>Calls of the first repetition by when each should have begun (× failed), over what the link could carry down.</figcaption></figure>"
    }

    // MARK: Bars

    private static func bars(_ section: Results.Section, _ figure: Figure, _ colours: [String: String]) -> String {
        // The tail, as far as there are calls enough for it with everyone.
        let percent = section.groups.allSatisfy { $0.good.isEmpty || $0.latency(99) != nil } ? 99.0 : 90
        func value(_ group: Results.Group) -> Double? { figure == .latency ? group.latency(percent) : group.median(figure.value) }
        func range(_ group: Results.Group) -> ClosedRange<Double> {
            let all = group.range { figure == .latency ? $0.latency(percent) : figure.value($0) }
            let middle = value(group) ?? 0
            return min(all?.lowerBound ?? middle, middle)...max(all?.upperBound ?? middle, middle)
        }
        let groups = section.groups.filter { value($0) != nil }.sorted { a, b in
            let (x, y) = (value(a) ?? 0, value(b) ?? 0)
            return figure == .latency ? x < y : x > y
        }
        let limit = figure == .rate ? Statistics.median(groups.flatMap(\.good).compactMap(\.limitMbps)) : section.limit(percent)
        var tops: [Double] = groups.map { range($0).upperBound }
        if let limit { tops.append(limit) }
        guard let most = tops.max(), most > 0 else { return "" }
        func x(_ value: Double) -> Double { 160 + 600 * value / most }
        var out = "<figure><svg viewBox='0 0 880 \(30 + groups.count * 22)' role=img aria-label=bars>"
        for (index, group) in groups.enumerated() {
            let y = Double(10 + index * 22)
            let (median, range) = (value(group) ?? 0, range(group))
            out += "<text x=152 y=\(y + 12) text-anchor=end>\(escaped(group.contender))</text><rect x=160 y=\(y) width=\(max(1, x(median) - 160)) height=15 fill='\(colours[group.contender] ?? "#888")'/>"
            let (left, right) = (x(range.lowerBound), x(range.upperBound))
            out += "<path class=axis d='M\(left) \(y + 7.5)H\(right)M\(left) \(y + 3)v9M\(right) \(y + 3)v9'/>"
            out += "<text x=\(right + 8) y=\(y + 12)>\(MarkdownTable.number(median))</text>"
        }
        if let limit { out += "<path class=limit d='M\(x(limit)) 4V\(14 + groups.count * 22)'/><text x=\(x(limit) + 3) y=\(24 + groups.count * 22)>limit</text>" }
        return out + "</svg><figcaption>\(figure == .latency ? "p\(Int(percent)), ms, of all repetitions together" : "Mbit/s, median"), with least and most of the repetitions.</figcaption></figure>"
    }
}

/// A logarithmic axis; where `from` is larger than `to` it runs upward.
struct LogAxis {
    let low, high, from, to: Double

    init(_ least: Double, _ most: Double, from: Double, to: Double) {
        let low = log10(max(least, 1e-4)) - 0.03
        (self.low, high, self.from, self.to) = (low, max(log10(max(most, 1e-4)) + 0.03, low + 0.1), from, to)
    }

    func x(_ value: Double) -> Double { from + (to - from) * (log10(max(value, 1e-4)) - low) / (high - low) }

    /// Round values, and whether they bear a label.
    var lines: [(Double, Bool)] {
        let isWide = high - low > 2.5
        var lines: [(Double, Bool)] = []
        for decade in Int(low.rounded(.down))...Int(high.rounded(.up)) {
            for digit in [1.0, 2, 3, 5, 7] {
                let value = digit * pow(10, Double(decade))
                guard log10(value) >= low, log10(value) <= high else { continue }
                let isRound = digit == 1 || !isWide && (digit == 2 || digit == 5)
                lines.append((value, isRound || high - low < 1))
            }
        }
        return lines
    }

    func grid(top: Double, bottom: Double, unit: String) -> String {
        let marks = lines.map { value, isLabelled in
            "<path class=grid d='M\(x(value)) \(top)V\(bottom)'/>" + (isLabelled ? "<text x=\(x(value)) y=\(bottom + 18) text-anchor=middle>\(MarkdownTable.number(value))</text>" : "")
        }
        return marks.joined() + "<text x=\((from + to) / 2) y=\(bottom + 36) text-anchor=middle>\(unit)</text>"
    }
}

enum Axis {
    /// Some five round values.
    static func ticks(_ low: Double, _ high: Double) -> [Double] {
        guard high > low else { return [] }
        let raw = (high - low) / 5
        let decade = pow(10, floor(log10(raw)))
        let step = [1.0, 2, 5, 10].map { $0 * decade }.first { $0 >= raw } ?? raw
        return Array(stride(from: (low / step).rounded(.up) * step, through: high, by: step))
    }
}
