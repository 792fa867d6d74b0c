import ArgumentParser
import MastCalls
import MastCapture
import MastCloudClient
import MastCloudCore
import MastDatagrams
import MastFiles

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run an application at the nearest node that can.",
        discussion: """
            At a base station that holds it, else at another, else at the center. The result goes to standard output \
            (or --out) and into the resource pool, once per run id: the same --run-id again is answered from there.

              mast run textsearch --input notes.txt -v
              mast run textsearch --input notes.txt --repeat 1000 --concurrency 8

            Every result bears its node's receipt, which is checked before it counts. One run of a hundred is repeated by \
            another node after its answer is out; if the two differ, a warning says so, the pool's entry is marked, and the \
            center hears of it from that node. The exit code stays the run's own.
            """)

    @Argument(help: ArgumentHelp("The application's name.", valueName: "app"))
    var application: String

    @Option(help: ArgumentHelp("The input; - is standard input. Without it, the input is empty.", valueName: "file"))
    var input: String?

    @Option(help: ArgumentHelp("Where the output goes, instead of standard output.", valueName: "file"))
    var out: String?

    @Option(help: ArgumentHelp("The run's name, 1 to 128 letters, digits and -_.; by default a random one.", valueName: "id"))
    var runID: String?

    @Option(help: ArgumentHelp("The exported function to call; by default the application's own.", valueName: "name"))
    var entry: String?

    @Flag(name: [.customShort("v"), .long], help: "Say on standard error who served, and the run's timeline.")
    var verbose = false

    @OptionGroup var repetition: RepeatOptions
    @OptionGroup var audit: AuditOptions
    @OptionGroup var cloud: CloudOptions
    @OptionGroup var pool: PoolOptions
    @OptionGroup var output: OutputOptions

    func validate() throws {
        if let runID, !RunID(rawValue: runID).isValid { throw ValidationError("--run-id is 1 to 128 letters, digits and -_.") }
        guard let count = repetition.count else { return }
        guard out == nil else { throw ValidationError("--out does not go with --repeat; the results are in the pool") }
        if let runID, !RunID(rawValue: "\(runID)-\(count)").isValid { throw ValidationError("--run-id is too long for --repeat") }
    }

    func run() async throws {
        // The profile first: a missing one is the better message while standard input is a terminal.
        _ = try ProfileFile.load(cloud.profilePath)
        let bytes = try input.map { path throws(FileFailure) in try InputFile.read(path) } ?? []
        let options = RunOptions(timeout: cloud.timeout, runID: runID.map(RunID.init(rawValue:)), entry: entry)
        let (application, verbose, json) = (application, verbose, output.json)
        if let count = repetition.count { return try await run(count, bytes, options) }
        let delivery = RunDelivery(out: out, verbose: verbose, json: output.json)
        try await cloud.withCloudUntilInterrupted(pool: try pool.open(), configuration: audit.configuration) { client in
            let ending: Failure?
            do throws(RunError) {
                ending = delivery.deliver(try await client.run(application, input: bytes, options: options))
            } catch {
                if error.kind == .cancelled { throw error }
                ending = try delivery.failure(error)
            }
            // The answer is delivered: the check of it keeps nobody waiting but this process.
            await AuditReport.finish(client, verbose: verbose, json: json)
            if let ending { throw ending }
        }
    }

    /// The time limit is each run's own.
    private func run(_ count: Int, _ bytes: [UInt8], _ options: RunOptions) async throws {
        var generator = SystemRandomNumberGenerator()
        let plan = RepeatedRuns(
            application: application, input: bytes, prefix: runID ?? String(RunID(using: &generator).rawValue.prefix(12)), count: count,
            concurrency: repetition.concurrency ?? 1, interval: repetition.interval, options: options, verbose: verbose)
        let (verbose, json) = (verbose, output.json)
        let show: (RepeatReport) throws -> Void = { report in if json { try Output.json(report) } else { Output.text(report.text) } }
        let report = try await cloud.withCloudUntilInterrupted(pool: try pool.open(), configuration: audit.configuration, onInterruption: show) { client in
            let clock = SystemClock()
            var report = try await plan.run(client, now: { clock.now() }, sleep: { try await Task.sleep(for: .nanoseconds($0.nanoseconds)) })
            Output.endProgress()
            await AuditReport.finish(client, verbose: verbose, json: json)
            report.audits = AuditCounts(client.statistics)
            return report
        }
        try show(report)
        if let failure = report.failure { throw failure }
    }
}
