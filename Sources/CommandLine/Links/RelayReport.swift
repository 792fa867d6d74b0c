import MastCapture
import MastLinkEmulator
import MastLinkModel
import MastTimebase

/// A relay's counts at its end.
struct RelayReport: Encodable {
    struct Direction: Encodable {
        var offeredPackets, offeredBytes, deliveredPackets, deliveredBytes, droppedPackets: Int
        var queueDrops, radioLosses, preQueueLosses, outageDrops, maxQueuePackets, maxQueueBytes: Int
        /// By CoDel or PIE.
        var activeQueueDrops, marks: Int

        init(_ counts: LinkStatistics) {
            (offeredPackets, offeredBytes) = (counts.offeredPackets, counts.offeredBytes)
            (deliveredPackets, deliveredBytes) = (counts.deliveredPackets, counts.deliveredBytes)
            droppedPackets = counts.droppedPackets
            (queueDrops, radioLosses, preQueueLosses) = (counts.queueDrops, counts.radioLosses, counts.preQueueLosses)
            outageDrops = counts.outageDrops + counts.airOutageDrops
            (maxQueuePackets, maxQueueBytes) = (counts.maxQueuePackets, counts.maxQueueBytes)
            (activeQueueDrops, marks) = (counts.activeQueueDrops, counts.marks)
        }
    }

    var scenario: String
    var seed: UInt64
    var elapsedMs: Double
    var up, down: Direction
    var clients, clientsExpired, refusedClients, overflowDrops, socketDrops, strangers: Int
    /// How late datagrams left against the model's time.
    var latenessP50Us, latenessP99Us, latenessMaxUs: Double
    var recordedPackets: Int?

    init(_ statistics: UDPRelayStatistics, _ scenario: LinkScenario, elapsed: Interval, recorded: Int?) {
        (self.scenario, seed) = (scenario.name, scenario.seed)
        elapsedMs = elapsed.inMilliseconds.rounded()
        (up, down) = (Direction(statistics.up), Direction(statistics.down))
        (clients, clientsExpired, refusedClients) = (statistics.clients, statistics.clientsExpired, statistics.refusedClients)
        (overflowDrops, socketDrops, strangers) = (statistics.overflowDrops, statistics.socketDrops, statistics.strangers)
        let microseconds = { (interval: Interval?) in Double(interval?.microseconds ?? 0) }
        latenessP50Us = microseconds(statistics.lateness.quantile(0.5))
        latenessP99Us = microseconds(statistics.lateness.quantile(0.99))
        latenessMaxUs = microseconds(statistics.lateness.maximum)
        recordedPackets = recorded
    }

    var text: String {
        var rows = [["", "offered", "delivered", "queue full", "lost on air", "outage", "most queued"]]
        for (name, side) in [("up", up), ("down", down)] {
            rows.append([
                name, "\(side.offeredPackets)", "\(side.deliveredPackets)", "\(side.queueDrops)",
                "\(side.radioLosses + side.preQueueLosses)", "\(side.outageDrops)", TextLayout.bytes(side.maxQueueBytes),
            ])
        }
        var lines = ["\(scenario): seed \(seed), \(TextLayout.duration(elapsedMs / 1_000)), \(clients + clientsExpired) clients"]
        lines += TextLayout.table(rows, left: [0])
        lines.append("departures late by \(Int(latenessP50Us)) us (median), \(Int(latenessP99Us)) us (p99), \(Int(latenessMaxUs)) us at most")
        let losses = [("refused clients", refusedClients), ("over the memory limit", overflowDrops), ("not taken by a socket", socketDrops), ("not from the target", strangers)]
        for (name, count) in losses where count > 0 { lines.append("\(count) datagrams dropped: \(name)") }
        if let recordedPackets { lines.append("\(recordedPackets) packets recorded") }
        return lines.joined(separator: "\n") + "\n"
    }
}
