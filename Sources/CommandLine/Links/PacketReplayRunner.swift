import Foundation
import MastCapture
import MastLinkEmulator
import MastLinkModel
import MastReplay
import MastTimebase
import Synchronization

/// `mast replay --mode packets`: where the packets go, and the account of it.
struct PacketReplayRunner {
    private let command: ReplayCommand

    init(_ command: ReplayCommand) { self.command = command }

    func run() throws {
        guard let path = command.file else { throw Failure(.usage, "--mode packets needs a capture") }
        var options = RecordedPackets.Options()
        options.part = try command.part.part(conversations: true)
        options.load = command.part.load
        if path == "-", options.load.rounds > 1 || options.part.flow != nil {
            throw Failure(.usage, "standard input is read once: --loop and --flow need a file")
        }
        if command.link.isGiven || !command.events.outages.isEmpty {
            var link = try command.link.resolved()
            for direction in LinkDirection.allCases { link[direction].outages += command.events.outages }
            options.link = link
        }
        let packets: RecordedPackets
        do { packets = try RecordedPackets(path: path, options: options) } catch let failure as ReplayFailure {
            throw Failure(.badData, "\(path): \(failure)")
        }
        let target = try target(path, packets)
        var report = PacketReplayReport(target: target.name)
        interrupted.store(false, ordering: .relaxed)
        for number in [SIGINT, SIGTERM] { signal(number) { _ in interrupted.store(true, ordering: .relaxed) } }
        let clock = SendClock()
        var lastShown = Instant.zero
        sending: while let packet = try packets.next() {
            if target.isRealTime {
                while !clock.wait(until: packet.at) {
                    if interrupted.load(ordering: .relaxed) { break sending }
                    Self.show(report, clock.now, &lastShown)
                }
            }
            let now = clock.now
            switch target.send(packet) {
            case .sent(let bytes, let isPadded): report.sent(bytes, isPadded: isPadded, at: packet.at, late: target.isRealTime ? now - packet.at : nil)
            case .failed: report.failed += 1
            case .skipped: report.skipped += 1
            }
            Self.show(report, now, &lastShown)
            if interrupted.load(ordering: .relaxed) { break }
        }
        Output.endProgress()
        try target.close()
        report.finish(packets, elapsed: clock.now.sinceStart, isRealTime: target.isRealTime)
        if command.output.json { try Output.json(report) } else { Output.text(report.text) }
        if report.packets == 0, report.failed > 0 { throw Failure(.unavailable, "no packet could be sent to \(target.name)") }
        if let truncation = packets.truncation {
            throw Failure(.badData, "\(path) breaks off after \(packets.taken) packets (\(truncation))")
        }
        if report.packets == 0 { throw Failure(.badData, "\(path) holds no packet that could be sent this way\(target.isForDatagrams ? ": only UDP goes to a socket; --to-interface sends all" : "")") }
        if command.strict, report.failed + report.skipped > 0 {
            throw Failure(.ownFault, "\(report.failed) packets failed and \(report.skipped) were skipped")
        }
    }

    private static func show(_ report: PacketReplayReport, _ now: Instant, _ last: inout Instant) {
        guard now - last >= .milliseconds(200) else { return }
        last = now
        Output.progress("\(report.packets) packets, \(TextLayout.bytes(report.bytes)), \(TextLayout.fixed(now.sinceStart.inSeconds, 1)) s")
    }

    private func target(_ path: String, _ packets: RecordedPackets) throws -> PacketTarget {
        if let out = command.packets.out { return try .file(out, of: packets, from: path, filter: command.part.filter) }
        if let name = command.packets.toInterface { return try .interface(name) }
        return try .datagrams(command.packets.sendTo ?? "")
    }
}

/// Set by Ctrl-C or SIGTERM: the account of what was sent is still given.
private let interrupted = Atomic<Bool>(false)

/// What a packet replay did, in tcpreplay's terms.
struct PacketReplayReport: Encodable {
    struct Error: Encodable { var p50Us, p99Us, maxUs: Double }

    var target: String
    var packets = 0
    var bytes = 0
    var flows = 0
    var failed = 0
    /// Not of a kind that the target takes.
    var skipped = 0
    /// Sent with zeros where the capture had cut their payload.
    var padded = 0
    var droppedByLink = 0
    /// By the schedule, from the first packet to the last.
    var scheduledS = 0.0
    var elapsedS: Double?
    /// When packets left against when they should have.
    var sendTimeError: Error?

    private var lateness = IntervalHistogram()

    private enum CodingKeys: String, CodingKey {
        case target, packets, bytes, flows, failed, skipped, padded, droppedByLink, scheduledS, elapsedS, sendTimeError
    }

    init(target: String) { self.target = target }

    mutating func sent(_ count: Int, isPadded: Bool, at time: Instant, late: Interval?) {
        packets += 1
        bytes += count
        if isPadded { padded += 1 }
        scheduledS = time.sinceStart.inSeconds
        if let late { lateness.add(late) }
    }

    mutating func finish(_ source: RecordedPackets, elapsed: Interval, isRealTime: Bool) {
        (flows, droppedByLink) = (source.flowCount, source.dropped)
        guard isRealTime else { return }
        elapsedS = elapsed.inSeconds
        func microseconds(_ share: Double) -> Double { Double(lateness.quantile(share)?.nanoseconds ?? 0) / 1_000 }
        if lateness.count > 0 { sendTimeError = Error(p50Us: microseconds(0.5), p99Us: microseconds(0.99), maxUs: microseconds(1)) }
    }

    var text: String {
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
