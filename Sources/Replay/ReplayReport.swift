import MastCapture
import MastLinkInference
import MastLinkModel
import MastSimulator
import MastTimebase

/// What a replay found. The same capture, options and seed give the same report, in any two processes.
package struct ReplayReport: Encodable, Sendable {
    package struct Phase: Codable, Sendable {
        package var name: String
        package var calls: Int
        package var failed: Int
        package var servedBy: [String: Int]
        /// Of answered calls, from asking to the answer in the pool.
        package var p50Ms: Double?
        package var p95Ms: Double?
        package var p99Ms: Double?
    }

    /// Times since the first call.
    package struct Incident: Codable, Sendable {
        package var station: String
        package var atS: Double
        package var returnedS: Double?
    }

    package struct Capture: Codable, Sendable {
        package var packets: Int
        package var truncated: Bool
        package var truncation: String?
    }

    /// The client's link, as it was during the replay.
    package struct Link: Codable, Sendable {
        package var upPackets: Int
        package var upDropped: Int
        package var downPackets: Int
        package var downDropped: Int

        package init(up: LinkStatistics, down: LinkStatistics) {
            (upPackets, upDropped) = (up.offeredPackets, up.droppedPackets)
            (downPackets, downDropped) = (down.offeredPackets, down.droppedPackets)
        }
    }

    /// Of a load replay: recorded exchanges against replayed ones.
    package struct Exchanges: Codable, Sendable {
        package var flows: Int
        package var exchanges: Int
        package var answered: Int
        package var requestBytes: Int
        package var responseBytes: Int
        /// Exchanges of the capture that were left out, for their number or their size.
        package var omitted: Int
        package var recordedP50Ms: Double?
        package var recordedP95Ms: Double?
        /// Of answered ones, from asking to the whole answer.
        package var replayedP50Ms: Double?
        package var replayedP95Ms: Double?
    }

    /// `load` or `link`.
    package var mode: String
    /// In real time, over sockets and processes.
    package var live = false
    /// Of everything that happened; nil for a live replay.
    package var digest: String?
    package var seed: UInt64
    package var calls: Int
    package var failed: Int
    /// Results beyond a run id's first, or that differ from what they should be.
    package var duplicated = 0
    /// Packets that the client sent again.
    package var retransmitted: UInt64 = 0
    /// Silences that the client took for the radio's.
    package var radioOutages = 0
    package var servedBy: [String: Int]
    package var phases: [Phase]
    /// The first of `kills`.
    package var killed: Incident?
    package var kills: [Incident]
    package var exchanges: Exchanges?
    package var link: Link?
    /// Nil without a capture, as is `fit`.
    package var capture: Capture?
    package var fit: LinkFitReport?
    package var durationS: Double
    /// Virtual time from the first process to the last answer; of a live replay, real time from the first call.
    package var simulatedS: Double = 0
    /// What went into the digest.
    package var events: UInt64 = 0
    /// Why calls failed, each reason once.
    package var failures: [String]
    /// What must never be; anything here is a fault of this program.
    package var violations: [String] = []

    /// What the records tell; the rest is the caller's to fill in.
    package init(
        _ plan: ReplayPlan, _ source: ReplaySource, _ records: [RunRecord], _ steps: [StepRecord], start: Instant, incidents: [Incident]
    ) {
        mode = plan.mode.rawValue
        seed = plan.seed
        calls = records.count
        failed = records.count { !$0.isAnswered }
        servedBy = Self.servedBy(records)
        phases = Self.phases(records, start: start, incidents: incidents)
        (kills, killed) = (incidents, incidents.first)
        exchanges = plan.load.map { Exchanges($0, steps) }
        if source.fit != nil {
            capture = Capture(packets: source.packets, truncated: source.truncation != nil, truncation: source.truncation)
        }
        fit = source.fit?.report
        durationS = plan.duration.inSeconds
        failures = Self.failures(records)
    }

    static func servedBy(_ records: [RunRecord]) -> [String: Int] {
        records.reduce(into: [:]) { counts, record in if let name = record.servedBy { counts[name, default: 0] += 1 } }
    }

    static func failures(_ records: [RunRecord]) -> [String] {
        var reasons: [String] = []
        for record in records {
            if case .failed(let reason) = record.outcome, !reasons.contains(reason), reasons.count < 10 { reasons.append(reason) }
        }
        return reasons
    }

    /// Calls that were over before a kill; those that began before the station's return; the rest. Numbered where
    /// there are several kills.
    static func phases(_ records: [RunRecord], start: Instant, incidents: [Incident]) -> [Phase] {
        var left = records
        var found: [Phase] = []
        func take(_ name: String, _ belongs: (RunRecord) -> Bool) {
            found.append(phase(name, left.filter(belongs)))
            left.removeAll(where: belongs)
        }
        func time(_ instant: Instant) -> Double { (instant - start).inSeconds }
        for (number, incident) in incidents.enumerated() {
            let mark = incidents.count > 1 ? " \(number + 1)" : ""
            take(number == 0 ? "before" : "after \(number)") { time($0.ended) <= incident.atS }
            take("during" + mark) { time($0.began) < incident.returnedS ?? .infinity }
        }
        take(incidents.isEmpty ? "all" : incidents.count > 1 ? "after \(incidents.count)" : "after") { _ in true }
        return found
    }

    private static func phase(_ name: String, _ records: [RunRecord]) -> Phase {
        let times = records.filter(\.isAnswered).map(\.duration).sorted()
        return Phase(
            name: name, calls: records.count, failed: records.count { !$0.isAnswered }, servedBy: servedBy(records),
            p50Ms: milliseconds(times, 0.5), p95Ms: milliseconds(times, 0.95), p99Ms: milliseconds(times, 0.99))
    }

    /// The smallest value that `share` of all do not exceed.
    fileprivate static func milliseconds(_ sorted: [Interval], _ share: Double) -> Double? {
        guard !sorted.isEmpty else { return nil }
        let rank = Int((share * Double(sorted.count)).rounded(.up))
        return Double(sorted[min(sorted.count, max(1, rank)) - 1].microseconds) / 1000
    }
}

