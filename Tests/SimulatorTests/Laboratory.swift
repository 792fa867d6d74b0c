import Foundation
import MastCloudClient
import MastLinkModel
import MastSimulator
import MastTimebase
import MastWasmRuntime
import Testing

/// What the tests share: the engine, and the sample application that simulated clouds run.
enum Laboratory {
    static let engine = Result { try SharedEngine.wasmtime() }

    /// False only where there is no library at all: one that is broken fails the tests.
    static let libraryIsThere: Bool = {
        if case .failure(let error) = engine, (error as? EngineError)?.kind == .libraryMissing { return false }
        return true
    }()

    static func module() throws -> [UInt8] {
        let file = URL(filePath: #filePath).deletingLastPathComponent()
            .appending(path: "../../Sources/Applications/\(SearchWorkload.application)/\(SearchWorkload.application).wasm")
        return [UInt8](try Data(contentsOf: file))
    }
}

extension Trait where Self == ConditionTrait {
    static var needsWasmtime: Self {
        .enabled(if: Laboratory.libraryIsThere, "the wasmtime library is not installed; run .ci/setup")
    }
}

/// A cloud, a client behind a bad link, and a swarm of faults; all of it from one seed.
struct Swarm {
    var seed: UInt64
    var runs = 40
    var horizon = Interval.seconds(20)
    /// One of so many runs is asked for twice.
    var repeating = 8
    var faults: FaultPlan?
    /// Each run's time covers all faults, so each must succeed.
    var timeout = Interval.seconds(120)

    struct Outcome {
        var digest: String
        var plan: FaultPlan
        var violations: [String]
        var records: [RunRecord]
        var seconds: Double
    }

    func run(engine: SharedEngine, pool: any ResultPool = MemoryPool()) throws -> Outcome {
        let simulation = Simulation(seed: seed)
        let cloud = try SimulatedCloud(simulation, engine: engine)
        var chance = simulation.chance("workload")
        let workload = SearchWorkload(runs: runs, over: horizon, repeating: repeating, chance: &chance).workload
        var faultChance = simulation.chance("faults")
        let plan = faults ?? .swarm(&faultChance, roles: cloud.roles, horizon: horizon)
        let access = link()
        let journal = RunJournal(digest: simulation.digest)
        let witness = PoolWitness(pool)
        let module = try Laboratory.module()
        let timeout = timeout
        try simulation.run(limit: .seconds(120) + horizon + timeout) {
            try await cloud.start(with: SearchWorkload.application, module: module)
            let start = simulation.now + .seconds(1)
            try await simulation.time.sleep(until: start)
            try await cloud.withClient(0, access: access, pool: witness) { client in
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await cloud.apply(plan, from: start) }
                    try await workload.ask(client, from: start, clock: simulation.time, timeout: timeout, journal: journal)
                    try await group.waitForAll()
                }
            }
        }
        let records = journal.all
        return Outcome(
            digest: simulation.digest.text, plan: plan,
            violations: RunChecker(workload, allMustSucceed: true).violations(records, witness, exits: simulation.processes.exits),
            records: records, seconds: simulation.now.sinceStart.inSeconds)
    }

    private func link() -> LinkScenario {
        var chance = SeededGenerator(seed: seed, stream: "swarm.link")
        let loss = LossModel.independent(Probability(parts: chance.next(below: (1 << 32) / 20)))
        let delay = Interval.milliseconds(5 + Int64(chance.next(below: 60)))
        func profile() -> LinkProfile {
            LinkProfile(
                service: .constant(.megabitsPerSecond(1 + Int64(chance.next(below: 20)))), delay: delay,
                jitter: .milliseconds(Int64(chance.next(below: 10))), queue: .dropTail(QueueLimit(packets: 60)), radioLoss: loss)
        }
        return LinkScenario(name: "swarm", up: profile(), down: profile(), seed: seed)
    }
}
