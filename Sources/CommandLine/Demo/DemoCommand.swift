import ArgumentParser
import Foundation
import MastCalls
import MastCapture
import MastDatagrams
import MastFiles
import MastLinkInference
import MastLinkModel

struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo", abstract: "Watch real runs cross a captured mobile link and survive the death of both stations.",
        discussion: """
            Starts a center, a communication server and two stations as processes on loopback ports, shapes the client's \
            path by a capture and puts the center 60 ms away. Runs an application at the center and at the near station, \
            kills the serving station, then the other, and brings one back. Exits with 1 if a run was lost, answered \
            twice, wrongly, or by the wrong node.
            """)

    @Option(help: ArgumentHelp("The capture that shapes the client's link; its densest window of at most a minute is used.", valueName: "file"))
    var capture: String?

    @Option(help: ArgumentHelp("Seed of the inputs and of the link's losses.", valueName: "n"))
    var seed: UInt64 = 1

    @Option(help: ArgumentHelp("Runs in each of the five phases.", valueName: "n"))
    var runs = 40

    @Flag(help: "Keep the working folder: stores, logs, the pool.")
    var keep = false

    @OptionGroup var output: OutputOptions

    func validate() throws {
        guard (1...10_000).contains(runs) else { throw ValidationError("--runs must be 1 to 10000") }
    }

    func run() async throws {
        // Before there is anything that a signal could leave behind.
        let requests = Termination.requests()
        let fit = try fitted()
        let directory = try TemporaryFolder.make("demo")
        if keep { TemporaryFolder.keep(directory) }
        let (seed, runs) = (seed, runs)
        let result = Lock<DemoReport?>(nil)
        defer {
            Output.endProgress()
            if keep { Output.note("kept \(directory)") } else { TemporaryFolder.remove(directory) }
        }
        let request = try await Termination.run(until: requests) {
            try Task.checkCancellation()
            let clock = SystemClock()
            Output.progress("starting center, communication server and two stations")
            let cloud = try await DemoCloud.start(in: directory, scenario: fit.scenario)
            let story = DemoStory(cloud: cloud, seed: seed, runs: runs, progress: { Output.progress($0) })
            let ending: Result<DemoStory.Ending, any Error>
            do { ending = .success(try await story.tell()) } catch { ending = .failure(error) }
            await cloud.stop()
            // What failed after a request to end failed for that reason.
            try Task.checkCancellation()
            let told = try ending.get()
            let failed = told.phases.reduce(0) { $0 + $1.failed }
            let missing = max(0, told.runIDs - failed - told.pool.entries)
            result.withLock {
                $0 = DemoReport(
                    phases: told.phases, lost: failed + missing,
                    duplicated: told.pool.duplicateSame + told.pool.divergent + told.wrong, retransmitted: told.statistics.retransmittedPackets,
                    radioOutages: told.statistics.radioOutages, failovers: told.statistics.failovers, captureName: fit.name, windowText: fit.window,
                    seed: seed, seconds: clock.now().sinceStart.inSeconds)
            }
        }
        if let request { throw request.exitCode }
        guard let report = result.withLock({ $0 }) else { throw Failure(.ownFault, "the demo ended without a report") }
        Output.endProgress()
        if output.json { try Output.json(report.json) } else { Output.text(report.text) }
        if !report.passed { throw ExitCode(1) }
    }

    private struct Fitted: Sendable {
        var name: String
        var scenario: LinkScenario
        var window: String
    }

    private func fitted() throws -> Fitted {
        let name: String
        let file: CaptureFile
        if let capture {
            name = URL(fileURLWithPath: capture).lastPathComponent
            file = try CaptureFile(path: capture)
        } else {
            // libpcap reads files, so the built-in capture becomes one for a moment.
            name = BuiltInCapture.name
            let folder = try TemporaryFolder.make("demo")
            defer { TemporaryFolder.remove(folder) }
            let path = folder + "/" + name
            guard let bytes = Data(base64Encoded: BuiltInCapture.base64) else { throw Failure(.ownFault, "the built-in capture is damaged") }
            try InputFile.write([UInt8](bytes), to: path)
            file = try CaptureFile(path: path)
        }
        var pipeline = CapturePipeline(.window(start: nil, length: Timeline.window))
        pipeline.read(file)
        let fit = try pipeline.finish()
        if let reason = file.truncation { Output.note("\(name): \(reason); using what comes before") }
        let report = fit.report
        let window = String(format: "window %.1f s from %.1f s", report.windowLengthS, report.windowStartS)
        return Fitted(name: name, scenario: fit.scenario(name: name, seed: seed), window: window)
    }
}
