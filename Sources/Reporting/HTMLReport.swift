import MastCapture

/// A report as one HTML file that needs nothing else: no network, no other file, no library.
package enum HTMLReport {
    /// Of all pages.
    package static var stylesheet: String { text(PackageResources.report_css) }

    package static func render(_ data: ReportData) -> String {
        let kind =
            switch data.subject {
            case .capture: "Capture"
            case .replay: "Replay"
            case .link: "Link"
            }
        var page = """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
            <title>\(TextLayout.html(data.title)) – \(kind.lowercased()) report</title>
            <style>
            \(stylesheet)
            </style>
            </head>
            <body>
            <header>
            <p class="kicker">\(kind) report</p>
            <h1>\(TextLayout.html(data.title))</h1>
            </header>
            <main>
            \(figures(data.figures))
            <section id="facts" aria-label="What there is to know">
            <ul>

            """
        for fact in data.facts { page += "<li>\(TextLayout.html(fact))</li>\n" }
        for note in data.notes { page += "<li class=\"note\">\(TextLayout.html(note))</li>\n" }
        page += """
            </ul>
            \(bases(data.figures))
            <noscript><p class="note">The plots and the tables below need JavaScript. Nothing is loaded from elsewhere.</p></noscript>
            </section>
            <nav id="zoom" aria-label="Time axis of all plots"></nav>
            <div id="plots"></div>
            <div id="tables"></div>
            </main>
            <footer><p>Made by <code>mast</code>. <span id="keys">Drag across a plot to see that part, double-click to see all. With the keyboard: left and right arrow, + and −, and 0 for all.</span></p></footer>
            <script id="data" type="application/json">
            """
        page += json(data).text
        page += """
            </script>
            <script>
            \(text(PackageResources.view_js))
            \(text(PackageResources.plot_js))
            \(text(PackageResources.table_js))
            \(text(PackageResources.sequence_js))
            \(text(PackageResources.report_js))
            </script>
            </body>
            </html>

            """
        return page
    }

    /// Cards, each with its state.
    private static func figures(_ figures: [ReportFigure]) -> String {
        guard !figures.isEmpty else { return "" }
        var html = "<section id=\"figures\" aria-label=\"The figures that matter most\">\n"
        for figure in figures {
            html += "<article class=\"figure\"><h2>\(TextLayout.html(figure.name))</h2>\n"
            for (index, part) in figure.parts.enumerated() {
                // A label of its own line reads well as a word, too.
                let label = part.label.isEmpty ? "" : "<span class=\"way\">\(TextLayout.html(part.label))</span> "
                html += "<div class=\"\(index == 0 ? "first" : "other")\" data-source=\"\(TextLayout.html(part.source))\">"
                html += "<p class=\"value\">\(label)\(value(part))</p> <p class=\"state \(part.state.rawValue)\">\(part.state.label)</p>"
                // A reason of both directions is given once.
                if part.state == .unknown, index == 0 || part.basis != figure.parts[index - 1].basis { html += "<p class=\"why\">\(TextLayout.html(part.basis))</p>" }
                html += "</div>\n"
            }
            if let remark = figure.remark { html += "<p class=\"remark\">\(TextLayout.html(remark))</p>\n" }
            html += "</article>\n"
        }
        return html + "</section>"
    }

    private static func value(_ part: ReportFigure.Part) -> String {
        guard part.state != .unknown else { return "<b aria-hidden=\"true\">–</b>" }
        let words = part.shown.split(separator: " ", omittingEmptySubsequences: false).map(String.init)
        // The number stands out, with a bound's sign before it and its unit after.
        let number = words.firstIndex { $0.contains(where: \.isNumber) } ?? 0
        return words.enumerated().map { index, word in
            index == number ? "<b>\(TextLayout.html(word))</b>" : "<span>\(TextLayout.html(word))</span>"
        }.joined(separator: " ")
    }

    private static func bases(_ figures: [ReportFigure]) -> String {
        guard !figures.isEmpty else { return "" }
        var html = """
            <details id="bases"><summary>How each figure was found</summary>
            <div class="scroll"><table class="cards" role="table"><thead role="rowgroup"><tr role="row">
            """
        let names = ["Figure", "Value", "State", "How it was found", "In --json"]
        for name in names { html += "<th role=\"columnheader\" scope=\"col\" class=\"text\">\(name)</th>" }
        html += "</tr></thead><tbody role=\"rowgroup\">\n"
        for figure in figures {
            for part in figure.parts {
                let cells = [
                    (part.label.isEmpty ? figure.name : "\(figure.name), \(part.label)", "text"), (part.shown, "text"), (part.state.label, "text"),
                    (part.basis, "text long"), (part.source, "text code"),
                ]
                html += "<tr role=\"row\">"
                for (name, cell) in zip(names, cells) {
                    html += "<td role=\"cell\" class=\"\(cell.1)\" data-name=\"\(name)\">\(TextLayout.html(cell.0))</td>"
                }
                html += "</tr>\n"
            }
        }
        return html + "</tbody></table></div></details>"
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }
}
