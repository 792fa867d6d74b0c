import ArgumentParser
import MastCapture
import MastReplay
import MastTimebase

struct LinkFitCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "fit", abstract: "Write the link that a capture was made over as a scenario for the relay.",
        discussion: "The scenario is a JSON object; mast link relay --scenario FILE runs it. How each figure was found: mast inspect --fit FILE.")

    @Argument(help: ArgumentHelp("A pcap or pcapng file; - is standard input.", valueName: "file"))
    var file: String

    @Option(help: ArgumentHelp("Where to write the scenario; without it, to standard output.", valueName: "file"))
    var out: String?

    @OptionGroup var window: FitWindowOptions

    @Option(help: ArgumentHelp("The scenario's seed, from which all its chance follows.", valueName: "n"))
    var seed: UInt64 = 1

    func run() async throws {
        let scenario = try window.fit(file).scenario(name: ScenarioFile.name(file), seed: seed)
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
    @Option(help: ArgumentHelp("Where the fitted window begins, since the first packet. Without it, the densest minute is fitted.", valueName: "time"))
    var windowStart: Interval?

    @Option(help: ArgumentHelp("How long the window is.", valueName: "time"))
    var windowLength: Interval = .seconds(60)

    func validate() throws {
        guard windowLength > .zero else { throw ValidationError("--window-length must be above 0") }
    }

    func fit(_ path: String) throws -> LinkFit {
        let capture = try CaptureFile(path: path)
        let timeline = Timeline(reading: capture)
        if let truncation = capture.truncation { Output.note("\(path) breaks off (\(truncation)); fitting what is before the break") }
        let window = try windowStart.map { start throws(FitFailure) in
            try timeline.window(from: .zero + start, length: windowLength)
        } ?? timeline.densestWindow(length: windowLength)
        return try LinkFit(timeline, window: window)
    }
}
