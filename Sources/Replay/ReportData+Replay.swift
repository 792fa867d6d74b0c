import MastCapture
import MastLinkInference
import MastLinkModel
import MastReporting
import MastSimulator
import MastTimebase
import MastTransport

extension ReportData {
    /// The page of a replay: what the client's calls and its transport met. Times count from the first call.
    package init(_ report: ReplayReport, _ recording: ReplayRecording, fit: LinkFit?, title: String) {
        self.init(subject: .replay, title: title)
        let lastCall = recording.records.map(\.ended).max() ?? recording.start
        lengthS = max(report.durationS, (lastCall - recording.start).inSeconds)
        figures = Self.figures(report, recording)
        facts = Self.facts(report)
        if recording.isCutShort { notes.append("The transport's plots end after \(ReplayRecorder.mostEvents) events.") }
        calls = recording.records.sorted { ($0.began, $0.ended) < ($1.began, $1.ended) }.enumerated().map { number, record in
            var failure: String?
            if case .failed(let reason) = record.outcome { failure = reason }
            return Call(
                name: "\(number + 1)", startS: (record.began - recording.start).inSeconds, durationMs: record.duration.inMilliseconds,
                servedBy: record.servedBy ?? (failure == nil ? "the pool" : nil), failure: failure, attempts: record.attempts)
        }
        for (direction, name) in [(LinkDirection.up, "up"), (.down, "down")] {
            outages += recording.link[direction].outages.map { outage in
                let start = outage.start.inSeconds
                return Outage(
                    startS: start, endS: start + outage.duration.inSeconds, direction: name, kind: outage.mode == .hold ? "hold" : "drop",
                    confidence: nil, basis: "of the scenario")
            }
        }
        outages.sort { ($0.startS, $0.direction) < ($1.startS, $1.direction) }
        addTransport(recording, fit)
        addMoments(report, recording)
        thin()
    }

