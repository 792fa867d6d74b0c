import ArgumentParser
import MastCapture
import MastReplay
import MastTimebase

struct LinkFitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fit", abstract: "Write the link that a capture was made over as a scenario, and as traces.",
        discussion: """
            The scenario is a JSON object; mast link relay --scenario FILE and mast link shell --scenario FILE run it. \
            How well it fits goes to standard error: the recorded throughput against what the fitted link lets through \
            of the same bytes. How each figure was found: \
            mast inspect --fit FILE. The same as mast link fit.
            """)

    @Argument(help: ArgumentHelp("A pcap or pcapng file; - is standard input.", valueName: "file"))
    var file: String

    @Option(help: ArgumentHelp("Where to write the scenario; without it, to standard output.", valueName: "file"))
    var out: String?

    @Option(help: ArgumentHelp("Also write Mahimahi traces, PREFIX.up and PREFIX.down.", valueName: "prefix"))
    var traces: String?

    @OptionGroup var window: FitWindowOptions

    @Option(help: ArgumentHelp("The scenario's seed, from which all its chance follows.", valueName: "n"))
    var seed: UInt64 = 1

    func run() async throws {
        let (fit, goodness) = try window.fitAndGoodness(file)
        let scenario = fit.scenario(name: ScenarioFile.name(file), seed: seed)
        if let traces {
            for direction in FlowDirection.allCases {
                guard let text = fit.trace(direction)?.mahimahiText else {
                    throw Failure(.badData, "the fitted link does not fit into a trace of whole milliseconds; use --out")
                }
                try InputFile.write(Array(text.utf8), to: "\(traces).\(direction.name)")
                Output.note("wrote \(traces).\(direction.name)")
            }
        }
        for direction in [FlowDirection.down, .up] { Output.note("\(direction.name): \(goodness(direction).description)") }
        let text = try Output.jsonText(scenario) + "\n"
        if let out {
            try InputFile.write(Array(text.utf8), to: out)
            Output.note("wrote \(out)")
        } else {
            Output.text(text)
        }
    }
}

/// Which part of a capture is fitted.
struct FitWindowOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Where the fitted window begins, since the first packet. Without it and --window-length, the whole capture is fitted.", valueName: "time"))
    var windowStart: Interval?

    @Option(help: ArgumentHelp("How long the window is; with --window-start 60 s unless given, without it the stretch of this length that carries most.", valueName: "time"))
    var windowLength: Interval?

    func validate() throws {
        guard windowLength ?? .seconds(1) > .zero else { throw ValidationError("--window-length must be above 0") }
    }

    func fit(_ path: String) throws -> LinkFit { try fitAndGoodness(path).0 }

    func fitAndGoodness(_ path: String) throws -> (LinkFit, (FlowDirection) -> FitGoodness) {
        let capture = try CaptureFile(path: path)
        defer { if let truncation = capture.truncation { Output.note("\(path) breaks off (\(truncation)); fitting what is before the break") } }
        if windowStart == nil, windowLength == nil {
            let (fit, survey) = try LinkSurvey.fit(reading: capture)
            return (fit, { survey.goodness(fit, $0) })
        }
        let windowLength = windowLength ?? .seconds(60)
        let chosen = windowStart.map { start in Instant.zero + start ... Instant.zero + start + windowLength }
        let timeline = Timeline(reading: capture, keeping: chosen, densest: windowLength)
        let window = try windowStart.map { start throws(FitFailure) in
            try timeline.window(from: .zero + start, length: windowLength)
        } ?? timeline.densestWindow(length: windowLength)
        let fit = try LinkFit(timeline, window: window)
        return (fit, { FitGoodness(fit, timeline, $0) })
    }
}
