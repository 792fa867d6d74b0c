import ArgumentParser
import MastCalls
import MastCapture
import MastCloudClient
import MastCloudCore

/// One run many times over one client: what a program that lives longer than one run sees.
struct RepeatOptions: ParsableArguments {
    @Option(name: .customLong("repeat"), help: ArgumentHelp("Run so many times over one client, named PREFIX-1, PREFIX-2, … with --run-id PREFIX, and print a summary instead of outputs.", valueName: "n"))
    var count: Int?

    @Option(help: ArgumentHelp("With --repeat: runs under way at once.", valueName: "n"))
    var concurrency: Int?

    @Option(help: ArgumentHelp("With --repeat: at least this long from one run's start to the next, for each that is under way at once.", valueName: "time"))
    var interval: Interval?

    func validate() throws {
        if let count { guard (1...10_000_000).contains(count) else { throw ValidationError("--repeat must be 1 to 10000000") } }
        if let concurrency { guard (1...1_000).contains(concurrency) else { throw ValidationError("--concurrency must be 1 to 1000") } }
        if let interval { guard interval > .zero else { throw ValidationError("--interval must be above 0") } }
        guard count != nil || (concurrency == nil && interval == nil) else { throw ValidationError("--concurrency and --interval go with --repeat") }
    }
}

struct RepeatedRuns: Sendable {
    var application: String
    var input: [UInt8]
    var prefix: String
    var count: Int
    var concurrency: Int
    var interval: Interval?
    var options: RunOptions
    var verbose: Bool

    private struct Tally: Sendable {
        var started = 0
        var latencies: [Interval] = []
        var servedBy: [(name: String, runs: Int)] = []
        var failures: [RunError] = []
        var failed = 0
        var duplicated = 0
        var notKept: (runs: Int, reason: String) = (0, "")
        var outputs: [ContentDigest] = []
    }

    func run(_ client: CloudClient, now: @escaping @Sendable () -> Instant, sleep: @escaping @Sendable (Interval) async throws -> Void) async throws -> RepeatReport {
        let tally = Lock(Tally())
        let began = now()
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<min(concurrency, count) {
                group.addTask {
                    while !Task.isCancelled, let number = tally.withLock({ next(&$0) }) {
                        let start = now()
                        await one(number, client, tally)
                        if let interval {
                            let rest = start + interval - now()
                            // Interrupted: what was done is told.
                            if rest > .zero { try? await sleep(rest) }
                        }
                    }
                }
            }
            await group.waitForAll()
        }
        let elapsed = now() - began
        let statistics = client.statistics
        return tally.withLock { RepeatReport(self, $0.latencies, $0.servedBy, $0.failures, failed: $0.failed, duplicated: $0.duplicated, notKept: $0.notKept, outputs: $0.outputs.count, statistics, elapsed: elapsed) }
    }

    private func next(_ tally: inout Tally) -> Int? {
        guard tally.started < count else { return nil }
        tally.started += 1
        return tally.started
    }

    private func one(_ number: Int, _ client: CloudClient, _ tally: Lock<Tally>) async {
        var options = options
        options.runID = RunID(rawValue: "\(prefix)-\(number)")
        do {
            let outcome = try await client.run(application, input: input, options: options)
            let node = outcome.servedBy?.name ?? "pool"
            if verbose { Output.error("\(outcome.resource.runID): \(node), \(outcome.timeline.duration.milliseconds3) ms, attempts \(outcome.attempts)") }
            tally.withLock { tally in
                tally.latencies.append(outcome.timeline.duration)
                if let index = tally.servedBy.firstIndex(where: { $0.name == node }) { tally.servedBy[index].runs += 1 } else { tally.servedBy.append((node, 1)) }
                if outcome.isDuplicate { tally.duplicated += 1 }
                if let reason = outcome.notKept { tally.notKept = (tally.notKept.runs + 1, reason) }
                // More than a few are no longer worth telling apart.
                if tally.outputs.count < 100, !tally.outputs.contains(outcome.resource.digest) { tally.outputs.append(outcome.resource.digest) }
            }
        } catch {
            if error.kind == .cancelled { return }
            if verbose { Output.error("\(error.runID): \(error.code.name): \(Failure.line(error.message))") }
            tally.withLock { tally in
                tally.failed += 1
                if case .divergent = error.kind { tally.duplicated += 1 }
                if tally.failures.count < 10 { tally.failures.append(error) }
            }
        }
        let (done, failed) = tally.withLock { ($0.latencies.count + $0.failed, $0.failed) }
        Output.progress("\(application): \(done) of \(count) runs\(failed > 0 ? ", \(failed) failed" : "")")
    }
}