    private static func facts(_ report: ReplayReport) -> [String] {
        func count(_ number: Int, _ noun: String) -> String { number == 1 ? "1 \(noun)" : "\(number) \(noun)s" }
        var facts = [
            "\(count(report.calls, "call")): \(report.failed == 0 ? "all were answered" : "\(report.failed) failed"), \(report.duplicated == 0 ? "none twice" : "\(report.duplicated) twice").",
            "Length: \(report.lengthText).",
            "Served by "
                + report.servedBy.sorted { $0.key < $1.key }.map { "\($0.key) (\($0.value))" }.joined(separator: ", ") + ".",
        ]
        for killed in report.kills {
            facts.append("\(killed.station) was killed at \(TextLayout.fixed(killed.atS, 1)) s\(killed.returnedS.map { " and returned at \(TextLayout.fixed($0, 1)) s" } ?? "").")
        }
        for phase in report.phases where phase.calls > 0 {
            guard let median = phase.p50Ms, let high = phase.p99Ms else { continue }
            facts.append("\(phase.name.prefix(1).uppercased())\(phase.name.dropFirst()): \(count(phase.calls, "call"))\(phase.failed > 0 ? ", of which \(phase.failed) failed; of the others" : ""), half within \(TextLayout.fixed(median, 1)) ms, 99 % within \(TextLayout.fixed(high, 1)) ms.")
        }
        if let load = report.exchanges {
            facts.append("Recorded load: \(count(load.exchanges, "exchange")) of \(count(load.flows, "flow")), \(TextLayout.bytes(load.requestBytes)) up and \(TextLayout.bytes(load.responseBytes)) down\(load.workS >= 0.05 ? "; the answering end's own work, \(TextLayout.fixed(load.workS, 1)) s in all, passes before the questions" : "").")
            for leftOut in load.leftOut { facts.append("Left out: \(count(leftOut.exchanges, "exchange")) \(leftOut.reason).") }
            if load.cutPauses > 0 { facts.append("\(count(load.cutPauses, "pause")) played as \(PlayedTime.longestPause.milliseconds / 60_000) min; \(TextLayout.duration(load.cutS)) in all left out.") }
            if let before = load.recordedP50Ms, let after = load.replayedP50Ms {
                facts.append("Half of the answered exchanges took \(TextLayout.fixed(before, 1)) ms when recorded and \(TextLayout.fixed(after, 1)) ms when replayed.")
            }
        }
        if let fit = report.fit {
            func side(_ name: String, _ side: LinkFitReport.Direction) -> String {
                "\(name) \(side.capacityText)"
            }
            facts.append(
                "The client's link, as fitted to the capture: \(side("down", fit.down)), \(side("up", fit.up)), base round trip \(fit.baseRttMs.map { "\(fit.baseRttIsUpperBound ? "at most " : "")\(TextLayout.fixed($0, 1)) ms" } ?? "unknown, \(TextLayout.fixed(fit.assumedRttMs ?? 0, 1)) ms assumed").")
        }
        if let link = report.link {
            facts.append("Packets on it: \(link.upPackets) up (\(link.upDropped) lost) and \(link.downPackets) down (\(link.downDropped) lost).")
        }
        facts.append("Packets sent again: \(report.retransmitted) by the client, \(report.serversRetransmitted.map { "\($0)" } ?? "an unknown number (\(report.serversRetransmittedReason ?? "nobody counted"))") by the servers.")
        for assumption in report.assumed { facts.append("Assumed, not measured: \(assumption.text).") }
        if let capture = report.capture, capture.truncated { facts.append("The capture breaks off (\(capture.truncation ?? "no reason given")): the link is that of what came before.") }
        for violation in report.violations { facts.append("Check failed: \(violation)") }
        facts.append(report.digest.map { "Seed \(report.seed), digest \($0): the same seed gives the same run." } ?? "Seed \(report.seed); a live run.")
        return facts
    }

    private mutating func addMoments(_ report: ReplayReport, _ recording: ReplayRecording) {
        for killed in report.kills {
            moments.append(Moment(atS: killed.atS, label: "\(killed.station) killed", detail: "as by SIGKILL, in the middle of what it did"))
            if let returned = killed.returnedS { moments.append(Moment(atS: returned, label: "\(killed.station) returns", detail: "started again")) }
        }
        // A failover shows in who answered next.
        var last: String?
        for record in recording.records.sorted(by: { $0.ended < $1.ended }) {
            guard let server = record.servedBy else { continue }
            if let last, last != server {
                moments.append(
                    Moment(atS: (record.ended - recording.start).inSeconds, label: "→ \(server)", detail: "first answer of \(server) after \(last)"))
            }
            last = server
        }
        for event in recording.traced {
            let atS = (event.time - recording.start).inSeconds
            guard atS >= 0 else { continue }
            switch event.event {
            case .migrated(let address): moments.append(Moment(atS: atS, label: "path changed", detail: "the peer is at \(address) now"))
            case .connected: moments.append(Moment(atS: atS, label: "connected", detail: "a new connection of the client"))
            case .closed(let reason): moments.append(Moment(atS: atS, label: "closed", detail: "\(reason)"))
            default: break
            }
        }
        moments.sort { ($0.atS, $0.label) < ($1.atS, $1.label) }
        // More than this no plot could tell apart.
        if moments.count > 2_000 {
            notes.append("Of \(moments.count) moments the first 2000 are shown.")
            moments.removeLast(moments.count - 2_000)
        }
    }

    private mutating func addTransport(_ recording: ReplayRecording, _ fit: LinkFit?) {
        let binUs: Int64 = [10_000, 20_000, 50_000, 100_000, 200_000, 500_000, 1_000_000].first { lengthS * 1e6 / Double($0) < 2_500 } ?? 2_000_000
        // A replay lasts an hour and its last call's time limit at most.
        let bins = Int(min(lengthS * 1e6 / Double(binUs), 10_000)) + 1
        var bits = (up: Array(repeating: Int64(0), count: bins), down: Array(repeating: Int64(0), count: bins))
        var rtt = Samples()
        var connections: [ConnectionTrack] = []
        for event in recording.traced {
            let us = (event.time - recording.start).microseconds
            let index: Int
            if let known = connections.firstIndex(where: { $0.handle == event.connection }) {
                index = known
            } else {
                index = connections.count
                connections.append(ConnectionTrack(event.connection, atUs: us))
            }
            connections[index].follow(event.event, atUs: us)
            guard us >= 0 else { continue }
            let bin = Int(us / binUs)
            switch event.event {
            case .packetSent(_, let bytes, _, _): if bin < bins { bits.up[bin] += Int64(bytes + Self.headerBytes) * 8 }
            case .packetReceived(_, let bytes): if bin < bins { bits.down[bin] += Int64(bytes + Self.headerBytes) * 8 }
            case .metricsUpdated(let metrics):
                if let latest = metrics.latestRTT, rtt.values.last != latest.inMilliseconds {
                    rtt.add(us, latest.inMilliseconds)
                }
            default: break
            }
        }
        func lane(_ direction: FlowDirection, _ values: [Int64]) -> Lane {
            let step = LinkFit.step.inSeconds
            let rates = (fit?[direction].assumedRates ?? []).map { $0.bitsPerSecond / 1_000 }
            // Where the replay outlasts the capture, the rates begin again.
            let capacity = rates.isEmpty ? [] : (0..<min(100_000, Int(lengthS / step) + 1)).map { rates[$0 % rates.count] }
            var lane = Lane(
                direction: direction.name, startS: 0, binS: Double(binUs) / 1e6, usedKbps: values.map { $0 * 1_000 / binUs },
                capacityStartS: 0, capacityBinS: step, capacityKbps: capacity, isLowerBound: false)
            lane.isCapacityAssumed = fit?[direction].isLowerBound ?? false
            return lane
        }
        notes.append("Of the rate up, what the client sent is shown, also where the link discarded it.")
        lanes = [lane(.down, bits.down), lane(.up, bits.up)]
        if !rtt.timesUs.isEmpty { rtts = [RTTSeries(name: "the client's connections, by its transport", samples: rtt)] }
        flows = connections.map(\.flow).sorted { $0.up.bytes + $0.down.bytes > $1.up.bytes + $1.down.bytes }
    }

    /// IPv4 and UDP, which the link carries too.
    private static let headerBytes = 28
}

/// One connection of the client, as its transport traced it.
private struct ConnectionTrack {
    let handle: ConnectionHandle
    private var firstUs: Int64
    private var lastUs: Int64
    private var up = ReportData.Flow.Side(packets: 0, bytes: 0, retransmissions: 0, lost: 0)
    private var down = ReportData.Flow.Side(packets: 0, bytes: 0)
    private var points = ReportPoints()
    /// Where a packet ended in the bytes sent.
    private var ends: [UInt64: Int64] = [:]  // lookup only
    private var least: Interval?

