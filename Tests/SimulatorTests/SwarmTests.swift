import Foundation
import MastCloudClient
import MastCloudCore
import MastSimulator
import MastTimebase
import MastWasmRuntime
import Testing

@Suite("A cloud under a swarm of faults", .needsWasmtime)
struct SwarmTests {
    /// `MAST_SEED=17` repeats one swarm.
    static let seeds: [UInt64] = {
        if let text = ProcessInfo.processInfo.environment["MAST_SEED"], let seed = UInt64(text) { return [seed] }
        return Array(1...20)
    }()

    @Test(arguments: seeds)
    func `every run is answered once and rightly when the faults are over`(seed: UInt64) throws {
        let outcome = try Swarm(seed: seed).run(engine: Laboratory.engine.get())
        #expect(
            outcome.violations.isEmpty,
            """
            faults: \(outcome.plan)
            again: MAST_SEED=\(seed) swift test -c release --disable-testable-imports --filter SwarmTests
            """)
        #expect(outcome.records.count == 45)
    }

    @Test func `one seed is one run, and another seed another`() throws {
        let engine = try Laboratory.engine.get()
        let first = try Swarm(seed: 3).run(engine: engine)
        #expect(try Swarm(seed: 3).run(engine: engine).digest == first.digest)
        #expect(try Swarm(seed: 4).run(engine: engine).digest != first.digest)
    }

    @Test func `another process with the same seed has the same digest`() async throws {
        let digest = try Swarm(seed: 5).run(engine: Laboratory.engine.get()).digest
        await #expect(processExitsWith: .success) { [digest = digest as String] in
            let again = try Swarm(seed: 5).run(engine: Laboratory.engine.get()).digest
            try #require(again == digest)
        }
    }

    @Test func `a station's death moves runs to its sibling, and then to the center`() throws {
        let second = Interval.seconds(1)
        let plan = FaultPlan([.init(second * 5, .kill(.station(0))), .init(second * 5, .kill(.station(1))), .init(second * 15, .start(.station(0)))])
        let outcome = try Swarm(seed: 6, repeating: 0, faults: plan).run(engine: Laboratory.engine.get())
        #expect(outcome.violations.isEmpty)
        let names = outcome.records.compactMap(\.servedBy)
        #expect(names.first?.hasPrefix("station-") == true)
        #expect(names.contains("center"))
        #expect(names.last == "station-a")
    }

    // MARK: Checkers that never complain prove nothing

    @Test func `a pool that forgets is caught`() throws {
        let outcome = try Swarm(seed: 7, faults: FaultPlan()).run(engine: Laboratory.engine.get(), pool: ForgetfulPool())
        #expect(outcome.violations.contains { $0.hasSuffix("was committed 2 times") })
    }

    @Test func `a wrong result is caught`() throws {
        let engine = SharedEngine(WrongEngine(right: try Laboratory.engine.get()))
        let outcome = try Swarm(seed: 8, faults: FaultPlan()).run(engine: engine)
        #expect(outcome.violations.contains { $0.contains("was answered wrongly by station-") })
        #expect(outcome.violations.contains { $0.contains("is not its answer") })
    }

    @Test func `a run that cannot be answered is caught`() throws {
        let roles: [SimulatedRole] = [.center, .station(0), .station(1)]
        let plan = FaultPlan(roles.map { .init(.seconds(1), .kill($0)) })
        let outcome = try Swarm(seed: 9, runs: 10, horizon: .seconds(5), faults: plan, timeout: .seconds(10)).run(engine: Laboratory.engine.get())
        #expect(outcome.violations.contains { $0.contains("failed: ") })
    }
}

/// Never knows that it has a result, and takes the next one as the first.
private final class ForgetfulPool: ResultPool {
    private let pool = MemoryPool()

    func resource(for runID: RunID) throws(PoolError) -> VirtualResource? { nil }
    func contents(of runID: RunID) throws(PoolError) -> [UInt8]? { try pool.contents(of: runID) }
    func commit(_ submission: PoolSubmission, at now: WallTime) throws(PoolError) -> CommitOutcome {
        _ = try pool.remove(submission.runID, force: true, at: now)
        return try pool.commit(submission, at: now)
    }
    func dispute(_ runID: RunID, witnesses: [AttestedReceipt]) throws(PoolError) { try pool.dispute(runID, witnesses: witnesses) }
    func witnesses(of runID: RunID) throws(PoolError) -> [AttestedReceipt] { try pool.witnesses(of: runID) }
    func resources() throws(PoolError) -> [VirtualResource] { try pool.resources() }
    func remove(_ runID: RunID, force: Bool, at now: WallTime) throws(PoolError) -> Bool { try pool.remove(runID, force: force, at: now) }
    func setPinned(_ pinned: Bool, _ runID: RunID) throws(PoolError) -> Bool { try pool.setPinned(pinned, runID) }
    func lease(_ runID: RunID, for duration: Interval, at now: WallTime) throws(PoolError) -> Lease? { nil }
    func release(_ lease: Lease) throws(PoolError) {}
    func statistics() throws(PoolError) -> PoolStatistics { try pool.statistics() }
}

/// Gets the last digit of short answers wrong.
private struct WrongEngine: ApplicationEngine {
    let right: SharedEngine

    func load(_ module: [UInt8]) throws(EngineError) -> any LoadedApplication { Wrong(right: try right.load(module)) }

    private struct Wrong: LoadedApplication {
        let right: any LoadedApplication

        func rehearse(entry: String, limits: RunLimits, interrupt: RunInterrupt?) throws(Trap) {
            try right.rehearse(entry: entry, limits: limits, interrupt: interrupt)
        }

        func run(entry: String, input: [UInt8], limits: RunLimits, interrupt: RunInterrupt?) throws(Trap) -> RunOutput {
            var output = try right.run(entry: entry, input: input, limits: limits, interrupt: interrupt)
            if output.bytes.count < 200, let last = output.bytes.indices.last { output.bytes[last] ^= 1 }
            return output
        }
    }
}
