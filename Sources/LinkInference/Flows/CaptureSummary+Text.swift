import MastCapture

extension CaptureSummary {
    /// The summary for a terminal of `width` columns, lines ended by newlines.
    package func renderText(width: Int = 100, mostFlows: Int = 20, mostSilences: Int = 20) -> String {
        var lines: [String] = []
        lines.append("\(file): \(format), \(linkType), \(packets) packets, \(TextLayout.bytes(bytes)) in \(TextLayout.duration(durationS))")
        if let startUnixS { lines.append("first packet  \(TextLayout.date(unixSeconds: startUnixS)), from which times count") }
        if let part { lines.append("part          \(part.text(packets: packets))") }
        var counts = "IP            \(ipPackets) packets, \(TextLayout.bytes(ipBytes))"
        if undecoded > 0 { counts += "; \(undecoded) without IP or unreadable" }
        if durationS > 0 { counts += "; mean \(TextLayout.bitRate(Double(ipBytes) * 8 / durationS))" }
        lines.append(counts)
        if truncated { lines.append("TRUNCATED     \(truncationReason ?? "unknown reason"); all before the break is counted") }
        if capturedBytes < bytes { lines.append("snap length   \(TextLayout.bytes(capturedBytes)) of \(TextLayout.bytes(bytes)) captured; sizes are those on the wire") }
        if duplicates > 0 { lines.append("duplicates    \(duplicates) packets were recorded more than once") }
        if timeStepsBack > 0 { lines.append("clock         stepped back \(timeStepsBack == 1 ? "once" : "\(timeStepsBack) times")") }
        if lateRecords > 0 { lines.append("late          \(lateRecords == 1 ? "1 record stands" : "\(lateRecords) records stand") behind later ones; read in order of time") }
        lines += notes.map { "note          " + $0.text }
        lines += connections?.lines ?? []
        lines += periodLines() + rateLines(width) + flowLines(mostFlows) + silenceLines(mostSilences)
        return lines.joined(separator: "\n") + "\n"
    }

    private func periodLines() -> [String] {
        guard periods.count > 1 else { return [] }
        let longest = periods.max { ($0.bytes, $1.startS) < ($1.bytes, $0.startS) }
        let count = periods.count + periodsOmitted
        guard let longest else { return [] }
        return ["periods       \(count), more than 60 s apart; the fullest from \(TextLayout.duration(longest.startS)) for \(TextLayout.duration(longest.durationS)) (\(longest.packets) packets, \(TextLayout.bytes(longest.bytes)))"]
    }

    private func rateLines(_ width: Int) -> [String] {
        guard let rate else { return [] }
        let columns = max(10, width - 34)
        let end = rate.startS + rate.binS * Double(max(rate.upMbps.count, 1))
        var lines = ["", "rate of IP bytes, \(TextLayout.fixed(rate.binS, 0)) s bins, from \(TextLayout.fixed(rate.startS, 0)) s to \(TextLayout.fixed(end, 0)) s"]
        for (name, series) in [("down", rate.downMbps), ("up", rate.upMbps)] {
            let spark = TextLayout.sparkline(series, columns: columns)
            let label = name == "up" ? "  up    " : "  down  "
            lines.append("\(label)\(spark)  peak \(TextLayout.bitRate((series.max() ?? 0) * 1e6))")
        }
        return lines
    }