extension ReplayReport.Exchanges {
    fileprivate init(_ load: RecordedLoad, _ steps: [StepRecord]) {
        flows = load.flows
        exchanges = load.count
        (requestBytes, responseBytes, omitted) = (load.requestBytes, load.responseBytes, load.omitted)
        let answered = steps.filter(\.isAnswered)
        self.answered = answered.count
        // A message that nobody answered took no time that a call could be measured by.
        let asked = answered.filter { step in
            let exchange = load.exchanges[step.conversation][step.step]
            return exchange.requestBytes > 0 && exchange.responseBytes > 0
        }
        let recorded = asked.map { load.exchanges[$0.conversation][$0.step].recorded }.sorted()
        let replayed = asked.map(\.duration).sorted()
        recordedP50Ms = ReplayReport.milliseconds(recorded, 0.5)
        recordedP95Ms = ReplayReport.milliseconds(recorded, 0.95)
        replayedP50Ms = ReplayReport.milliseconds(replayed, 0.5)
        replayedP95Ms = ReplayReport.milliseconds(replayed, 0.95)
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
                    + (exchanges.omitted > 0 ? "; \(exchanges.omitted) left out" : ""))
            if exchanges.recordedP50Ms != nil {
                lines.append(
                    "exchange  recorded p50 \(fixed(exchanges.recordedP50Ms)) ms, p95 \(fixed(exchanges.recordedP95Ms)) ms; replayed p50 \(fixed(exchanges.replayedP50Ms)) ms, p95 \(fixed(exchanges.replayedP95Ms)) ms")
            }
        }
        lines.append("calls     \(calls) in \(TextLayout.fixed(durationS, 1)) s: \(failed) failed, \(duplicated) duplicated, \(retransmitted) packets sent again")
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
