import MastLinkModel
import MastTimebase

/// What both directions of a running link did by a moment, for whoever looks on.
package struct LinkGauge: Sendable {
    package struct Direction: Sendable {
        package var statistics: LinkStatistics
        package var queuedPackets: Int
        package var queuedBytes: Int

        package init(statistics: LinkStatistics = LinkStatistics(), queuedPackets: Int = 0, queuedBytes: Int = 0) {
            (self.statistics, self.queuedPackets, self.queuedBytes) = (statistics, queuedPackets, queuedBytes)
        }

        /// Between an earlier moment and this one, in bits a second.
        func rate(since earlier: Direction, in time: Interval) -> Double {
            time > .zero ? Double(statistics.deliveredBytes - earlier.statistics.deliveredBytes) * 8 / time.inSeconds : 0
        }
    }

    package var time: Instant
    package var up: Direction
    package var down: Direction

    package init(time: Instant, up: Direction, down: Direction) { (self.time, self.up, self.down) = (time, up, down) }
}

/// Makes a line of the last second of a link.
package struct LinkGaugeLine: Sendable {
    private var past: [LinkGauge] = []

    package init() {}

    /// - Returns: the rate each way over the last second, what waits, and what was lost in all.
    package mutating func line(_ now: LinkGauge, format: (_ bitsPerSecond: Double) -> String, bytes: (Int) -> String) -> String {
        past.removeAll { now.time - $0.time > .milliseconds(1_050) }
        let before = past.first ?? now
        past.append(now)
        let length = now.time - before.time
        func side(_ name: String, _ direction: LinkGauge.Direction, _ earlier: LinkGauge.Direction) -> String {
            let lost = direction.statistics.droppedPackets
            let share = direction.statistics.offeredPackets > 0 ? Double(lost) * 1_000 / Double(direction.statistics.offeredPackets) : 0
            let tenths = Int(share.rounded())
            return "\(name) \(format(direction.rate(since: earlier, in: length))), queue \(bytes(direction.queuedBytes)), lost \(lost)\(lost > 0 ? " (\(tenths / 10).\(tenths % 10) %)" : "")"
        }
        return side("up", now.up, before.up) + " | " + side("down", now.down, before.down)
    }
}
