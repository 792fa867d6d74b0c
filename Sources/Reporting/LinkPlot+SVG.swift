import MastCapture

extension LinkPlot {
    /// The figure as one SVG element, its colours from CSS classes.
    package var svg: String {
        let hasPackets = !arrivalMbps.isEmpty
        let below = hasPackets ? queueDelayMs : delayMs
        let height = hasPackets || !below.isEmpty ? 470 : 290
        var parts = [
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 960 \(height)\" role=\"img\" aria-label=\"\(TextLayout.html(name))\" font-family=\"system-ui,sans-serif\" font-size=\"12\">",
            "<style>\(Self.style)</style>", "<title>\(TextLayout.html(name))</title>",
            "<rect class=\"paper\" width=\"960\" height=\"\(height)\"/>",
        ]
        let rates = Panel(top: 60, height: 174, most: Self.ceiling((capacityMbps + arrivalMbps + departureMbps).max() ?? 0))
        let span = max(binS * Double(max(capacityMbps.count, arrivalMbps.count, delayMs.count)), .leastNormalMagnitude)
        parts.append(rates.frame(label: "Mbit/s", span: span))
        if !capacityMbps.isEmpty { parts.append(rates.area(capacityMbps, "capacity")) }
        parts.append(rates.bands(outages.map { ($0.startS / span, $0.endS / span) }))
        if hasPackets {
            parts.append(rates.line(arrivalMbps, "arrivals"))
            parts.append(rates.line(departureMbps, "departures"))
        }
        if !below.isEmpty {
            let delays = Panel(top: 282, height: 140, most: Self.ceiling(below.max() ?? 0))
            parts.append(delays.frame(label: hasPackets ? "ms in the queue (longest)" : "ms of delay, one way", span: span))
            parts.append(delays.area(below, "delay"))
            parts.append(delays.marks(droppedPackets))
        }
        parts.append(legend(hasPackets))
        parts.append("<text class=\"ink\" x=\"60\" y=\"18\" font-size=\"14\" font-weight=\"600\">\(TextLayout.html(name))</text>")
        parts.append("<text class=\"faint\" x=\"510\" y=\"\(height - 8)\" text-anchor=\"middle\">seconds</text></svg>")
        return parts.joined(separator: "\n")
    }

    private func legend(_ hasPackets: Bool) -> String {
        var items: [(kind: String, text: String)] = []
        func rate(_ value: Double?) -> String { value.map { " (mean \(TextLayout.fixed($0, 2)) Mbit/s)" } ?? "" }
        if !capacityMbps.isEmpty { items.append(("capacity", "capacity" + rate(summary.meanCapacityMbps))) }
        if hasPackets {
            items.append(("arrivals", "arrivals" + rate(summary.meanArrivalMbps)))
            items.append(("departures", "departures" + rate(summary.meanThroughputMbps)))
            if let drops = summary.droppedPackets, drops > 0 { items.append(("drop", "\(drops) dropped")) }
        }
        if !outages.isEmpty { items.append(("outage", outages.count == 1 ? "1 outage" : "\(outages.count) outages")) }
        var x = 60
        return items.map { item in
            let text = "<rect class=\"key \(item.kind)\" x=\"\(x)\" y=\"27\" width=\"14\" height=\"8\"/><text class=\"ink\" x=\"\(x + 19)\" y=\"35\">\(item.text)</text>"
            x += 50 + item.text.count * 7
            return text
        }.joined()
    }

    // The colours of `report.css`.
    private static let style = """
        .paper{fill:#fff}.ink{fill:#16191d}.faint{fill:#59626d}.grid{stroke:#e4e7eb;stroke-width:1}
        .capacity{fill:#cfd5dd;stroke:none}.arrivals{fill:none;stroke:#0072b2;stroke-width:1.5}.departures{fill:none;stroke:#00785a;stroke-width:1.5}
        .delay{fill:#a3568a;fill-opacity:.6;stroke:none}.outage{fill:#c44601;fill-opacity:.2;stroke:none}.drop{stroke:#c44601;stroke-width:1.5}
        .key.arrivals{fill:#0072b2;stroke:none}.key.departures{fill:#00785a;stroke:none}.key.drop{fill:#c44601;stroke:none}
        @media (prefers-color-scheme:dark) and (not print){.paper{fill:#14171b}.ink{fill:#e8eaed}.faint{fill:#a3acb7}.grid{stroke:#2a2f36}
        .capacity{fill:#3d444d}.arrivals{stroke:#56b4e9}.departures{stroke:#2fc39a}.delay{fill:#dd93c3}.outage{fill:#ff8a4c}.drop{stroke:#ff8a4c}
        .key.arrivals{fill:#56b4e9}.key.departures{fill:#2fc39a}.key.drop{fill:#ff8a4c}}
        """