/// What many runs came to. *Duplicated* is counted where results enter the pool: a second result for a run id.
struct RepeatReport: Encodable, Sendable {
    var application, runIdPrefix: String
    var runs, failed, duplicated, notKept, fromPool, distinctOutputs, concurrency: Int
    var servedBy: [String: Int]
    var failovers, radioOutages, attaches, lookups: Int
    var retransmitted: UInt64
    var p50Ms, p95Ms, p99Ms, maxMs: Double?
    var elapsedMs, runsPerS: Double
    /// The first ones.
    var failures: [String]
    var audits: AuditCounts?
    private var nodes: [String] = []
    private var firstFailure: ExitStatus?
    private var whyNotKept = ""

    private enum CodingKeys: String, CodingKey {
        case application, runIdPrefix, runs, failed, duplicated, notKept, fromPool, distinctOutputs, concurrency, servedBy, failovers, radioOutages
        case attaches, lookups, retransmitted, p50Ms, p95Ms, p99Ms, maxMs, elapsedMs, runsPerS, failures, audits
    }

    fileprivate init(
        _ plan: RepeatedRuns, _ latencies: [Interval], _ servedBy: [(name: String, runs: Int)], _ failures: [RunError], failed: Int, duplicated: Int,
        notKept: (runs: Int, reason: String), outputs: Int, _ statistics: CloudClientStatistics, elapsed: Interval
    ) {
        (application, runIdPrefix, concurrency) = (plan.application, plan.prefix, plan.concurrency)
        (runs, self.failed, self.duplicated, distinctOutputs) = (latencies.count + failed, failed, max(duplicated, statistics.duplicates), outputs)
        (self.notKept, whyNotKept) = notKept
        self.servedBy = Dictionary(uniqueKeysWithValues: servedBy.map { ($0.name, $0.runs) })
        nodes = servedBy.map { "\($0.name) \($0.runs)" }
        (fromPool, failovers, radioOutages) = (statistics.fromPool, statistics.failovers, statistics.radioOutages)
        (attaches, lookups, retransmitted) = (statistics.attaches, statistics.lookups, statistics.retransmittedPackets)
        let sorted = latencies.sorted()
        func quantile(_ q: Double) -> Double? {
            guard !sorted.isEmpty else { return nil }
            // Nearest rank.
            let rank = min(sorted.count, max(1, Int((q * Double(sorted.count)).rounded(.up))))
            return Self.rounded(sorted[rank - 1].inMilliseconds)
        }
        (p50Ms, p95Ms, p99Ms, maxMs) = (quantile(0.5), quantile(0.95), quantile(0.99), quantile(1))
        elapsedMs = Self.rounded(elapsed.inMilliseconds)
        runsPerS = elapsed > .zero ? Self.rounded(Double(latencies.count) / elapsed.inSeconds) : 0
        self.failures = failures.map { "\($0.runID): \($0.code.name): \(Failure.line($0.message))" }
        firstFailure = failures.first.map { ExitStatus(rawValue: Failure(describing: $0).status) }
    }

    private static func rounded(_ value: Double) -> Double { (value * 1_000).rounded() / 1_000 }

    var text: String {
        let number = { (value: Double?) in value.map { TextLayout.fixed($0, 1) } ?? "-" }
        var lines = [
            "\(application): \(runs) runs, \(failed) failed, \(duplicated) answered twice; \(TextLayout.fixed(elapsedMs / 1_000, 1)) s, \(TextLayout.fixed(runsPerS, 1)) runs/s, \(concurrency) at once",
            "served by   \(nodes.isEmpty ? "nobody" : nodes.joined(separator: ", "))",
            "latency     p50 \(number(p50Ms)) ms, p95 \(number(p95Ms)) ms, p99 \(number(p99Ms)) ms, longest \(number(maxMs)) ms",
            "on the way  failovers \(failovers), radio outages \(radioOutages), packets sent again \(retransmitted)",
        ]
        if let audits, audits.drawn + audits.unprovenAnswers > 0 {
            lines.append("checked     \(audits.drawn) repeated: \(audits.confirmed) confirmed, \(audits.disputed) disputed, \(audits.undecided + audits.underWay) undecided; \(audits.unprovenAnswers) answers without a good receipt")
        }
        if notKept > 0 { lines.append("not kept    \(notKept): \(whyNotKept)") }
        if distinctOutputs > 1 { lines.append("outputs     \(distinctOutputs) different ones") }
        lines += failures.map { "failed      \($0)" }
        return lines.joined(separator: "\n") + "\n"
    }

    /// Nil when every run was answered, once, and the pool has what it should.
    var failure: Failure? {
        if failed > 0 { return Failure(firstFailure ?? .ownFault, "\(failed) of \(runs) runs failed; \(failures.first ?? "")") }
        if duplicated > 0 { return Failure(.call(.dataLoss), "\(duplicated) of \(runs) runs were answered twice; see mast pool stat") }
        if notKept > 0 { return Failure(.unavailable, "\(notKept) of \(runs) results are not kept: \(whyNotKept)") }
        return nil
    }
}
