import ArgumentParser
import Foundation
import MastLinkModel
import MastReplay
import MastSimulator
import MastTimebase

struct ReplayCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "replay",
        abstract: "Replay a captured link under a cloud in virtual time, and kill the station that serves.",
        discussion: """
            The link is fitted to the capture's densest minute and put before a client. The client runs the sample \
            application textsearch at a communication server's two stations, 2 ms away from it, and a center that is \
            60 ms away. Halfway the serving station is killed, later it returns. Clock, network and processes are \
            simulated, everything else is the program's own code; the same seed gives the same digest everywhere.
            """)

    @Argument(help: ArgumentHelp("A pcap or pcapng capture; - is standard input.", valueName: "capture"))
    var file: String

    @Option(help: ArgumentHelp("All chance follows from it.", valueName: "number"))
    var seed: UInt64 = 1

    @Option(help: ArgumentHelp("How many runs, evenly over the duration. Default: a fifth of what the link carries, at most 5 a second.", valueName: "number"))
    var runs: Int?

    @Option(help: ArgumentHelp("From the first run to the last. Default: as long as the fitted part of the capture, 20 to 60 s.", valueName: "time"))
    var duration: Interval?

    @Option(name: [.customLong("kill-station"), .customLong("kill-at")], help: ArgumentHelp("When to kill the serving station, from the first run on, or never. Default: halfway.", valueName: "time|never"))
    var killAt: KillTime?

    @Option(parsing: .singleValue, help: ArgumentHelp("An outage of the client's link beside the capture's: [hold:|drop:|air:]START+LENGTH, such as drop:12s+2s. May be repeated.", valueName: "outage"))
    var blackout: [Outage] = []

    @Option(help: ArgumentHelp("Holds the client's link for --handover-length so often, as a handover with forwarding does.", valueName: "time"))
    var handoverEvery: Interval?

    @Option(help: ArgumentHelp("How long such a handover takes; 62 ms is the 95th percentile of LTE's on US roads.", valueName: "time"))
    var handoverLength: Interval = .milliseconds(62)

    @Flag(help: "Fail (exit code 70) when a run of the replay failed.")
    var strict = false

    @Option(name: [.customShort("t"), .long], help: ArgumentHelp("The most time one run may take.", valueName: "time"))
    var timeout: Interval = .seconds(30)

    @OptionGroup var files: ReplayReportOptions

    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let runs, !(1...ReplayOptions.mostRuns).contains(runs) { throw ValidationError("--runs must be 1 to \(ReplayOptions.mostRuns)") }
        if let duration, duration < .seconds(1) || duration > ReplayOptions.longestDuration {
            throw ValidationError("--duration must be 1s to 1h")
        }
        if let handoverEvery, handoverEvery < .milliseconds(100) || handoverLength >= handoverEvery || handoverLength <= .zero {
            throw ValidationError("--handover-every must be 100ms or more, and longer than --handover-length")
        }
        guard timeout > .zero, timeout <= .seconds(600) else { throw ValidationError("--timeout must be above 0 and at most 10m") }
    }

    func run() throws {
        Output.progress("reading \(file)")
        defer { Output.endProgress() }
        let source: ReplaySource
        do { source = try ReplaySource(path: file) } catch let failure as ReplayFailure { throw Failure(.badData, "\(file): \(failure)") }
        if source.isCutShort {
            Output.endProgress()
            Output.note("\(file) is very long; only its beginning was looked at")
        }

        guard let module = SampleApplications.module(SearchWorkload.application) else {
            throw Failure(.ownFault, "the sample application \(SearchWorkload.application) is not in this program")
        }
        let clock = ContinuousClock()
        let began = clock.now
        let recorder = files.recorder()
        let report: ReplayReport
        do {
            let replay = ReplayRun(source, options: options, engine: try SharedEngine.wasmtime(), module: module)
            report = try replay.run(recorder: recorder) { Output.progress("replaying: \(Int($0 * 100)) %") }
        } catch let failure as ReplayFailure {
            if case .killTooLate = failure { throw Failure(.usage, "\(failure)") }
            throw Failure(.ownFault, "\(failure)")
        }
        let seconds = max(0.001, Double((clock.now - began).components.seconds) + Double((clock.now - began).components.attoseconds) / 1e18)
        Output.endProgress()
        try files.write(report, recorder, source)
        if output.json { try Output.json(report) } else { Output.text(report.renderText()) }
        if !output.json || isatty(2) == 1 {
            Output.error(String(format: "simulated %.1f s in %.2f s: %.0f times as fast as real time", report.simulatedS, seconds, report.simulatedS / seconds))
        }
        if let violation = report.violations.first {
            throw Failure(.ownFault, "\(report.violations.count) checks failed: \(violation); repeat with --seed \(seed)")
        }
        if strict, report.failed > 0 {
            throw Failure(.ownFault, "\(report.failed) of \(report.calls) runs failed; repeat with --seed \(seed)")
        }
        if let truncation = source.truncation {
            throw Failure(.badData, "\(file) breaks off after \(source.packets) packets (\(truncation)); the result is of what came before")
        }
    }

    private var handovers: [Outage] {
        guard let handoverEvery else { return [] }
        let count = ReplayOptions.longestDuration.nanoseconds / handoverEvery.nanoseconds
        return (1...max(1, count)).map { Outage(start: handoverEvery * $0, duration: handoverLength) }
    }

    private var options: ReplayOptions {
        var options = ReplayOptions()
        options.seed = seed
        options.runs = runs
        options.duration = duration
        options.kill = killAt?.kill ?? .halfway
        options.outages = blackout + handovers
        options.timeout = timeout
        return options
    }
}

/// `12s` or `never`.
struct KillTime: ExpressibleByArgument {
    var kill: ReplayOptions.Kill

    init?(argument: String) {
        if argument == "never" {
            kill = .never
        } else if let time = Interval(text: argument) {
            kill = .at(time)
        } else {
            return nil
        }
    }
}
