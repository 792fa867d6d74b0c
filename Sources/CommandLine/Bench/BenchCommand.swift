import ArgumentParser
import Foundation
import MastCalls
import MastCapture
import MastFiles
import MastLinkModel
import MastLoadGenerator

struct BenchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench", abstract: "Put a load of calls on a method, and measure it.",
        discussion: """
            The server says by reflection what kind of method it is; no schema is needed. With `mast echo` in another terminal:

              mast bench 127.0.0.1 echo.v1.Echo/say -d '{"text":"hello"}'
              mast bench 127.0.0.1 echo.v1.Echo/say -r 1000 -z 30s --warmup 5s \\
                -d '{"text":"call {{.RequestNumber}}"}'
              mast bench 127.0.0.1 echo.v1.Echo/say -d '{"text":"a"}' \\
                --step 500..5000+500/5s -o steps.html
              mast bench 127.0.0.1 echo.v1.Echo/count -d '{"to":100}' -r 20
              mast bench 127.0.0.1 echo.v1.Echo/say -d '{"text":"a"}' \\
                --closed -c 8 -n 10000
              mast bench 127.0.0.1 echo.v1.Echo/say -d '{"text":"a"}' -o before.json
              mast bench 127.0.0.1 echo.v1.Echo/say -d '{"text":"a"}' \\
                --baseline before.json --fail-above 10%

            OPEN LOOP
              Calls become due at a rate, 100 a second if none is given, whether or not earlier ones were answered, and \
            each is timed from when it was due. So a server that stalls cannot hide it (coordinated omission). -c bounds what \
            is in flight; a call that finds no place is sent late, and its wait counts. With --closed (or -r 0) -c calls \
            are in flight at once, each timed from when it was sent.

            LATE CALLS
              A call is late when it begins more than 1 ms (--late) after it was due. It is the server's doing when all \
            places were taken; it is the generator's when it noticed or sent the call too late itself, or when its thread \
            had less than a tenth of its time left over. With more than 1 % of the latter the run is void. Rates are of the \
            time in which calls became due: what was answered after it counts in the latencies alone.

            FORMS (-O, or by the ending of -o)
              summary  for people, as ghz has it
              json     one object; --baseline reads it
              csv      one line a call, at most 1,000,000
              hgrm     HdrHistogram's percentiles, in ms, for hdr-plot
              html     one page that needs nothing else

            EXIT CODES, beside those of mast --help
              1        worse than the baseline by more than --fail-above
              75       void: the generator was late too often
              100+     no call succeeded: their commonest status
            """)

    @OptionGroup var called: CalledMethod

    @Option(name: [.customShort("d"), .long], help: ArgumentHelp("The request: JSON, @FILE, or @- for standard input; {{.RequestNumber}} is the call's number. Of several documents, streams send all, other calls one in turn.", valueName: "json"))
    var data: String?

    @OptionGroup(title: "Load") var load: LoadOptions

    @Option(help: ArgumentHelp("What a retry may do: readOnly, idempotent or atMostOnce. By default, what the server declares.", valueName: "semantics"))
    var semantics: CallSemantics?

    @Option(help: ArgumentHelp("The most attempts, the first included. With more than one, a call may hide failures.", valueName: "n"))
    var attempts = 1

    @Flag(help: "Latencies of failed calls count too.")
    var countErrors = false

    @OptionGroup(title: "Results") var output: BenchOutputOptions
    @OptionGroup var peer: PeerKeyOptions

    private var host: String { called.host }
    private var method: String { called.method }

    func validate() throws {
        guard attempts >= 1 else { throw ValidationError("--attempts must be 1 or more") }
    }

    func run() async throws {
        let text = try requestText()
        // Before anybody is asked what the method is like.
        _ = try template(text, .unary)
        let delivery = try BenchDelivery(output)
        do { try await measure(text, delivery) } catch {
            delivery.discard()
            throw error
        }
    }

    private func measure(_ text: [UInt8], _ delivery: BenchDelivery) async throws {
        let requests = Termination.requests()
        let (command, name, peer, form) = (self, host, peer, delivery.form)
        let found = Lock<LoadReport?>(nil)
        let kept = Lock<BenchRun?>(nil)
        let interruption = try await Termination.run(until: requests) {
            try await peer.withPeer(name, within: BenchPlan.connecting, placement: .socketThread) { client, host, end in
                let plan = try await command.plan(client, until: end, text, keepsRecords: form == .csv)
                try delivery.checkBaseline(plan)
                let run = BenchRun(plan)
                kept.withLock { $0 = run }
                command.announce(plan)
                let date = TextLayout.date(unixSeconds: Double(host.wallTime().milliseconds) / 1_000)
                let line = StatusLine { BenchProgress.text(run) }
                defer { line?.end() }
                try await BenchFleet(run: run, server: client.target, key: client.peerKey, identity: try peer.ownKey()).work(client)
                let report = run.report(host: name, date: date, isInterrupted: Task.isCancelled)
                found.withLock { $0 = report }
            }
        }
        guard let report = found.withLock({ $0 }), let run = kept.withLock({ $0 }) else {
            throw interruption?.exitCode ?? ExitCode(ExitStatus.ownFault.rawValue)
        }
        let comparison = try delivery.compare(report)
        try delivery.write(report, run.collector.withLock { $0 }, comparison)
        if let interruption { throw interruption.exitCode }
        try judge(report, comparison)
    }

    /// What the results say about success.
    private func judge(_ report: LoadReport, _ comparison: LoadComparison?) throws {
        if report.count == 0 {
            throw Failure(.unavailable, "no call was counted: \(report.warmupCalls > 0 ? "all belong to the warm-up; " : "")give more time (-z)")
        }
        // That is no matter of pace.
        if report.succeeded == 0, let status = report.statuses.first {
            let code = StatusCode.allCases.first { $0.name == status.code } ?? .unknown
            throw Failure(.call(code), "no call succeeded: \(status.code) \(status.count) of \(report.count); try one with mast call")
        }
        if report.isVoid {
            throw Failure(.void, "the run is void: this generator began \(report.late?.byGenerator ?? 0) of \(report.count) calls late; lower -r, raise --connections, or free this machine")
        }
        if let worse = comparison?.worse, !worse.isEmpty {
            throw Failure(.worse, "worse than the baseline by more than \(output.failAboveText): \(worse.joined(separator: ", "))")
        }
    }

    private func announce(_ plan: BenchPlan) {
        guard load.isStandard else { return }
        let length = plan.length.map { "for \($0.text)" } ?? "until \(plan.calls ?? 0) calls"
        Output.note("100 calls a second \(length); choose with -r and -z")
    }

    // MARK: what is asked for

    private func requestText() throws -> [UInt8] {
        guard let data else { return [] }
        guard data.hasPrefix("@") else { return Array(data.utf8) }
        return try InputFile.read(String(data.dropFirst()))
    }

    private func plan(_ client: RPCClient, until end: Instant, _ text: [UInt8], keepsRecords: Bool) async throws -> BenchPlan {
        let description: MethodDescription
        do { description = try await client.describeMethod(method, options: CallOptions(deadline: .at(end))) } catch {
            guard error.code == .notFound else { throw error }
            throw await called.missing(client, CallOptions(deadline: .at(end)))
        }
        let kind = CallKind(name: description.kind) ?? .unary
        let filled = try template(text, kind)
        let shape = description.requestTemplate.flatMap(MessageShape.init)
        for request in filled.requests(of: 0) { try called.check(request, shape) }
        return BenchPlan(
            method: method, kind: kind, semantics: CallSemantics(name: description.semantics) ?? .atMostOnce, override: semantics,
            template: filled, metadata: called.metadata, attempts: attempts, deadline: load.deadline, schedule: load.schedule,
            isClosed: load.isClosed, calls: load.total, length: load.length, concurrency: load.concurrency, connections: load.connections,
            lateBound: load.late, countsFailures: countErrors, keepsRecords: keepsRecords)
    }

    private func template(_ text: [UInt8], _ kind: CallKind) throws -> CallTemplate {
        do {
            let source = data.map { !$0.hasPrefix("@") ? "-d" : $0 == "@-" ? "standard input" : String($0.dropFirst()) } ?? "-d"
            return try CallTemplate(text, sendsAll: kind == .clientStream || kind == .bidiStream) { try JSONDocuments.split($0, source: source).map(\.bytes) }
        } catch let error as CallTemplate.Unknown {
            throw Failure(.usage, "{{\(error.action)}} in -d is not known; {{.RequestNumber}} is")
        }
    }
}
