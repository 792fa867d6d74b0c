import MastCapture

extension ReportData {
    /// The series of the plots, one value a line, for a spreadsheet or a script: `timeS,series,direction,value`.
    ///
    /// Series: `usedMbps`, `offeredMbps` and `capacityMbps`, each from its time until the next; of two captures
    /// `oneWayDelayMs`, and `lostShare` of what was sent; `rttMs`; and `callMs` with the server where the others have a
    /// direction.
    package var csv: String {
        var text = "timeS,series,direction,value\n"
        func row(_ timeS: Double, _ series: String, _ direction: String, _ value: Double) {
            text += "\(TextLayout.fixed(timeS, 6)),\(series),\(Self.field(direction)),\(TextLayout.fixed(value, 6))\n"
        }
        for lane in lanes {
            for (index, kbps) in lane.usedKbps.enumerated() {
                row(lane.startS + Double(index) * lane.binS, "usedMbps", lane.direction, Double(kbps) / 1_000)
            }
            for (index, kbps) in lane.capacityKbps.enumerated() {
                row(lane.capacityStartS + Double(index) * lane.capacityBinS, "capacityMbps", lane.direction, Double(kbps) / 1_000)
            }
        }
        for lane in lanes {
            for (index, kbps) in lane.offeredKbps.enumerated() {
                row(lane.startS + Double(index) * lane.binS, "offeredMbps", lane.direction, Double(kbps) / 1_000)
            }
        }
        for way in crossings {
            for (us, value) in zip(way.delays.timesUs, way.delays.values) { row(Double(us) / 1e6, "oneWayDelayMs", way.direction, value) }
            for (index, sent) in way.sent.enumerated() where sent > 0 {
                row(way.startS + Double(index) * way.binS, "lostShare", way.direction, Double(way.lost[index]) / Double(sent))
            }
        }
        for series in rtts {
            for (us, value) in zip(series.samples.timesUs, series.samples.values) { row(Double(us) / 1e6, "rttMs", series.name, value) }
        }
        for call in calls { row(call.startS, "callMs", call.servedBy ?? "failed", call.durationMs) }
        return text
    }

    /// RFC 4180; what a spreadsheet would take for a formula is kept text.
    static func field(_ text: String) -> String {
        var text = text
        if let first = text.first, "=+-@".contains(first) { text = "'" + text }
        guard text.contains(where: { $0 == "," || $0 == "\"" || $0.isNewline }) else { return text }
        return "\"" + text.map { $0 == "\"" ? "\"\"" : String($0) }.joined() + "\""
    }
}
