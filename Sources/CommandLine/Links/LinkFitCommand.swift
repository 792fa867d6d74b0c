import ArgumentParser
import MastCapture
import MastFiles
import MastLinkEmulator
import MastLinkInference
import MastLinkModel
import MastTimebase

struct LinkFitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fit", abstract: "Write the link that a capture was made over as a scenario, and as traces.",
        discussion: """
            The scenario is a JSON object; mast link relay --scenario FILE and mast link shell --scenario FILE run it. \
            How well it fits goes to standard error: the recorded throughput against what the fitted link lets through \
            of the same bytes. How each figure was found: \
            mast inspect --fit FILE. With --json standard output gets both, and what each figure is based on: \
            {"scenario": …, "fit": …, "goodness": {"up": …, "down": …}, "truncated": …}. A capture that breaks off is \
            fitted up to the break, and ends with exit code 65. With --filter, --from, --to and --flow only what they leave \
            is fitted; what came before --from is not looked at. The same as mast link fit.
            """)

    /// What --json prints.
    private struct Document: Encodable {
        struct Goodness: Encodable {
            /// Kolmogorov and Smirnov's; nil where nothing can be compared: `reason` says why.
            var distance: Double?
            /// At 5, 50 and 95 %.
            var recordedMbps, fittedMbps: [Double]
            var reason: String?
            init(_ goodness: FitGoodness) {
                (distance, recordedMbps, fittedMbps, reason) = (goodness.distance, goodness.recorded, goodness.fitted, goodness.reason)
            }
            enum CodingKeys: CodingKey { case distance, recordedMbps, fittedMbps, reason }
            func encode(to encoder: any Encoder) throws {
                var object = encoder.container(keyedBy: CodingKeys.self)
                try object.encode(distance, forKey: .distance)
                try object.encode(recordedMbps, forKey: .recordedMbps)
                try object.encode(fittedMbps, forKey: .fittedMbps)
                try object.encodeIfPresent(reason, forKey: .reason)
            }
        }
        var scenario: LinkScenario
        var fit: LinkFitReport
        var goodness: [String: Goodness]
        var truncated: Bool
    }

    @Argument(help: ArgumentHelp("A pcap or pcapng file; - is standard input.", valueName: "file"))
    var file: String

    @Option(help: ArgumentHelp("Where to write the scenario; without it, to standard output.", valueName: "file"))
    var out: String?

    @Option(help: ArgumentHelp("Also write Mahimahi traces, PREFIX.up and PREFIX.down.", valueName: "prefix"))
    var traces: String?

    @OptionGroup var window: FitWindowOptions
    @OptionGroup(title: "What of the capture") var part: CapturePartOptions
    @OptionGroup var output: OutputOptions

    @Option(help: ArgumentHelp("The scenario's seed, from which all its chance follows.", valueName: "n"))
    var seed: UInt64 = 1

    func validate() throws {
        guard part.from == nil && part.to == nil || window.isWhole else {
            throw ValidationError("--window-start and --window-length choose a part by times, as --from and --to do: give one of the two")
        }
    }

    func run() async throws {
        let (fit, goodness, truncation) = try window.fitAndGoodness(file, part)
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
        }
        if output.json {
            let both = Dictionary(uniqueKeysWithValues: FlowDirection.allCases.map { ($0.name, Document.Goodness(goodness($0))) })
            try Output.json(Document(scenario: scenario, fit: fit.report, goodness: both, truncated: truncation != nil))
        } else if out == nil {
            Output.text(text)
        }
        if let truncation { throw Failure(.badData, "\(file) breaks off (\(truncation)); what is before the break was fitted") }
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
        guard windowLength ?? .zero <= Timeline.longestWindow else { throw ValidationError("--window-length must be at most 48h; without it the whole capture is fitted") }
    }

    var isWhole: Bool { windowStart == nil && windowLength == nil }

    func fit(_ path: String) throws -> LinkFit {
        let (fit, _, truncation) = try fitAndGoodness(path)
        if let truncation { Output.note("\(path) breaks off (\(truncation)); fitting what is before the break") }
        return fit
    }

    /// The third is why the file breaks off, if it does.
    func fitAndGoodness(_ path: String, _ part: CapturePartOptions? = nil) throws -> (LinkFit, (FlowDirection) -> FitGoodness, String?) {
        let flow = try part?.chosenFlow(path)
        let capture = try CaptureFile(path: path, filter: part?.filter)
        let times = try part?.times(start: capture.startEpochNanoseconds, path)
        var pipeline = CapturePipeline(
            isWhole ? .whole : .window(start: windowStart, length: windowLength ?? .seconds(60)), flow: flow?.inPart)
        pipeline.read(capture, within: times)
        if let part, let left = part.summary(capture, times: times, flow: flow, taken: pipeline.flowPackets) { Output.note(left.text(packets: pipeline.flowPackets)) }
        let fit = try pipeline.finish()
        return (fit, { [pipeline] in pipeline.goodness(fit, $0) }, capture.truncation)
    }
}
