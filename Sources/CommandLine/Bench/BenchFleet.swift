import MastCalls
import MastLoadGenerator
import MastUDPDriver
import Synchronization

/// All connections of a run: they are up before the first call is due.
struct BenchFleet: Sendable {
    /// What the lanes need to get going once all are there.
    private static let headStart = Interval.milliseconds(20)

    let run: BenchRun
    let server: String
    let key: PublicKey
    let identity: StaticKeyPair?

    /// - Parameter first: the connection that is up already, whose host's thread this runs on.
    func work(_ first: RPCClient) async throws {
        let count = run.plan.connections
        let (ready, isReady) = AsyncStream.makeStream(of: Void.self)
        let starts = (0..<count).map { _ in AsyncStream.makeStream(of: Instant.self) }
        try await withThrowingTaskGroup(of: Void.self) { group in
            for number in 1..<max(1, count) {
                group.addTask {
                    // One peer has one connection of a host.
                    try await withUDPHost(identity: identity, placement: .socketThread) { host in
                        let client = try host.client(to: server, peerKey: key)
                        try await client.connect(within: BenchPlan.connecting)
                        isReady.yield()
                        for await origin in starts[number].stream { await BenchLane(run, number, client, from: origin).work() }
                    }
                }
            }
            group.addTask {
                for await origin in starts[0].stream { await BenchLane(run, 0, first, from: origin).work() }
            }
            group.addTask {
                var missing = count - 1
                if missing > 0 {
                    for await _ in ready {
                        missing -= 1
                        if missing == 0 { break }
                    }
                }
                let origin = run.clock.now() + Self.headStart
                run.begin(at: origin)
                for start in starts {
                    start.continuation.yield(origin)
                    start.continuation.finish()
                }
            }
            try await group.waitForAll()
        }
    }
}

extension BenchRun {
    func report(host: String, date: String, isInterrupted: Bool) -> LoadReport {
        let collector = collector.withLock { $0 }
        var elapsed = collector.lastDone
        // In a closed loop the last of so many calls ends the run, whatever time it had.
        let ranOut = plan.isClosed && plan.calls.map { collector.count >= $0 } ?? false
        if let counting {
            let now = max(clock.now() - counting, .zero)
            // A run that was to take so long took so long, unless it was ended.
            elapsed = isInterrupted ? now : ranOut ? elapsed : max(elapsed, min(plan.window ?? .zero, now))
        }
        var facts = LoadReport.Facts(
            method: plan.method, kind: plan.kind.name, host: host, date: date, load: plan.load, offered: plan.offered, concurrency: plan.concurrency,
            connections: plan.connections, deadline: plan.deadline, lateBound: plan.lateBound, warmup: plan.schedule.warmup, elapsed: elapsed)
        (facts.isInterrupted, facts.leftWaiting, facts.figures) = (isInterrupted, leftWaiting, figures)
        facts.window = isInterrupted || ranOut ? nil : plan.window
        facts.countsFailures = plan.countsFailures
        facts.hasStreams = plan.kind == .serverStream || plan.kind == .bidiStream
        return LoadReport(collector, facts)
    }
}

/// The run on one line, while it goes on.
enum BenchProgress {
    static func text(_ run: BenchRun) -> String {
        guard let counting = run.counting else { return "mast bench: connecting" }
        let now = run.clock.now() - counting
        guard now >= .zero else { return "mast bench: warming up, \(-now.milliseconds / 1_000) s to go" }
        let plan = run.plan
        let facts = LoadReport.Progress(
            elapsed: now, length: plan.isClosed ? plan.length : plan.schedule.length ?? plan.length, inFlight: run.inFlight.load(ordering: .relaxed),
            rate: plan.isClosed ? nil : plan.schedule.rate(at: now + plan.schedule.warmup))
        // Not a copy: whoever adds to the original next would have to make it.
        return "mast bench: " + run.collector.withLock { facts.text($0) }
    }
}
