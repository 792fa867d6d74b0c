import MastCapture

extension LoadReport {
    private static let barWidth = 40
    private static let mostRows = 20

    /// The summary for a person, in the order in which ghz has it.
    package var text: String {
        var lines = ["Summary:"]
        func fact(_ name: String, _ value: String) { lines.append("  " + Self.left(name + ":", 14) + value) }
        fact("Count", "\(count)")
        fact("Total", LoadFigure.time(totalMs))
        if let slowestMs, let fastestMs, let averageMs {
            fact("Slowest", LoadFigure.time(slowestMs))
            fact("Fastest", LoadFigure.time(fastestMs))
            fact("Average", LoadFigure.time(averageMs))
        }
        fact("Requests/sec", TextLayout.fixed(requestsPerSecond, 2))
        lines += [""] + loadLines
        if !histogram.isEmpty { lines += ["", "Response time histogram (ms):"] + barLines }
        if !latencyDistribution.isEmpty {
            lines += ["", "Latency distribution:"] + self.lines(latencyDistribution)
        }
        if let streams {
            lines += ["", "Streams: \(streams.messages) messages, \(TextLayout.fixed(streams.messagesPerSecond, 2))/s; time to the first message:"]
            lines += self.lines(streams.firstMessageDistribution)
        }
        if slices.count > 1 { lines += ["", "Over time:"] + sliceLines }
        if !statuses.isEmpty { lines += ["", "Status code distribution:"] + statusLines }
        if !errors.isEmpty { lines += ["", "Error distribution:"] + errorLines }
        if !connections.isEmpty {
            lines.append("")
            for (index, connection) in connections.prefix(Self.mostRows).enumerated() {
                lines.append((connections.count == 1 ? "Connection: " : "Connection \(index + 1): ") + connection.text)
            }
            if connections.count > Self.mostRows { lines.append("(\(connections.count - Self.mostRows) more connections in -O json)") }
        }
        lines += remarks.isEmpty ? [] : [""] + remarks
        return lines.joined(separator: "\n") + "\n"
    }

    private var loadLines: [String] {
        guard isOpenLoop, let late else {
            return ["  Closed loop, \(concurrency) in flight; timed from when each call was sent, so a stall is seen by \(concurrency) calls at most"]
        }
        let offered = offeredPerSecond.map { LoadReport.rate($0) } ?? "-"
        return [
            "  Open loop, \(load); timed from each call's intended start",
            "  Offered \(offered)/s, achieved \(LoadReport.rate(succeededPerSecond))/s",
            "  Late by over \(LoadFigure.time(late.boundMs)): \(late.byGenerator) by the generator (\(LoadFigure.percent(late.byGeneratorShare)), by \(LoadFigure.time(late.largestOwnMs)) at most), \(late.forPlace) for want of a place",
        ]
    }

    private static func rate(_ value: Double) -> String { TextLayout.fixed(value, 2) }

    private var barLines: [String] {
        let most = histogram.map(\.count).max() ?? 1
        let rows = histogram.map { [TextLayout.fixed($0.markMs, 3), "[\($0.count)]"] }
        let widths = (0...1).map { column in rows.map { $0[column].count }.max() ?? 0 }
        return zip(rows, histogram).map { row, bar in
            let length = most == 0 ? 0 : (bar.count * Self.barWidth + most / 2) / most
            return "  " + Self.right(row[0], widths[0]) + " " + Self.left(row[1], widths[1]) + " |" + String(repeating: "∎", count: length)
        }
    }

    private func lines(_ distribution: [Percentile]) -> [String] {
        distribution.map { entry in
            let rests = isFirm(entry.percent) ? ""
                : Self.isFirm(entry.percent, of: latencyCount) ? "  (of as many calls the generator itself was late)" : "  (fewer than ten calls are beyond it)"
            return "  " + Self.right(LoadFigure.percentile(entry.percent), 4) + " % in " + LoadFigure.time(entry.latencyMs) + (entry.percent < 90 ? "" : rests)
        }
    }

