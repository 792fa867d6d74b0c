import MastCapture
import MastLinkModel
import MastSimulator
import MastTimebase

/// What a replay found. The same capture, options and seed give the same report, in any two processes.
package struct ReplayReport: Codable, Sendable {
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

        init(_ counts: SimulatedNetwork.Counts) {
            (upPackets, upDropped) = (counts.up.offeredPackets, counts.up.droppedPackets)
            (downPackets, downDropped) = (counts.down.offeredPackets, counts.down.droppedPackets)
        }
    }

    package var digest: String
    package var seed: UInt64
    package var calls: Int
    package var failed: Int
    /// Results beyond a run id's first, or that differ from what they should be.
    package var duplicated: Int
    /// Packets that the client sent again.
    package var retransmitted: UInt64
    /// Silences that the client took for the radio's.
    package var radioOutages: Int
    package var servedBy: [String: Int]
    package var phases: [Phase]
    package var killed: Incident?
    package var link: Link?
    package var capture: Capture
    package var fit: LinkFitReport
    package var durationS: Double
    /// Virtual time from the first process to the last answer.
    package var simulatedS: Double
    /// What went into the digest.
    package var events: UInt64
    /// Why calls failed, each reason once.
    package var failures: [String]
    /// What must never be; anything here is a fault of this program.
    package var violations: [String]

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

    /// Calls that were over before the kill; those that began before the station's return; the rest.
    static func phases(_ records: [RunRecord], start: Instant, incident: Incident?) -> [Phase] {
        guard let incident else { return [phase("before", records)] }
        let returned = incident.returnedS ?? .infinity
        func time(_ instant: Instant) -> Double { (instant - start).inSeconds }
        let before = records.filter { time($0.ended) <= incident.atS }
        let during = records.filter { time($0.ended) > incident.atS && time($0.began) < returned }
        let after = records.filter { time($0.ended) > incident.atS && time($0.began) >= returned }
        return [phase("before", before), phase("during", during), phase("after", after)]
    }

    private static func phase(_ name: String, _ records: [RunRecord]) -> Phase {
        let times = records.filter(\.isAnswered).map(\.duration).sorted()
        func quantile(_ share: Double) -> Double? {
            guard !times.isEmpty else { return nil }
            // The smallest value that `share` of all do not exceed.
            let rank = Int((share * Double(times.count)).rounded(.up))
            return Double(times[min(times.count, max(1, rank)) - 1].microseconds) / 1000
        }
        return Phase(
            name: name, calls: records.count, failed: records.count { !$0.isAnswered }, servedBy: servedBy(records),
            p50Ms: quantile(0.5), p95Ms: quantile(0.95), p99Ms: quantile(0.99))
    }
}

extension ReplayReport {
    /// For a terminal.
    package func renderText() -> String {
        func fixed(_ value: Double?) -> String { value.map { TextLayout.fixed($0, 1) } ?? "-" }
        func rate(_ direction: LinkFitReport.Direction) -> String {
            (direction.lowerBound ? "at least " : "") + TextLayout.bitRate(direction.capacityMbps * 1e6)
        }
        let outages = fit.outages.count { $0.kind != LinkFit.Outage.Kind.senderIdle.rawValue }
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
        var lines = [
            "link      \(TextLayout.fixed(fit.windowLengthS, 1)) s of the capture, base RTT \(fixed(fit.baseRttMs)) ms, down \(rate(fit.down)), up \(rate(fit.up)), \(outages == 1 ? "1 outage" : "\(outages) outages")",
            "calls     \(calls) in \(TextLayout.fixed(durationS, 1)) s: \(failed) failed, \(duplicated) duplicated, \(retransmitted) packets sent again",
        ]
        if let killed {
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
        lines.append("digest    \(digest)  (seed \(seed), \(events) events)")
        return lines.joined(separator: "\n") + "\n"
    }
}
