import ArgumentParser
import Foundation
import MastLinkModel
import MastReplay
import MastSimulator
import MastTimebase

struct ReplayCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Replay a capture: its load or its link under a cloud, or its packets.",
        discussion: """
            --mode load (the default): every flow's messages, with their sizes, order and pauses, become calls of a client \
            over our transport, across the link fitted to the whole capture, or across another one (--profile, \
            --capture, --rate …). The transport reacts; that is the test. The report sets its own length beside the \
            recording's, and says what of the link the capture does not prove and what of the load was left out.
            --mode link: that link, and a client that runs the sample application textsearch over it. Chosen by --runs and \
            --duration, and without a capture.
            --mode packets: the packets themselves, open loop, each at its time since the first: into a file (--out), as \
            datagrams (--send-to HOST:PORT), or to a device (--to-interface, needs root). With --filter, times here count from \
            the first packet that it leaves, also those of --from and --to.

            In the first two the client calls a communication server's two stations, 2 ms away from it, and a center that \
            is 60 ms away. With --kill-station the serving station dies at a time, and returns later. Clock, \
            network and processes are simulated, everything else is the program's own code, and the same seed gives the \
            same digest everywhere. With --live the servers are processes of this machine, their sockets are real, and the \
            client's link is a live relay.

              mast replay road.pcap --handover-every 30s --report road.html
              mast replay road.pcap --mode link --kill-station 10s --kill-station 40s \\
                --live
              mast replay --up lte.up --down lte.down --duration 1h
              mast replay road.pcap --mode packets --speed 2 --send-to 127.0.0.1:9000
            """)

    enum Mode: String, ExpressibleByArgument, CaseIterable { case load, link, packets }

    @Argument(help: ArgumentHelp("A pcap or pcapng capture; - is standard input. May be left out where link options describe the link.", valueName: "capture"))
    var file: String?

    @Option(help: ArgumentHelp("load, link or packets.", valueName: "mode"))
    var mode: Mode?

    @Flag(help: "In real time, over real sockets and processes.")
    var live = false

    @OptionGroup(title: "What of the capture") var part: ReplayPartOptions

    @OptionGroup(title: "What if") var events: ReplayEventOptions

    @Option(help: ArgumentHelp("Runs of --mode link, evenly over the duration. Default: a fifth of what the link carries, at most 5 a second.", valueName: "number"))
    var runs: Int?

    @Option(help: ArgumentHelp("From the first run of --mode link to the last. Default: as long as the fitted part of the capture, 20 to 60 s.", valueName: "time"))
    var duration: Interval?

    @Flag(help: "Fail (exit code 70) when a call of the replay failed, or a packet could not be sent.")
    var strict = false

    @Option(name: [.customShort("t"), .long], help: ArgumentHelp("The most time one call may take.", valueName: "time"))
    var timeout: Interval = .seconds(30)

    @OptionGroup(title: "Packets") var packets: ReplayPacketOptions

    @OptionGroup(title: "Another link than the capture's") var link: LinkOptions

    @OptionGroup var files: ReplayReportOptions

    @OptionGroup var output: OutputOptions

    /// What --mode says, or else what the other options need.
    var chosenMode: Mode { mode ?? (runs != nil || duration != nil || file == nil ? .link : .load) }

    func validate() throws {
        let chosen = chosenMode
        if file == nil {
            guard chosen == .link else { throw ValidationError("--mode \(chosen.rawValue) needs a capture") }
            guard link.isGiven else { throw ValidationError("give a capture, or a link to run on (--scenario, --profile, --up and --down, --rate …)") }
        }
        if let runs, !(1...ReplayOptions.mostRuns).contains(runs) { throw ValidationError("--runs must be 1 to \(ReplayOptions.mostRuns)") }
        if let duration, duration < .seconds(1) || duration > ReplayOptions.longestDuration {
            throw ValidationError("--duration must be 1s to 1h")
        }
        guard timeout > .zero, timeout <= .seconds(600) else { throw ValidationError("--timeout must be above 0 and at most 10m") }
        try refuse([("runs", runs != nil), ("duration", duration != nil)], unless: chosen == .link, "it belongs to --mode link")
        try refuse(part.paces, unless: chosen != .link, "--mode link runs an application of its own; --duration and --runs say how long and how often")
        try refuse(files.given, unless: chosen != .packets, "packets make no calls to report; mast inspect reports on a capture")
        try refuse(events.kills, unless: chosen != .packets, "packets are answered by no station")
        try refuse(packets.given, unless: chosen == .packets, "it belongs to --mode packets")
        try refuse([("live", live)], unless: chosen != .packets, "--send-to and --to-interface send in real time, --out does not")
        try refuse([("qlog", files.qlog != nil)], unless: !live, "a live client's transport is not traced")
        if chosen == .packets { try packets.validateTargets() }
    }

    private func refuse(_ flags: [(name: String, isGiven: Bool)], unless fits: Bool, _ reason: String) throws {
        guard !fits, let first = flags.first(where: \.isGiven) else { return }
        throw ValidationError("--\(first.name) has no meaning here: \(reason)")
    }

    func run() async throws {
        if chosenMode == .packets {
            try PacketReplayRunner(self).run()
            return
        }
        let source = try source()
        let clock = ContinuousClock()
        let began = clock.now
        let recorder = files.recorder()
        let report: ReplayReport
        do {
            let plan = try ReplayPlan(source, options)
            if let leftOut = plan.load?.leftOut, !leftOut.isEmpty {
                Output.endProgress()
                Output.note("more was recorded than a replay takes: \(leftOut.map { "\($0.exchanges) exchanges \($0.reason)" }.joined(separator: ", ")) left out; choose a part by --from, --to, --flow or --limit")
            }
            let module = try Self.module(plan.workload.application)
            if live {
                report = try await LiveReplay(plan: plan, source: source, timeout: timeout, module: module).run(recorder)
            } else {
                let replay = ReplayRun(plan, source, timeout: timeout, engine: try SharedEngine.wasmtime(), module: module)
                report = try replay.run(recorder: recorder) { Output.progress("replaying: \(Int($0 * 100)) %") }
            }
        } catch let failure as ReplayFailure {
            Output.endProgress()
            switch failure {
            case .killTooLate: throw Failure(.usage, "\(failure)")
            case .stalled: throw Failure(.ownFault, "\(failure)")
            default: throw Failure(.badData, "\(file ?? "replay"): \(failure)")
            }
        }
        let seconds = max(0.001, (clock.now - began) / .seconds(1))
        Output.endProgress()
        try files.write(report, recorder, source)
        if output.json { try Output.json(report) } else { Output.text(report.renderText()) }
        if !live, !output.json || isatty(2) == 1 {
            let virtual = report.simulatedS + report.setUpS
            Output.error(String(format: "simulated %.1f s, after %.1f s for setting the cloud up, in %.2f s: %.0f times as fast as real time", report.simulatedS, report.setUpS, seconds, virtual / seconds))
        }
        try judge(report, source)
    }

    private func judge(_ report: ReplayReport, _ source: ReplaySource) throws(Failure) {
        let seed = options.seed
        if let violation = report.violations.first {
            throw Failure(.ownFault, "\(report.violations.count) checks failed: \(violation); repeat with --seed \(seed)")
        }
        if strict, report.failed > 0 {
            throw Failure(.ownFault, "\(report.failed) of \(report.calls) calls failed; repeat with --seed \(seed)")
        }
        if let truncation = source.truncation {
            throw Failure(.badData, "\(source.name) breaks off after \(source.packets) packets (\(truncation)); the result is of what came before")
        }
    }

    private func source() throws -> ReplaySource {
        guard let file else { return ReplaySource(link: try link.resolved()) }
        Output.progress("reading \(file)")
        defer { Output.endProgress() }
        var source: ReplaySource
        do { source = try ReplaySource(path: file, part: try part.part(file, conversations: chosenMode == .load), conversations: chosenMode == .load) } catch let failure as ReplayFailure {
            throw Failure(.badData, "\(file): \(failure)")
        }
        if link.isGiven { source.link = try link.resolved(over: source.link) }
        return source
    }

    static func module(_ name: String) throws(Failure) -> [UInt8] {
        guard let module = SampleApplications.module(name) else {
            throw Failure(.ownFault, "the sample application \(name) is not in this program")
        }
        return module
    }

    private var options: ReplayOptions {
        var options = ReplayOptions()
        options.mode = chosenMode == .link ? .link : .load
        options.load = part.load
        options.seed = link.seed ?? 1
        options.runs = runs
        options.duration = duration
        options.kill = events.kill
        options.outages = events.outages
        return options
    }
}
