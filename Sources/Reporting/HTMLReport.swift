import MastCapture
import MastLinkInference

/// A report as one HTML file that needs nothing else: no network, no other file, no library.
package enum HTMLReport {
    package static func render(_ data: ReportData) -> String {
        let kind = data.subject == .capture ? "Capture" : "Replay"
        var page = """
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8">
            <meta name="viewport" content="width=device-width, initial-scale=1">
            <meta name="color-scheme" content="light dark">
            <meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:">
            <title>\(escape(data.title)) – \(kind.lowercased()) report</title>
            <style>
            \(text(PackageResources.report_css))
            </style>
            </head>
            <body>
            <header>
            <p class="kicker">\(kind) report</p>
            <h1>\(escape(data.title))</h1>
            </header>
            <main>
            <section id="summary" aria-labelledby="summary-title"><h2 id="summary-title">Summary</h2>
            <ul>

            """
        for fact in data.facts { page += "<li>\(escape(fact))</li>\n" }
        page += "</ul>\n"
        for note in data.notes { page += "<p class=\"note\">\(escape(note))</p>\n" }
        page += """
            <noscript><p class="note">The plots and the sortable tables need JavaScript. Nothing is loaded from elsewhere.</p></noscript>
            </section>
            <nav id="zoom" aria-label="Time axis"></nav>
            <div id="plots"></div>
            <div id="tables"></div>
            </main>
            <footer>Made by <code>mast</code>. Drag across a plot to zoom in, double-click to see all; with the keyboard: arrow keys, + and −, 0.</footer>
            <script id="data" type="application/json">
            """
        page += json(data).text
        page += """
            </script>
            <script>
            \(text(PackageResources.plot_js))
            \(text(PackageResources.table_js))
            \(text(PackageResources.report_js))
            </script>
            </body>
            </html>

            """
        return page
    }

    /// Text as HTML shows it, within elements and quoted attributes.
    package static func escape(_ text: String) -> String {
        var result = ""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "&": result += "&amp;"
            case "<": result += "&lt;"
            case ">": result += "&gt;"
            case "\"": result += "&quot;"
            case "'": result += "&#39;"
            case "\u{0}"..."\u{8}", "\u{B}"..."\u{1F}", "\u{7F}": result += "\u{FFFD}"
            default: result.unicodeScalars.append(scalar)
            }
        }
        return result
    }

    private static func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// What the page's script reads. Lists of times and bytes hold differences, in microseconds and bytes.
    static func json(_ data: ReportData) -> ReportJSON {
        var json = ReportJSON()
        json.object { json in
            json.member("subject", data.subject.rawValue)
            json.member("startS", data.startS, decimals: 6)
            json.member("lengthS", data.lengthS, decimals: 6)
            list("lanes", data.lanes, &json) { lane, json in
                json.member("dir", lane.direction)
                json.member("startS", lane.startS, decimals: 6)
                json.member("binS", lane.binS, decimals: 6)
                integers("used", lane.usedKbps, &json)
                json.member("capStartS", lane.capacityStartS, decimals: 6)
                json.member("capBinS", lane.capacityBinS, decimals: 6)
                integers("cap", lane.capacityKbps, &json)
                json.member("bound", lane.isLowerBound)
                samples("queue", lane.queue, &json)
                json.member("queueUnit", lane.queueUnit)
                json.member("queueName", lane.queueName)
            }
            list("outages", data.outages, &json) { outage, json in
                json.member("from", outage.startS, decimals: 4)
                json.member("to", outage.endS, decimals: 4)
                json.member("dir", outage.direction)
                json.member("kind", outage.kind)
                json.member("confidence", outage.confidence, decimals: 2)
                json.member("fromOff", outage.startUncertaintyS, decimals: 4)
                json.member("toOff", outage.endUncertaintyS, decimals: 4)
                json.member("basis", outage.basis)
            }
            list("moments", data.moments, &json) { moment, json in
                json.member("at", moment.atS, decimals: 4)
                json.member("label", moment.label)
                json.member("detail", moment.detail)
            }
            list("flows", data.flows, &json, flow)
            list("rtts", data.rtts, &json) { series, json in
                json.member("name", series.name)
                samples("samples", series.samples, &json)
            }
            calls(data.calls, &json)
        }
        return json
    }

    private static func flow(_ flow: ReportData.Flow, _ json: inout ReportJSON) {
        json.member("name", flow.name)
        json.member("protocol", flow.protocolName)
        json.member("first", flow.firstS, decimals: 4)
        json.member("last", flow.lastS, decimals: 4)
        json.member("rtt", flow.minimumRTTMs)
        for (name, side) in [("up", flow.up), ("down", flow.down)] {
            json.key(name)
            json.array { json in
                for value in [side.packets, side.bytes] { json.integer(Int64(value)) }
                for value in [side.retransmissions, side.lost, side.outOfOrder] {
                    if let value { json.integer(Int64(value)) } else { json.null() }
                }
            }
        }
        json.key("t")
        json.integers(flow.points.timesUs, delta: true)
        json.key("y")
        json.integers(flow.points.bytes, delta: true)
        json.member("k", String(decoding: flow.points.kinds.map { UInt8(ascii: "0") + ($0 & 7) }, as: UTF8.self))
    }

    /// By column: names repeat little and the page stays small.
    private static func calls(_ calls: [ReportData.Call], _ json: inout ReportJSON) {
        json.key("calls")
        json.object { json in
            json.key("name")
            json.array { json in for call in calls { json.string(call.name) } }
            json.key("t")
            json.array { json in for call in calls { json.number(call.startS, decimals: 4) } }
            json.key("ms")
            json.array { json in for call in calls { json.number(call.durationMs) } }
            json.key("by")
            json.array { json in for call in calls { if let by = call.servedBy { json.string(by) } else { json.null() } } }
            json.key("failure")
            json.array { json in for call in calls { if let failure = call.failure { json.string(failure) } else { json.null() } } }
            json.key("attempts")
            json.integers(calls.map { Int64($0.attempts) })
        }
    }

    private static func list<Element>(
        _ name: String, _ elements: [Element], _ json: inout ReportJSON, _ body: (Element, inout ReportJSON) -> Void
    ) {
        json.key(name)
        json.array { json in
            for element in elements { json.object { body(element, &$0) } }
        }
    }

    private static func integers(_ name: String, _ values: [Int64], _ json: inout ReportJSON) {
        json.key(name)
        json.integers(values)
    }

    private static func samples(_ name: String, _ samples: ReportData.Samples, _ json: inout ReportJSON) {
        json.key(name)
        json.object { json in
            json.key("t")
            json.integers(samples.timesUs, delta: true)
            json.key("v")
            json.array { json in for value in samples.values { json.number(value) } }
        }
    }
}