    /// The next of 1, 2 and 5 times a power of ten.
    private static func ceiling(_ value: Double) -> Double {
        guard value > 0, value.isFinite else { return 1 }
        var unit = 0.001
        while unit * 10 < value { unit *= 10 }
        return [1, 2, 5, 10].map { $0 * unit }.first { $0 >= value } ?? unit * 10
    }

    /// One set of axes.
    private struct Panel {
        static let left = 60.0
        static let width = 880.0
        var top: Double
        var height: Double
        var most: Double

        private func x(_ index: Int, _ count: Int) -> String { number(Self.left + Self.width * Double(index) / Double(max(1, count))) }
        private func y(_ value: Double) -> String { number(top + height * (1 - min(1, value / most))) }
        private func number(_ value: Double) -> String { TextLayout.fixed(value, 1) }

        func frame(label: String, span: Double) -> String {
            var text = "<text class=\"faint\" x=\"\(number(Self.left))\" y=\"\(number(top - 3))\">\(label)</text>"
            for part in 0...4 {
                let value = most * Double(part) / 4
                text += "<path class=\"grid\" d=\"M\(number(Self.left)) \(y(value))H\(number(Self.left + Self.width))\"/>"
                text += "<text class=\"faint\" x=\"\(number(Self.left - 6))\" y=\"\(y(value))\" dy=\"4\" text-anchor=\"end\">\(Self.short(value))</text>"
            }
            // Round seconds, six to twelve of them.
            let step = LinkPlot.ceiling(span / 12)
            for part in 0...12 where Double(part) * step <= span {
                let at = number(Self.left + Self.width * Double(part) * step / span)
                text += "<text class=\"faint\" x=\"\(at)\" y=\"\(number(top + height + 15))\" text-anchor=\"middle\">\(Self.short(Double(part) * step))</text>"
            }
            return text
        }

        private static func short(_ value: Double) -> String {
            let text = TextLayout.fixed(value, value >= 100 ? 0 : value >= 10 ? 1 : 2)
            guard text.contains(".") else { return text }
            var kept = text[...]
            while kept.last == "0" { kept = kept.dropLast() }
            if kept.last == "." { kept = kept.dropLast() }
            return String(kept)
        }

        func area(_ values: [Double], _ kind: String) -> String {
            var path = "M\(x(0, 1)) \(y(0))"
            for (index, value) in values.enumerated() { path += "L\(x(index, values.count)) \(y(value))H\(x(index + 1, values.count))" }
            return "<path class=\"\(kind)\" d=\"\(path)V\(y(0))Z\"/>"
        }

        func line(_ values: [Double], _ kind: String) -> String {
            var path = ""
            for (index, value) in values.enumerated() {
                path += "\(index == 0 ? "M" : "L")\(x(index, values.count)) \(y(value))H\(x(index + 1, values.count))"
            }
            return "<path class=\"\(kind)\" d=\"\(path)\"/>"
        }

        /// From top to bottom, by shares of the width.
        func bands(_ spans: [(from: Double, to: Double)]) -> String {
            spans.map { from, to in
                let (left, right) = (Self.left + Self.width * min(1, max(0, from)), Self.left + Self.width * min(1, max(0, to)))
                // A short one shows all the same.
                return "<rect class=\"outage\" x=\"\(number(left))\" y=\"\(number(top))\" width=\"\(number(max(1.5, right - left)))\" height=\"\(number(height))\"/>"
            }.joined()
        }

        /// A stroke at the top where packets were dropped.
        func marks(_ counts: [Int]) -> String {
            var path = ""
            for (index, count) in counts.enumerated() where count > 0 { path += "M\(x(index, counts.count)) \(y(most))v9" }
            return path.isEmpty ? "" : "<path class=\"drop\" d=\"\(path)\"/>"
        }
    }
}
