import ArgumentParser
import MastCalls
import MastCapture
import MastCloudClient
import MastCloudCore
import MastDatagrams

struct RunCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "run", abstract: "Run an application at the nearest node that can.",
        discussion: """
            At a base station that holds it, else at another, else at the center. The result goes to standard output \
            (or --out) and into the resource pool, once per run id: the same --run-id again is answered from there.

              mast run textsearch --input notes.txt -v
              mast run textsearch --input notes.txt --repeat 1000 --concurrency 8
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
        let bytes = try input.map { path throws(Failure) in try InputFile.read(path) } ?? []
        let options = RunOptions(timeout: cloud.timeout, runID: runID.map(RunID.init(rawValue:)), entry: entry)
        let application = application
        if let count = repetition.count { return try await run(count, bytes, options) }
        let outcome: RunOutcome
        do {
            outcome = try await cloud.withCloudUntilInterrupted(pool: try pool.open()) { client in
                try await client.run(application, input: bytes, options: options)
            }
        } catch let error as RunError {
            if verbose { explain(error.timeline) }
            var failure = Failure(describing: error)
            if output.json { failure.json = try failureJSON(error) }
            throw failure
        }
        if verbose { explain(outcome) }
        if let out { try InputFile.write(outcome.output, to: out) }
        if output.json {
            Output.line(try report(outcome).text)
        } else if out == nil {
            Output.bytes(outcome.output)
        }
        // The answer is there; that it can be had only this once is for the caller to know.
        if let reason = outcome.notKept { throw Failure(.unavailable, "the output is complete, but run \(outcome.resource.runID) is not kept: \(reason)") }
    }

    /// The time limit is each run's own.
    private func run(_ count: Int, _ bytes: [UInt8], _ options: RunOptions) async throws {
        var generator = SystemRandomNumberGenerator()
        let plan = RepeatedRuns(
            application: application, input: bytes, prefix: runID ?? String(RunID(using: &generator).rawValue.prefix(12)), count: count,
            concurrency: repetition.concurrency ?? 1, interval: repetition.interval, options: options, verbose: verbose)
        let report = try await cloud.withCloudUntilInterrupted(pool: try pool.open()) { client in
            let clock = SystemClock()
            return try await plan.run(client, now: { clock.now() }, sleep: { try await Task.sleep(for: .nanoseconds($0.nanoseconds)) })
        }
        Output.endProgress()
        if output.json { try Output.json(report) } else { Output.text(report.text) }
        if let failure = report.failure { throw failure }
    }

    private func report(_ outcome: RunOutcome) throws -> JSONObject {
        var object = JSONObject()
        try object.set("runId", outcome.resource.runID)
        try object.set("application", outcome.resource.application)
        try object.set("servedBy", outcome.resource.servedBy)
        try object.set("nodeId", outcome.servedBy?.nodeID)
        try object.set("role", outcome.servedBy?.role)
        try object.set("fromPool", outcome.fromPool)
        try object.set("duplicate", outcome.isDuplicate)
        try object.set("notKept", outcome.notKept)
        try object.set("attempts", outcome.attempts)
        try object.set("durationMs", outcome.timeline.duration.inMilliseconds)
        try object.set("fuelUsed", outcome.fuelUsed)
        try object.set("queueUs", outcome.queueMicroseconds)
        try object.set("executionUs", outcome.executionMicroseconds)
        try object.set("sizeBytes", outcome.resource.size)
        try object.set("sha256", outcome.resource.digest.description)
        if out == nil {
            if let text = String(validating: outcome.output, as: UTF8.self) {
                try object.set("output", text)
            } else {
                try object.set("outputBase64", ByteString(outcome.output))
            }
        }
        return object
    }

    private func failureJSON(_ error: RunError) throws -> String {
        var object = JSONObject()
        try object.set("code", error.code.name)
        try object.set("status", error.code.rawValue)
        try object.set("message", Failure.line(error.message))
        try object.set("runId", error.runID)
        if case .trapped(let trap) = error.kind { try object.set("trap", trap) }
        try object.set("durationMs", error.timeline.duration.inMilliseconds)
        return object.text
    }

    private func explain(_ outcome: RunOutcome) {
        explain(outcome.timeline)
        let node = outcome.servedBy.map { "served by \($0.role) \($0.name) (\($0.nodeID))" } ?? "answered from the pool (served by \(outcome.resource.servedBy))"
        Output.note("run \(outcome.resource.runID): \(node), \(outcome.timeline.duration.milliseconds3) ms, attempts \(outcome.attempts)")
        Output.note("fuel \(outcome.fuelUsed), waited \(outcome.queueMicroseconds) us, executed \(outcome.executionMicroseconds) us; result \(TextLayout.bytes(outcome.resource.size)), sha256 \(outcome.resource.digest)")
    }

    private func explain(_ timeline: RunTimeline) {
        for entry in timeline.entries { Output.error("\(String(repeating: " ", count: max(0, 10 - entry.at.milliseconds3.count)))\(entry.at.milliseconds3) ms  \(entry.what)") }
    }
}
