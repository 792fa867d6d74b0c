import Foundation
import MastTimebase
import Synchronization

/// Runs async code on the calling thread in virtual time: when nothing is left to run, the clock jumps to the
/// earliest sleeper. A test of seconds takes milliseconds, and the same steps in the same order each time.
final class VirtualLoop: TaskExecutor {
    private struct Sleeper {
        var until: Instant
        var number: Int
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var jobs: [UnownedJob] = []
        var sleepers: [Sleeper] = []
        var cancelled: [Int] = []
        var now = Instant.zero
        var number = 0
    }

    private let state = Mutex(State())

    func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        state.withLock { $0.jobs.append(job) }
    }

    var now: Instant { state.withLock { $0.now } }

    func sleep(for interval: Interval) async throws {
        let number = state.withLock { state in
            state.number += 1
            return state.number
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                let isCancelled = state.withLock { state in
                    guard !state.cancelled.contains(number) else { return true }
                    state.sleepers.append(Sleeper(until: state.now + max(interval, .zero), number: number, continuation: continuation))
                    return false
                }
                if isCancelled { continuation.resume(throwing: CancellationError()) }
            }
        } onCancel: {
            let sleeper = state.withLock { state -> Sleeper? in
                guard let index = state.sleepers.firstIndex(where: { $0.number == number }) else {
                    state.cancelled.append(number)
                    return nil
                }
                return state.sleepers.remove(at: index)
            }
            sleeper?.continuation.resume(throwing: CancellationError())
        }
    }

    /// Runs `body` to its end.
    func run<T: Sendable>(_ body: @escaping @Sendable () async throws -> T) throws -> T {
        let result = Mutex<Result<T, any Error>?>(nil)
        Task(executorPreference: self) {
            let value: Result<T, any Error>
            do { value = .success(try await body()) } catch { value = .failure(error) }
            result.withLock { $0 = value }
        }
        var steps = 0
        while true {
            if let value = result.withLock({ $0 }) { return try value.get() }
            steps += 1
            guard steps < 5_000_000 else { throw Stuck(at: now) }
            if let job = state.withLock({ $0.jobs.isEmpty ? nil : $0.jobs.removeFirst() }) {
                job.runSynchronously(on: asUnownedTaskExecutor())
                continue
            }
            let sleeper = state.withLock { state -> Sleeper? in
                guard let index = state.sleepers.indices.min(by: { (state.sleepers[$0].until, state.sleepers[$0].number) < (state.sleepers[$1].until, state.sleepers[$1].number) })
                else { return nil }
                state.now = max(state.now, state.sleepers[index].until)
                return state.sleepers.remove(at: index)
            }
            guard let sleeper else { throw Stuck(at: now) }
            sleeper.continuation.resume()
        }
    }

    struct Stuck: Error { var at: Instant }
}
