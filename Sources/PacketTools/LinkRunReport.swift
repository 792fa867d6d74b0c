import MastCapture
import MastLinkModel
import MastTimebase

/// What a link did to the packets of `mast link run`.
package struct LinkRunReport: Encodable {
    package struct Quantiles: Encodable {
        var p50, p95, p99, max: Double
    }

    package var scenario: String
    package var seed: UInt64
    package var direction: String
    package var truncated: Bool
    /// Of the input: not IP, or going the other way.
    package var skippedPackets: Int
    package var durationS: Double
    package var offeredPackets, offeredBytes, deliveredPackets, deliveredBytes, droppedPackets, waitingPackets: Int
    package var drops: [String: Int]
    /// Copies beside what is delivered; and of that, what came with a bit turned over.
    package var duplicatedPackets, corruptedPackets: Int
    package var maxQueuePackets, maxQueueBytes: Int
    package var offeredMbps, deliveredMbps: Double?
    /// From arrival to leaving the server: what mm-link logs.
    package var queueDelayMs: Quantiles?

    package init(_ run: LinkRun, scenario: LinkScenario, direction: LinkDirection, truncated: Bool, skipped: Int) {
        let counts = run.link.statistics
        (self.scenario, seed, self.direction) = (scenario.name, scenario.seed, direction.rawValue)
        (self.truncated, skippedPackets) = (truncated, skipped)
        durationS = run.lastAt.sinceStart.inSeconds
        (offeredPackets, offeredBytes) = (counts.offeredPackets, counts.offeredBytes)
        (deliveredPackets, deliveredBytes) = (counts.deliveredPackets, counts.deliveredBytes)
        droppedPackets = counts.droppedPackets
        waitingPackets = counts.offeredPackets - counts.deliveredPackets - counts.droppedPackets
        drops = Dictionary(uniqueKeysWithValues: LinkDropReason.allCases.map { ($0.rawValue, counts.dropped($0)) })
        (duplicatedPackets, corruptedPackets) = (counts.duplicates, counts.corrupted)
        (maxQueuePackets, maxQueueBytes) = (counts.maxQueuePackets, counts.maxQueueBytes)
        if durationS > 0 {
            offeredMbps = Double(counts.offeredBytes) * 8 / durationS / 1e6
            // What waited at the end took its time as well.
            deliveredMbps = Double(counts.deliveredBytes) * 8 / max(run.lastServedAt, run.lastAt).sinceStart.inSeconds / 1e6
        }
        let milliseconds = { (share: Double) in run.delays.quantile(share)?.inMilliseconds ?? 0 }
        if run.delays.count > 0 {
            queueDelayMs = Quantiles(
                p50: milliseconds(0.5), p95: milliseconds(0.95), p99: milliseconds(0.99), max: run.delays.maximum.inMilliseconds)
        }
    }

    package func text(_ profile: LinkProfile) -> String {
        var lines = ["\(scenario) \(direction), seed \(seed): \(offeredPackets) packets in \(TextLayout.duration(durationS))"]
        lines += TextLayout.table(
            [
                ["", "packets", "bytes", "rate"],
                ["offered", "\(offeredPackets)", "\(offeredBytes)", rate(offeredMbps)],
                ["delivered", "\(deliveredPackets)", "\(deliveredBytes)", rate(deliveredMbps)],
            ], left: [0])
        for reason in LinkDropReason.allCases {
            guard let count = drops[reason.rawValue], count > 0 else { continue }
            lines.append("dropped    \(count) \(reason.rawValue), \(TextLayout.fixed(Double(count) * 100 / Double(max(1, offeredPackets)), 3)) %")
        }
        if duplicatedPackets > 0 { lines.append("duplicated \(duplicatedPackets)") }
        if corruptedPackets > 0 { lines.append("corrupted  \(corruptedPackets)") }
        if waitingPackets > 0 { lines.append("waiting    \(waitingPackets), and the link never serves them") }
        if let delay = queueDelayMs {
            let figures = [("p50", delay.p50), ("p95", delay.p95), ("p99", delay.p99), ("max", delay.max)]
            lines.append("queued for " + figures.map { "\($0.0) \(TextLayout.fixed($0.1, 3)) ms" }.joined(separator: ", "))
        }
        lines.append("the queue held at most \(maxQueuePackets) packets, \(TextLayout.bytes(maxQueueBytes))")
        if skippedPackets > 0 { lines.append("\(skippedPackets) packets of the input went the other way, or are not IP") }
        return lines.joined(separator: "\n") + "\n"
    }

    private func rate(_ megabits: Double?) -> String { megabits.map { TextLayout.bitRate($0 * 1e6) } ?? "" }
}
