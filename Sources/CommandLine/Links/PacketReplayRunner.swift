import Foundation
import MastCapture
import MastLinkInference
import MastLinkModel
import MastPacketTools
import MastTimebase
import Synchronization

/// `mast replay --mode packets`.
struct PacketReplayRunner {
    private let command: ReplayCommand

    init(_ command: ReplayCommand) { self.command = command }

    func run() throws {
        guard let path = command.file else { throw Failure(.usage, "--mode packets needs a capture") }
        var options = RecordedPackets.Options()
        options.part = try command.part.part(path, conversations: true, asRecords: true)
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
        do { packets = try RecordedPackets(path: path, options: options) } catch let failure as NoSuchFlow {
            throw Failure(.badData, "\(path): \(failure)")
        }
        let target = try target(path, packets)
        interrupted.store(false, ordering: .relaxed)
        for number in [SIGINT, SIGTERM] { signal(number) { _ in interrupted.store(true, ordering: .relaxed) } }
        let report = try PacketReplay(packets, to: target).run(isInterrupted: { interrupted.load(ordering: .relaxed) }) { report, elapsed in
            Output.progress("\(report.packets) packets, \(TextLayout.bytes(report.bytes)), \(TextLayout.fixed(elapsed.inSeconds, 1)) s")
        }
        Output.endProgress()
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

    private func target(_ path: String, _ packets: RecordedPackets) throws -> PacketTarget {
        if let out = command.packets.out { return try .file(out, of: packets, from: path, filter: command.part.chosen.filter) }
        if let name = command.packets.toInterface { return try .interface(name) }
        return try .datagrams(command.packets.sendTo ?? "")
    }
}

/// Set by Ctrl-C or SIGTERM: the account of what was sent is still given.
private let interrupted = Atomic<Bool>(false)
