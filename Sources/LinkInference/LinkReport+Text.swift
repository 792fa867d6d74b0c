import MastCapture

extension LinkReport {
    /// The link in a few lines: figures only.
    /// - Parameter startUnixS: when the capture's times begin; the wall clock is shown beside them where it is known.
    package func renderText(startUnixS: Double? = nil) -> String {
        if let reason { return "  \(reason)\n" }
        let percent = { (share: Double?) in share.map { TextLayout.fixed($0 * 100, 2) + " %" } ?? "-" }
        let isBoth = up.lossRateTotal != nil || down.lossRateTotal != nil
        var rows = [["", "capacity", "loss", "mean burst"] + (isBoth ? ["loss in all", "one-way ms: min", "p50", "p95", "max"] : [])]
        for (name, way) in [("down", down), ("up", up)] {
            let capacity = way.capacityMbps.map { (way.lowerBound ? ">= " : "") + TextLayout.bitRate($0 * 1e6) } ?? "-"
            var row = [name, capacity, way.lossRateAtMost.map { "<= " + percent($0) } ?? percent(way.lossRate), way.meanBurst.map { TextLayout.fixed($0, 2) } ?? "-"]
            if isBoth {
                let delay = way.oneWayDelayMs
                row += [percent(way.lossRateTotal)]
                row += [delay?.min, delay?.p50, delay?.p95, delay?.max].map { $0.map { TextLayout.fixed($0, 1) } ?? "-" }
            }
            rows.append(row)
        }
        var lines = TextLayout.table(rows, left: [0])
        lines.append("base RTT \(baseRttMs.map { (baseRttIsUpperBound ? "<= " : "") + TextLayout.fixed($0, 1) + " ms" } ?? "unknown"); seen at: \(vantage)")
        if clock == "symmetryAssumed" { lines.append("one-way delays: both ways are taken to be equally long") }
        if clock == "relative" { lines.append("one-way delays: above the smallest, which only traffic both ways would tell") }
        lines += outageLines(startUnixS) + silentEnds.map(\.text)
        for handover in handovers {
            let shift = handover.shiftMs.map { ", round trips \($0 < 0 ? "" : "+")\(TextLayout.fixed($0, 1)) ms" } ?? ""
            lines.append("handover? at \(TextLayout.fixed(handover.startS, 3)) s\(shift): \(handover.basis)")
        }
        for migration in migrations { lines.append("migration at \(TextLayout.fixed(migration.atS, 3)) s: \(migration.from) goes on as \(migration.to)") }
        return lines.map { "  " + $0 }.joined(separator: "\n") + "\n"
    }

    private func outageLines(_ startUnixS: Double?) -> [String] {
        let (real, idle) = (outages.real, outages.idle)
        return (real.isEmpty ? ["outages: none"] : Self.table("outage", real, startUnixS))
            + (idle.isEmpty ? [] : Self.table("idle sender", idle, startUnixS))
    }

    private static func table(_ title: String, _ outages: [LinkFitReport.Outage], _ startUnixS: Double?) -> [String] {
        var rows = [[title, "direction", "from s", "+-", "to s", "+-", "confidence"] + (startUnixS == nil ? [] : ["from (UTC)"])]
        for outage in outages {
            let fixed = { (value: Double) in TextLayout.fixed(value, 3) }
            rows.append([
                outage.kind == LinkFit.Outage.Kind.senderIdle.rawValue ? "pause" : outage.kind, outage.direction ?? "unknown", fixed(outage.startS),
                fixed(outage.startUncertaintyS), fixed(outage.endS), fixed(outage.endUncertaintyS), outage.confidence.map { TextLayout.fixed($0, 2) } ?? "-",
            ] + (startUnixS.map { [TextLayout.clock(unixSeconds: $0 + outage.startS)] } ?? []))
        }
        return TextLayout.table(rows, left: [0, 1])
    }
}
