import MastCapture
import MastLinkInference
import MastTimebase

extension ReplayReport {
    /// The replay's own length beside the recording's.
    package var lengthText: String {
        func seconds(_ value: Double) -> String { TextLayout.fixed(value, value < 10 ? 2 : 1) + " s" }
        guard let exchanges else { return "\(seconds(simulatedS)) from the first call to the last answer" }
        let expected = durationS
        var text = "replayed in \(seconds(simulatedS)), recorded in \(seconds(exchanges.recordedS))"
        if abs(expected - exchanges.recordedS) > 0.005 { text += " (\(seconds(expected)) at this speed, with pauses as played)" }
        if expected > 0 {
            let share = (simulatedS / expected - 1) * 100
            text += ": \(share < 0 ? "" : "+")\(TextLayout.fixed(share, 1)) %"
        }
        if let capture, capture.durationS - exchanges.recordedS > max(0.01 * exchanges.recordedS, 0.01) {
            text += "; the capture lasts \(seconds(capture.durationS)), and holds no message in the rest"
        }
        return text
    }
}

extension ReplayReport {
    /// For a terminal.
    package func renderText() -> String {
        func fixed(_ value: Double?) -> String { value.map { TextLayout.fixed($0, 1) } ?? "-" }
        func served(_ counts: [String: Int]) -> String {
            counts.isEmpty ? "-" : counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", ")
        }
        func padded(_ cells: [String]) -> String {
            let widths = [9, 7, 8, 9, 9, 9]
            return zip(cells, widths + [0]).map { cell, width in
                cell + String(repeating: " ", count: max(1, width - cell.count))
            }.joined()
        }
        func row(_ cells: [String]) -> String { String(padded(cells).reversed().drop { $0 == " " }.reversed()) }
        var lines: [String] = []
        if let fit {
            let outages = fit.outages.count { $0.kind != LinkFit.Outage.Kind.senderIdle.rawValue }
            lines.append("link      \(TextLayout.fixed(fit.windowLengthS, 1)) s of the capture, base RTT \(fit.baseRttMs.map { "\(fixed($0)) ms" } ?? "unknown (\(fixed(fit.assumedRttMs ?? 0)) ms assumed)"), down \(fit.down.capacityText), up \(fit.up.capacityText), \(outages == 1 ? "1 outage" : "\(outages) outages")")
        }
        if let exchanges {
            lines.append(
                "load      \(exchanges.exchanges) exchanges of \(exchanges.flows == 1 ? "1 flow" : "\(exchanges.flows) flows"), \(TextLayout.bytes(exchanges.requestBytes)) up, \(TextLayout.bytes(exchanges.responseBytes)) down"
                    + (exchanges.workS >= 0.05 ? "; the answering end's own work, \(TextLayout.fixed(exchanges.workS, 1)) s in all, passes before the questions" : ""))
            for leftOut in exchanges.leftOut { lines.append("left out  \(leftOut.exchanges == 1 ? "1 exchange" : "\(leftOut.exchanges) exchanges") \(leftOut.reason)") }
            if exchanges.cutPauses > 0 {
                lines.append("pauses    \(exchanges.cutPauses == 1 ? "1 pause was" : "\(exchanges.cutPauses) pauses were") played as \(PlayedTime.longestPause.milliseconds / 60_000) min; left out: \(TextLayout.duration(exchanges.cutS)) in all")
            }
            if exchanges.recordedP50Ms != nil {
                lines.append(
                    "exchange  recorded p50 \(fixed(exchanges.recordedP50Ms)) ms, p95 \(fixed(exchanges.recordedP95Ms)) ms; replayed p50 \(fixed(exchanges.replayedP50Ms)) ms, p95 \(fixed(exchanges.replayedP95Ms)) ms")
            }
        }
        lines.append("length    " + lengthText)
        for assumption in assumed { lines.append("assumed   \(assumption.text)") }
        lines.append("calls     \(calls): \(failed) failed, \(duplicated) duplicated")
        lines.append("sent again by the client \(retransmitted) packets, by the servers \(serversRetransmitted.map { "\($0)" } ?? "unknown (\(serversRetransmittedReason ?? "nobody counted"))")")
        for killed in kills {
            lines.append(
                "killed    \(killed.station) at \(fixed(killed.atS)) s" + (killed.returnedS.map { ", back at \(TextLayout.fixed($0, 1)) s" } ?? ""))
        }
        if let link {
            lines.append(
                "packets   up \(link.upPackets) (\(link.upDropped) lost on the link), down \(link.downPackets) (\(link.downDropped) lost)")
        }
        lines.append("")
        lines.append(row(["phase", "calls", "failed", "p50 ms", "p95 ms", "p99 ms", "served by"]))
        for phase in phases {
            lines.append(
                row([
                    phase.name, "\(phase.calls)", "\(phase.failed)", fixed(phase.p50Ms), fixed(phase.p95Ms), fixed(phase.p99Ms),
                    served(phase.servedBy),
                ]))
        }
        lines.append("")
        for failure in failures { lines.append("failure   \(failure)") }
        for violation in violations { lines.append("VIOLATION \(violation)") }
        lines.append(digest.map { "digest    \($0)  (seed \(seed), \(events) events)" } ?? "seed      \(seed)")
        return lines.joined(separator: "\n") + "\n"
    }
}
