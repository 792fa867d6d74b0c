import MastCapture
import MastTimebase

/// A run's results as one HTML file that needs nothing else, and no script.
package enum LoadPage {
    private static let style = """
        .plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 1rem 1.6rem; margin-top: .6rem; }
        .load svg[role=img] { display: block; width: 100%; height: auto; }
        .load text { font-size: 12px; fill: var(--muted); font-variant-numeric: tabular-nums; }
        .load .grid { stroke: var(--grid); fill: none; }
        .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
        .bar { display: inline-block; height: .7em; background: var(--down); border-radius: 2px; }
        .bars td:last-child { width: 60%; text-align: left; }
        .alarm { border: 1px solid var(--bad); border-radius: 8px; padding: .6rem .9rem; margin: 0 0 1rem; color: var(--bad); overflow-wrap: anywhere; }
        """

    /// - Parameter stylesheet: of the other reports.
    package static func html(_ report: LoadReport, _ comparison: LoadComparison?, stylesheet: String) -> String {
        let title = "\(report.method) at \(report.host)".printable(atMost: 300)
        var page = """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
            <title>\(TextLayout.html(title)) – load report</title>
            <style>
            \(stylesheet)
            \(style)
            </style>
            </head>
            <body>
            <header>
            <p class="kicker">Load report</p>
            <h1>\(TextLayout.html(title))</h1>
            </header>
            <main>

            """
        let isAlarming = report.isVoid || report.isInterrupted
        if isAlarming { page += "<p class=\"alarm\">\(report.remarks.map(TextLayout.html).joined(separator: "<br>"))</p>\n" }
        page += "<section id=\"figures\" aria-label=\"The figures that matter most\">\n" + cards(report) + "</section>\n"
        page += "<section id=\"facts\"><ul>\n"
        for fact in facts(report) + (isAlarming ? [] : report.remarks) { page += "<li>\(TextLayout.html(fact))</li>\n" }
        page += "</ul></section>\n<div class=\"plots\">\n" + plots(report) + "</div>\n"
        page += bars(report)
        if let comparison { page += table(comparison) }
        page += tables(report)
        return page + "</main>\n<footer><p>Made by <code>mast bench</code>, \(TextLayout.html(report.date)).</p></footer>\n</body>\n</html>\n"
    }

    private static func cards(_ report: LoadReport) -> String {
        func card(_ name: String, _ value: String, _ unit: String, _ other: [String]) -> String {
            let others = other.map { "<div class=\"other\"><p class=\"value\">\(TextLayout.html($0))</p></div>" }.joined()
            return "<article class=\"figure\"><h2>\(TextLayout.html(name))</h2><div class=\"first\"><p class=\"value\"><b>\(TextLayout.html(value))</b> <span>\(TextLayout.html(unit))</span></p></div>\(others)</article>\n"
        }
        func latency(_ percent: Double) -> (value: String, unit: String) {
            guard let value = report.latency(percent) else { return ("–", "") }
            let parts = LoadFigure.time(value).split(separator: " ").map(String.init)
            return (parts[0], parts.count > 1 ? parts[1] : "")
        }
        let (half, most) = (latency(50), latency(99))
        let tail = report.latency(99.9).map { ["99.9 %: " + LoadFigure.time($0)] } ?? []
        let rate = report.offeredPerSecond.map { ["offered " + TextLayout.fixed($0, 1)] } ?? ["closed loop"]
        return card("Half of the calls within", half.value, half.unit, report.averageMs.map { ["mean " + LoadFigure.time($0)] } ?? [])
            + card("99 % within", most.value, most.unit, tail)
            + card("Calls that succeeded", TextLayout.fixed(report.succeededPerSecond, 1), "a second", rate)
            + card("Calls that failed", "\(report.failed)", "of \(report.count)", report.failed > 0 ? ["effect " + report.effectsOfFailed.text] : [])
    }

    private static func facts(_ report: LoadReport) -> [String] {
        var facts = [
            "\(report.load); \(report.concurrency) calls in flight at most, over \(report.connectionCount) \(report.connectionCount == 1 ? "connection" : "connections"); each call had \(LoadFigure.time(report.deadlineMs)).",
            report.isOpenLoop
                ? "Open loop: each call is timed from when it was meant to begin, so calls that waited behind a stall count as long as they waited."
                : "Closed loop: each call is timed from when it was sent, and a stall is seen by \(report.concurrency) calls at most.",
        ]
        if let late = report.late {
            facts.append(
                "Later than \(LoadFigure.time(late.boundMs)) began \(late.byGenerator) calls for the generator's own reasons (\(LoadFigure.percent(late.byGeneratorShare))) and \(late.forPlace) because all places were taken.")
        }
        return facts + report.connections.prefix(8).map { "Connection: " + $0.text }
    }

    // MARK: plots

    private static func plots(_ report: LoadReport) -> String {
        let curve = report.percentileCurve.filter { $0.percent < 100 }.map { (x: 1 / (1 - $0.percent / 100), y: $0.latencyMs) }
        let marks: [(value: Double, text: String)] = [(1, "0 %"), (2, "50 %"), (10, "90 %"), (100, "99 %"), (1_000, "99.9 %"), (10_000, "99.99 %"), (100_000, "99.999 %")]
        let end = curve.last?.x ?? 1
        let percentiles = LoadPlot(
            title: "Latency by percentile", unit: "ms", lines: [.init(name: report.latenciesIncludeFailed ? "all calls" : "calls that succeeded", colour: "down", points: curve)], y: .logarithmic, x: .logarithmic,
            xLabels: marks.filter { $0.value <= end }, caption: "So many of the calls took no longer.")
        let seconds = report.slices.map { $0.fromMs / 1_000 }
        func line(_ name: String, _ colour: String, _ value: (LoadReport.Slice) -> Double?) -> LoadPlot.Line {
            let points = zip(seconds, report.slices).compactMap { second, slice in value(slice).map { (x: second, y: $0) } }
            return LoadPlot.Line(name: name, colour: colour, points: points)
        }
        let last = seconds.last ?? 0
        let labels: [(value: Double, text: String)] = last > 0 ? [0, 0.5, 1].map { (last * $0, TextLayout.fixed(last * $0, last < 10 ? 1 : 0) + " s") } : [(0, "0 s")]
        func rate(_ count: Int, _ slice: LoadReport.Slice) -> Double? {
            slice.toMs > slice.fromMs ? Double(count) / (slice.toMs - slice.fromMs) * 1_000 : nil
        }
        let times = LoadPlot(
            title: "Latency over time", unit: "ms",
            lines: [line("largest", "bad") { $0.maxMs }, line("99 %", "queue") { $0.p99Ms }, line("50 %", "down") { $0.p50Ms }], y: .logarithmic, x: .linear,
            xLabels: labels, caption: "By when the calls were meant to begin.")
        let rates = LoadPlot(
            title: "Calls over time", unit: "a second",
            lines: [line("due", "ack") { rate($0.due, $0) }, line("ended", "up") { rate($0.ended, $0) }, line("failed", "bad") { rate($0.failed, $0) }], y: .linear, x: .linear,
            xLabels: labels, caption: "Due by the load, and when they ended.")
        return (curve.isEmpty ? "" : percentiles.svg) + (report.latencyDistribution.isEmpty ? "" : times.svg) + rates.svg
    }

    private static func bars(_ report: LoadReport) -> String {
        guard !report.histogram.isEmpty else { return "" }
        let most = report.histogram.map(\.count).max() ?? 1
        var html = "<h2>Response times</h2>\n<div class=\"scroll\"><table class=\"bars\"><thead><tr><th>up to ms</th><th>calls</th><th class=\"text\"></th></tr></thead><tbody>\n"
        for bar in report.histogram {
            let share = most == 0 ? 0 : Double(bar.count) / Double(most) * 100
            html += "<tr><td>\(TextLayout.fixed(bar.markMs, 3))</td><td>\(bar.count)</td><td><span class=\"bar\" style=\"width:\(TextLayout.fixed(share, 1))%\"></span></td></tr>\n"
        }
        return html + "</tbody></table></div>\n"
    }

    // MARK: tables

    private static func tables(_ report: LoadReport) -> String {
        func ms(_ value: Double?) -> String { value.map { TextLayout.fixed($0, 3) } ?? "–" }
        var html = table("Latencies", ["percent", "ms"], report.latencyDistribution.map { [LoadFigure.percentile($0.percent) + " %", ms($0.latencyMs)] })
        if let streams = report.streams {
            html += table(
                "Until the first message (\(streams.messages) messages, \(TextLayout.fixed(streams.messagesPerSecond, 1)) a second)", ["percent", "ms"],
                streams.firstMessageDistribution.map { [LoadFigure.percentile($0.percent) + " %", ms($0.latencyMs)] })
        }
        html += table("How calls ended", ["status", "calls", "effect"], report.statuses.map { [$0.code, "\($0.count)", $0.effects?.text ?? ""] })
        if !report.errors.isEmpty {
            html += table("Errors", ["status", "calls", "message"], report.errors.map { [$0.code, "\($0.count)", $0.message.printable(atMost: 200)] }, long: 2)
        }
        let rows = report.slices.map { slice in
            [
                TextLayout.fixed(slice.fromMs / 1_000, 1), "\(slice.due)", "\(slice.ended)", "\(slice.failed)", "\(slice.lateByGenerator)", ms(slice.p50Ms), ms(slice.p99Ms),
                ms(slice.maxMs),
            ]
        }
        return html + table("Over time", ["from s", "due", "ended", "failed", "late", "50 % ms", "99 % ms", "largest ms"], rows)
    }

    private static func table(_ comparison: LoadComparison) -> String {
        let rows = comparison.rows.map { row in
            func figure(_ value: Double?) -> String { value.map { TextLayout.fixed($0, 3) } ?? "–" }
            let worse = row.worseShare.map { $0 > 0 ? LoadFigure.percent($0) + " worse" : $0 < 0 ? LoadFigure.percent(-$0) + " better" : "the same" } ?? "–"
            return [row.name, figure(row.before), figure(row.now), worse + (row.isFirm ? "" : ", of too few calls")]
        }
        return table("Against the baseline", ["", "before", "now", "difference"], rows)
            + comparison.remarks.map { "<p class=\"note\">\(TextLayout.html($0))</p>\n" }.joined()
    }

    private static func table(_ name: String, _ head: [String], _ rows: [[String]], long: Int? = nil) -> String {
        guard !rows.isEmpty else { return "" }
        var html = "<h2>\(TextLayout.html(name))</h2>\n<div class=\"scroll\"><table class=\"cards\" role=\"table\"><thead role=\"rowgroup\"><tr role=\"row\">"
        func kind(_ column: Int) -> String { column == long ? " class=\"text long\"" : column == 0 ? " class=\"text\"" : "" }
        for (column, name) in head.enumerated() { html += "<th role=\"columnheader\" scope=\"col\"\(kind(column))>\(TextLayout.html(name))</th>" }
        html += "</tr></thead><tbody role=\"rowgroup\">\n"
        for row in rows {
            html += "<tr role=\"row\">"
            for (column, cell) in row.enumerated() { html += "<td role=\"cell\"\(kind(column)) data-name=\"\(TextLayout.html(head[column]))\">\(TextLayout.html(cell))</td>" }
            html += "</tr>\n"
        }
        return html + "</tbody></table></div>\n"
    }
}