    init(_ handle: ConnectionHandle, atUs us: Int64) { (self.handle, firstUs, lastUs) = (handle, us, us) }

    mutating func follow(_ event: TraceEvent, atUs us: Int64) {
        lastUs = max(lastUs, us)
        switch event {
        case .packetSent(let number, let bytes, let isRetransmission, _):
            up.packets += 1
            up.bytes += bytes
            if isRetransmission { up.retransmissions = (up.retransmissions ?? 0) + 1 }
            ends[number] = Int64(up.bytes)
            points.add(us, Int64(up.bytes), (isRetransmission ? ReportPoints.Kind.retransmission : .data).rawValue + 4)
        case .packetReceived(_, let bytes):
            down.packets += 1
            down.bytes += bytes
            points.add(us, Int64(down.bytes), ReportPoints.Kind.data.rawValue)
        case .packetAcknowledged(let number):
            if let end = ends.removeValue(forKey: number) { points.add(us, end, ReportPoints.Kind.acknowledgement.rawValue + 4) }
        case .packetLost(let number):
            up.lost = (up.lost ?? 0) + 1
            if let end = ends[number] { points.add(us, end, ReportPoints.Kind.gap.rawValue + 4) }
        case .metricsUpdated(let metrics): least = metrics.minimumRTT ?? least
        default: break
        }
    }

    var flow: ReportData.Flow {
        ReportData.Flow(
            name: "client, connection \(handle)", protocolName: "mast", firstS: Double(firstUs) / 1e6, lastS: Double(lastUs) / 1e6, up: up,
            down: down, minimumRTTMs: least?.inMilliseconds, points: points)
    }
}
