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
        /// Copies beside what is delivered; and of that, what came with a bit turned over.
        var duplicatedPackets, corruptedPackets: Int

        init(_ counts: LinkStatistics) {
            (offeredPackets, offeredBytes) = (counts.offeredPackets, counts.offeredBytes)
            (deliveredPackets, deliveredBytes) = (counts.deliveredPackets, counts.deliveredBytes)
            droppedPackets = counts.droppedPackets
            (queueDrops, radioLosses, preQueueLosses) = (counts.queueDrops, counts.radioLosses, counts.preQueueLosses)
            outageDrops = counts.outageDrops + counts.airOutageDrops
            (maxQueuePackets, maxQueueBytes) = (counts.maxQueuePackets, counts.maxQueueBytes)
            (activeQueueDrops, marks) = (counts.activeQueueDrops, counts.marks)
            (duplicatedPackets, corruptedPackets) = (counts.duplicates, counts.corrupted)
        }
    }

    /// One client's part of the link.
    struct Client: Encodable {
        struct Way: Encodable {
            var offeredBytes, deliveredBytes, deliveredPackets, droppedPackets: Int
            /// Of all that was delivered.
            var share: Double
            /// While it was there.
            var mbps: Double?
        }
        var client: String
        var firstS, lastS: Double
        var up, down: Way
    }

    /// The busiest; a relay may have seen thousands.
    static let mostClients = 1_000

    var scenario: String
    var seed: UInt64
    var elapsedMs: Double
    var up, down: Direction
    var clients, clientsExpired, refusedClients, overflowDrops, socketDrops, unusable, strangers: Int
    /// How late datagrams left against the model's time.
    var latenessP50Us, latenessP99Us, latenessMaxUs: Double
    var recordedPackets: Int?
    /// Those with most bytes first.
    var shares: [Client]
    /// Jain's index; nil of fewer than two.
    var fairnessUp, fairnessDown: Double?

    init(_ statistics: UDPRelayStatistics, _ scenario: LinkScenario, elapsed: Interval, recorded: Int?) {
        (self.scenario, seed) = (scenario.name, scenario.seed)
        elapsedMs = elapsed.inMilliseconds.rounded()
        (up, down) = (Direction(statistics.up), Direction(statistics.down))
        (clients, clientsExpired, refusedClients) = (statistics.clients, statistics.clientsExpired, statistics.refusedClients)
        (overflowDrops, socketDrops, unusable, strangers) = (statistics.overflowDrops, statistics.socketDrops, statistics.unusable, statistics.strangers)
        let microseconds = { (interval: Interval?) in Double(interval?.microseconds ?? 0) }
        latenessP50Us = microseconds(statistics.lateness.quantile(0.5))
        latenessP99Us = microseconds(statistics.lateness.quantile(0.99))
        latenessMaxUs = microseconds(statistics.lateness.maximum)
        recordedPackets = recorded
        (fairnessUp, fairnessDown) = (statistics.fairness(.up), statistics.fairness(.down))
        let all = (up: max(1, statistics.shares.reduce(0) { $0 + $1.up.deliveredBytes }), down: max(1, statistics.shares.reduce(0) { $0 + $1.down.deliveredBytes }))
        let busiest = statistics.shares.sorted { $0.up.deliveredBytes + $0.down.deliveredBytes > $1.up.deliveredBytes + $1.down.deliveredBytes }
        shares = busiest.prefix(Self.mostClients).map { share in
            let seconds = (share.last - share.first).inSeconds
            func way(_ own: UDPRelayStatistics.ClientShare.Way, of all: Int) -> Client.Way {
                Client.Way(
                    offeredBytes: own.offeredBytes, deliveredBytes: own.deliveredBytes, deliveredPackets: own.deliveredPackets,
                    droppedPackets: own.droppedPackets, share: Double(own.deliveredBytes) / Double(all),
                    mbps: seconds > 0 ? Double(own.deliveredBytes) * 8 / seconds / 1e6 : nil)
            }
            return Client(
                client: share.client.description, firstS: share.first.sinceStart.inSeconds, lastS: share.last.sinceStart.inSeconds,
                up: way(share.up, of: all.up), down: way(share.down, of: all.down))
        }
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
        if shares.count > 1 {
            var rows = [["client", "up", "share", "dropped", "down", "share", "dropped"]]
            for client in shares.prefix(20) {
                rows.append([client.client] + [client.up, client.down].flatMap { way in
                    [way.mbps.map { TextLayout.bitRate($0 * 1e6) } ?? "-", "\(TextLayout.fixed(way.share * 100, 1)) %", "\(way.droppedPackets)"]
                })
            }
            lines += TextLayout.table(rows, left: [0])
            if shares.count > 20 { lines.append("and \(shares.count - 20) clients more (--json lists them)") }
            let fairness = [("up", fairnessUp), ("down", fairnessDown)].compactMap { name, index in index.map { "\(name) \(TextLayout.fixed($0, 3))" } }
            if !fairness.isEmpty { lines.append("Jain's index of fairness: " + fairness.joined(separator: ", ")) }
        }
        for (name, side) in [("up", up), ("down", down)] where side.duplicatedPackets + side.corruptedPackets > 0 {
            lines.append("\(name): \(side.duplicatedPackets) packets came twice, \(side.corruptedPackets) with a bit turned over")
        }
        lines.append("departures late by \(Int(latenessP50Us)) us (median), \(Int(latenessP99Us)) us (p99), \(Int(latenessMaxUs)) us at most")
        let losses = [("refused clients", refusedClients), ("over the memory limit", overflowDrops), ("not taken by a socket", socketDrops), ("from port 0", unusable), ("not from the target", strangers)]
        for (name, count) in losses where count > 0 { lines.append("\(count) datagrams dropped: \(name)") }
        if let recordedPackets { lines.append("\(recordedPackets) packets recorded") }
        return lines.joined(separator: "\n") + "\n"
    }
}
