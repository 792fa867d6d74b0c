import MastCloudServer
import MastWasmRuntime
import Synchronization
import Testing

/// The executor of live nodes, on threads of its own; no test here depends on how fast they are.
@Suite struct ThreadedRunExecutorTests {
    private let limits = RunLimits(fuel: 1_000, memoryBytes: 1 << 20, outputBytes: 1 << 20)

    @Test func `every run that is asked for at once gets its own answer`() async throws {
        let engine = StubEngine()
        let executor = ThreadedRunExecutor(threads: 2)
        #expect(executor.capacity == 2)
        let application = try await executor.load(Array("uppr".utf8), with: engine)
        let answers = try await withThrowingTaskGroup(of: Bool.self) { group in
            for number in 0..<100 {
                group.addTask { [limits] in
                    let output = try await executor.run(application, entry: "run", input: Array("run \(number)".utf8), limits: limits)
                    return output.bytes == Array("RUN \(number)".utf8)
                }
            }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(answers.count == 100 && answers.allSatisfy { $0 })
        #expect(engine.runs.load(ordering: .relaxed) == 100)
    }

    @Test func `traps and modules that are none reach the caller`() async throws {
        let engine = StubEngine()
        let executor = ThreadedRunExecutor(threads: 1)
        let trap = try await executor.load(Array("trap".utf8), with: engine)
        let error = await #expect(throws: Trap.self) {
            _ = try await executor.run(trap, entry: "run", input: [], limits: limits)
        }
        #expect(error?.kind == .unreachable)
        await #expect(throws: EngineError.self) { _ = try await executor.load(Array("none".utf8), with: engine) }
    }
}