    private func flowLines(_ most: Int) -> [String] {
        guard !flows.isEmpty else { return [] }
        var rows = [["proto", "client", "server", "start s", "length s", "up pkts", "up", "down pkts", "down", "rtt ms", "resent", "lost", "state", "name"]]
        for flow in flows.prefix(most) {
            let rtt = flow.rttMs.p50 ?? flow.rttMs.handshake
            var name = flow.serverName ?? "-"
            if flow.serverNameBasis == "dns" { name += " (DNS)" }
            let resent = sum(flow.up.retransmissions, flow.down.retransmissions)
            // Of a connection one side's alone is less than all.
            let isPart = flow.protocolName == "tcp" && (flow.up.lost == nil || flow.down.lost == nil)
            let lost = isPart ? nil : sum(flow.up.lost, flow.down.lost)
            rows.append([
                flow.protocolName, flow.client, flow.server, TextLayout.fixed(flow.firstS, 3),
                TextLayout.fixed(flow.lastS - flow.firstS, 3), "\(flow.up.packets)", TextLayout.bytes(flow.up.bytes),
                "\(flow.down.packets)", TextLayout.bytes(flow.down.bytes), rtt.map { TextLayout.fixed($0, 1) } ?? "-",
                resent.map { "\($0)" } ?? "-", lost.map { "\($0)" } ?? "-",
                flow.state.flatMap(TCPConnectionState.init(rawValue:))?.text ?? "-", name,
            ])
        }
        // Most captures name no server.
        if flows.prefix(most).allSatisfy({ $0.serverName == nil }) { rows = rows.map { Array($0.dropLast()) } }
        var lines = ["", "flows (\(flowCount))"] + TextLayout.table(rows, left: [0, 1, 2, 12, 13]).map { "  " + $0 }
        lines += causeLines(most)
        if flowCount > most { lines.append("  and \(flowCount - most) smaller ones (all with --json)") }
        if untrackedPackets > 0 { lines.append("  \(untrackedPackets) packets belong to flows beyond the table's limit") }
        return lines
    }

    /// Why TCP data was sent again, in the flows that are shown.
    private func causeLines(_ most: Int) -> [String] {
        var (fast, timeout, tail, unexplained, spurious, handshakes, late) = (0, 0, 0, 0, 0, 0, 0)
        for side in flows.prefix(most).flatMap({ [$0.up, $0.down] }) {
            guard let all = side.retransmissions else { continue }
            let told = ((side.fastRetransmissions ?? 0), (side.timeoutRetransmissions ?? 0), (side.tailRetransmissions ?? 0))
            let opening = (side.synRetransmissions ?? 0) + (side.finRetransmissions ?? 0)
            (fast, timeout, tail) = (fast + told.0, timeout + told.1, tail + told.2)
            (spurious, handshakes) = (spurious + (side.spuriousRetransmissions ?? 0), handshakes + opening)
            unexplained += side.unexplainedRetransmissions ?? 0
            late += max(0, all - told.0 - told.1 - told.2 - (side.unexplainedRetransmissions ?? 0) - opening)
        }
        let parts = [
            (fast, "after duplicate acknowledgements or SACK"), (timeout, "by timeout"), (tail, "by tail loss probe"), (handshakes, "SYN or FIN"),
            (unexplained, "of which nothing here tells why"),
            (late, "lost before the capture point, so that only the second was seen"),
        ].filter { $0.0 > 0 }
        guard !parts.isEmpty else { return [] }
        var line = "  sent again: " + parts.map { "\($0.0) \($0.1)" }.joined(separator: ", ")
        if spurious > 0 { line += "; \(spurious) of them needlessly" }
        return [line]
    }

    private func silenceLines(_ most: Int) -> [String] {
        if notes.contains(where: { $0.kind == .coarseClock || $0.kind == .unreadableClock }) { return ["", "silences: not told, for want of a clock"] }
        guard !silences.isEmpty else { return ["", "silences of 200 ms or more: none"] }
        let total = silences.count + silencesOmitted
        let shown = silences.sorted { ($1.lengthS, $0.startS) < ($0.lengthS, $1.startS) }.prefix(most)
            .sorted { ($0.startS, $0.direction) < ($1.startS, $1.direction) }
        let rows = [["from s", "length s", "direction"]] + shown.map {
            [TextLayout.fixed($0.startS, 3), TextLayout.fixed($0.lengthS, 3), $0.direction]
        }
        let title = total > most ? "silences of 200 ms or more (\(total), the \(most) longest)" : "silences of 200 ms or more (\(total))"
        return ["", title] + TextLayout.table(rows, left: [2]).map { "  " + $0 }
    }

    private func sum(_ a: Int?, _ b: Int?) -> Int? { a == nil && b == nil ? nil : (a ?? 0) + (b ?? 0) }
    private func sum(_ a: Double?, _ b: Double?) -> Double? {
        guard let a, let b else { return a ?? b }
        return a + b
    }
}
