import MastTimebase
import Synchronization

/// The processes of a simulated world: each a task that can be killed by itself, all of them children of one.
package final class ProcessTable: Sendable {
    package struct ID: Hashable, Comparable, Sendable {
        package var number: Int
        package static func < (a: ID, b: ID) -> Bool { a.number < b.number }
    }

    /// A process that ended by itself.
    package struct Exit: Sendable {
        package var name: String
        package var at: Instant
        /// Nil when it returned.
        package var error: String?
    }

    private struct Process: Sendable {
        var id: ID
        var name: String
        /// Ends when the process is to be killed, or has ended.
        var life: AsyncStream<Void>
        var body: @Sendable () async throws -> Void
    }

    private struct State {
        var next = 0
        var running: [(id: ID, end: AsyncStream<Void>.Continuation)] = []
        var exits: [Exit] = []
    }

    private let world: VirtualTime
    private let spawned: AsyncStream<Process>
    private let spawning: AsyncStream<Process>.Continuation
    private let state = Mutex(State())

    package init(world: VirtualTime) {
        self.world = world
        // As many as a scenario starts.
        (spawned, spawning) = AsyncStream.makeStream(of: Process.self, bufferingPolicy: .unbounded)
    }

    @discardableResult
    package func spawn(_ name: String, _ body: @escaping @Sendable () async throws -> Void) -> ID {
        let (life, end) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let id = state.withLock { state in
            state.next += 1
            let id = ID(number: state.next)
            state.running.append((id, end))
            return id
        }
        spawning.yield(Process(id: id, name: name, life: life, body: body))
        return id
    }

    /// Cancels the process's task. Killing as SIGKILL does also needs its host's driver to die first, so that
    /// nothing that the task does on its way out is seen by anybody.
    package func kill(_ id: ID) { take(id)?.finish() }

    package func isRunning(_ id: ID) -> Bool { state.withLock { $0.running.contains { $0.id == id } } }

    /// Processes that ended by themselves, in order.
    package var exits: [Exit] { state.withLock { $0.exits } }

    /// Runs what is spawned until cancelled; then all end.
    package func serve() async {
        await withDiscardingTaskGroup { group in
            for await process in spawned { group.addTask { await self.run(process) } }
            group.cancelAll()
        }
    }

    private func run(_ process: Process) async {
        await withTaskGroup(of: Void.self) { group in
            group.addTask {
                var failure: String?
                do { try await process.body() } catch { failure = "\(error)" }
                // Still in the table: nobody killed it.
                if !Task.isCancelled, let end = self.take(process.id) {
                    self.state.withLock { $0.exits.append(Exit(name: process.name, at: self.world.now, error: failure)) }
                    end.finish()
                }
            }
            for await _ in process.life {}
            group.cancelAll()
        }
        _ = take(process.id)
    }

    private func take(_ id: ID) -> AsyncStream<Void>.Continuation? {
        state.withLock { state in
            guard let index = state.running.firstIndex(where: { $0.id == id }) else { return nil }
            return state.running.remove(at: index).end
        }
    }
}