    private var sliceLines: [String] {
        // Some of many: all are in the other forms.
        let step = (slices.count + Self.mostRows - 1) / Self.mostRows
        let shown = stride(from: 0, to: slices.count, by: step).map { slices[$0] }
        let isOneStep = step == 1
        let rows = shown.map { slice in
            let seconds = (slice.toMs - slice.fromMs) / 1_000
            func rate(_ count: Int) -> String { seconds > 0 ? TextLayout.fixed(Double(count) / seconds, 0) : "-" }
            func time(_ value: Double?) -> String { value.map(LoadFigure.time) ?? "-" }
            return [
                TextLayout.fixed(slice.fromMs / 1_000, 1) + " s", rate(slice.due), rate(slice.ended), time(slice.p50Ms), time(slice.p99Ms), time(slice.maxMs),
                "\(slice.failed)", "\(slice.lateByGenerator)",
            ]
        }
        let head = ["from", "due/s", "ended/s", "p50", "p99", "max", "failed", "late"]
        let lines = TextLayout.table([head] + rows, left: []).map { "  " + $0 }
        return lines + (isOneStep ? [] : ["  (one of \(step); all are in -O json)"])
    }

    private var statusLines: [String] {
        let width = statuses.map { $0.code.count + 2 }.max() ?? 0
        return statuses.map { status in
            var line = "  " + Self.left("[\(status.code)]", width) + " \(status.count) \(status.count == 1 ? "response" : "responses")"
            if let effects = status.effects { line += "; effect " + effects.text }
            return line
        }
    }

    private var errorLines: [String] {
        let width = errors.map { "[\($0.count)]".count }.max() ?? 0
        let lines = errors.map { "  " + Self.left("[\($0.count)]", width) + " \($0.code): \($0.message)" }
        return lines + (otherErrors == 0 ? [] : ["  " + Self.left("[\(otherErrors)]", width) + " of other kinds"])
    }

    /// What a reader must know before believing a figure.
    package var remarks: [String] {
        var remarks: [String] = []
        if failed > 0, count > 0 {
            let counted = latenciesIncludeFailed ? "latencies are of all of them" : succeeded == 0 ? "none succeeded, so there are no latencies" : "latencies are of the \(succeeded) that succeeded"
            remarks.append("\(failed) of \(count) calls failed; \(counted). Effects of the failed: \(effectsOfFailed.text).")
        }
        if notSent > 0 { remarks.append("\(notSent) calls were never sent: their deadline passed while they waited for one of \(concurrency) places, or for the generator. More time: -t; more places: -c; less load: -r.") }
        if let late, count > 0, Double(late.forPlace) > 0.01 * Double(count) {
            remarks.append("\(late.forPlace) calls (\(LoadFigure.percent(Double(late.forPlace) / Double(count)))) waited for one of \(concurrency) places, which is part of their latency: unless the server stalled, -c is too small for this load.")
        }
        if isInterrupted {
            remarks.append("Interrupted after \(LoadFigure.time(totalMs)): \(inFlightAtEnd) calls were under way and \(waitingAtEnd) due; they are not counted.")
        }
        if isVoid, let late {
            remarks.append(
                "VOID: \(late.byGenerator) of \(count) calls (\(LoadFigure.percent(late.byGeneratorShare))) began more than \(LoadFigure.time(late.boundMs)) late for this generator's own reasons,")
            remarks.append(
                "not the server's, and more than \(LoadFigure.percent(late.voidAboveShare)) is too many to believe the figures. Lower -r, raise --connections, or free this machine.")
        }
        return remarks
    }

    private static func left(_ text: String, _ width: Int) -> String { text + String(repeating: " ", count: max(0, width - text.count)) }
    private static func right(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
}

extension LoadReport.Effects {
    /// Only what there is.
    var text: String {
        let parts = [("none", none), ("committed", committed), ("unknown", unknown)].filter { $0.1 > 0 }.map { "\($0.0) \($0.1)" }
        return parts.isEmpty ? "none 0" : parts.joined(separator: ", ")
    }
}
