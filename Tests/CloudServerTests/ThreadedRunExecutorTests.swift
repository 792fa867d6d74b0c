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

    @Test func `a run whose caller is cancelled is stopped where it is, and its thread is free`() async throws {
        let engine = StubEngine()
        let executor = ThreadedRunExecutor(threads: 1)
        let endless = try await executor.load(Array("endl".utf8), with: engine)
        let upper = try await executor.load(Array("uppr".utf8), with: engine)
        await cancelled(executor, endless, fuel: 100_000_000_000)
        #expect(try await executor.run(upper, entry: "run", input: [97], limits: limits).bytes == [65])
    }

    @Test(.enabled(if: (try? WasmtimeLibrary.locate()) != nil)) func `so is a guest in a loop without end`() async throws {
        let executor = ThreadedRunExecutor(threads: 1)
        let module = try WasmText.assemble(
            """
            (module (memory (export "memory") 1) (func (export "mast_alloc") (param i32) (result i32) i32.const 8)
              (func (export "run") (param i32 i32) (result i64) (loop $again (br $again)) i64.const 0))
            """)
        let application = try await executor.load(module, with: try WasmtimeEngine())
        // Some ten seconds, should nobody stop it.
        await cancelled(executor, application, fuel: 20_000_000_000)
    }

    /// Cancels a run that has begun or not: either way it ends as cancelled, and not by its limit.
    private func cancelled(_ executor: ThreadedRunExecutor, _ application: any LoadedApplication, fuel: UInt64) async {
        await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask {
                _ = try await executor.run(
                    application, entry: "run", input: [1], limits: RunLimits(fuel: fuel, memoryBytes: 1 << 20, outputBytes: 1 << 20))
            }
            for _ in 0..<1_000 { await Task.yield() }
            group.cancelAll()
            await #expect(throws: CancellationError.self) { try await group.next() }
        }
    }

    @Test func `nobody waits for a compiler when the process ends`() async throws {
        let executor = ThreadedRunExecutor(threads: 1)
        executor.abandon()
        await #expect(throws: CancellationError.self) { _ = try await executor.load(Array("uppr".utf8), with: StubEngine()) }
    }
}
