import MastCapture
import MastLinkEmulator
import MastLinkInference
import MastTimebase

/// Sends a capture's packets on, each at its time since the first, and keeps the account of it.
package struct PacketReplay {
    private let packets: RecordedPackets
    private let target: PacketTarget

    package init(_ packets: RecordedPackets, to target: PacketTarget) { (self.packets, self.target) = (packets, target) }

    /// - Parameters:
    ///   - isInterrupted: whether to stop here; what was sent is still accounted for.
    ///   - progress: is shown the account five times a second, and the time since the start.
    package func run(
        isInterrupted: () -> Bool = { false }, progress: (PacketReplayReport, Interval) -> Void = { _, _ in }
    ) throws -> PacketReplayReport {
        var report = PacketReplayReport(target: target.name)
        let clock = SendClock()
        var lastShown = Instant.zero
        func show(_ now: Instant) {
            guard now - lastShown >= .milliseconds(200) else { return }
            lastShown = now
            progress(report, now.sinceStart)
        }
        sending: while let packet = try packets.next() {
            if target.isRealTime {
                while !clock.wait(until: packet.at) {
                    if isInterrupted() { break sending }
                    show(clock.now)
                }
            }
            let now = clock.now
            switch target.send(packet) {
            case .sent(let bytes, let isPadded): report.sent(bytes, isPadded: isPadded, at: packet.at, late: target.isRealTime ? now - packet.at : nil)
            case .failed: report.failed += 1
            case .skipped: report.skipped += 1
            }
            show(now)
            if isInterrupted() { break }
        }
        try target.close()
        report.finish(packets, elapsed: clock.now.sinceStart, isRealTime: target.isRealTime)
        return report
    }
}

/// What a packet replay did, in tcpreplay's terms.
package struct PacketReplayReport: Encodable {
    package struct Error: Encodable { var p50Us, p99Us, maxUs: Double }

    package var target: String
    package var packets = 0
    package var bytes = 0
    package var flows = 0
    package var failed = 0
    /// Not of a kind that the target takes.
    package var skipped = 0
    /// Sent with zeros where the capture had cut their payload.
    package var padded = 0
    package var droppedByLink = 0
    /// By the schedule, from the first packet to the last.
    package var scheduledS = 0.0
    package var elapsedS: Double?
    /// When packets left against when they should have.
    package var sendTimeError: Error?

    private var lateness = IntervalHistogram()

    private enum CodingKeys: String, CodingKey {
        case target, packets, bytes, flows, failed, skipped, padded, droppedByLink, scheduledS, elapsedS, sendTimeError
    }

    package init(target: String) { self.target = target }

    package mutating func sent(_ count: Int, isPadded: Bool, at time: Instant, late: Interval?) {
        packets += 1
        bytes += count
        if isPadded { padded += 1 }
        scheduledS = time.sinceStart.inSeconds
        if let late { lateness.add(late) }
    }

    package mutating func finish(_ source: RecordedPackets, elapsed: Interval, isRealTime: Bool) {
        (flows, droppedByLink) = (source.flowCount, source.dropped)
        guard isRealTime else { return }
        elapsedS = elapsed.inSeconds
        func microseconds(_ share: Double) -> Double { Double(lateness.quantile(share)?.nanoseconds ?? 0) / 1_000 }
        if lateness.count > 0 { sendTimeError = Error(p50Us: microseconds(0.5), p99Us: microseconds(0.99), maxUs: microseconds(1)) }
    }

    package var text: String {
        let seconds = max(elapsedS ?? scheduledS, 1e-9)
        var lines = [
            "actual    \(packets) packets (\(bytes) bytes) to \(target) in \(TextLayout.fixed(elapsedS ?? scheduledS, 3)) s\(elapsedS == nil ? " of the file's time" : "")",
            "rated     \(TextLayout.bitRate(Double(bytes) * 8 / seconds)), \(TextLayout.fixed(Double(packets) / seconds, 1)) packets/s",
            "flows     \(flows)",
            "failed    \(failed); \(skipped) skipped, \(padded) padded where the capture had cut them"
                + (droppedByLink > 0 ? "; \(droppedByLink) lost on the link" : ""),
        ]
        if let error = sendTimeError {
            lines.append(
                "schedule  asked \(TextLayout.fixed(scheduledS, 3)) s; packets left late by \(TextLayout.fixed(error.p50Us, 0)) µs (p50), \(TextLayout.fixed(error.p99Us, 0)) µs (p99), \(TextLayout.fixed(error.maxUs, 0)) µs at most")
        }
        return lines.joined(separator: "\n") + "\n"
    }
}
