import Collections
import Synchronization

/// Runs `async` code on the thread that drives the simulation, first come, first served: with a virtual clock
/// beside it, the same code in the same world runs the same way every time.
///
/// Holds for task groups, `async let`, default actors and continuations. It does not hold for `Task {}` and
/// `Task.detached`, which leave for the global pool; nothing under simulation may use them.
package final class VirtualExecutor: TaskExecutor {
    private let jobs = Mutex<Deque<UnownedJob>>([])

    package init() {}

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append(job) }
    }

    /// Runs jobs until none is left.
    /// - Returns: how many ran.
    @discardableResult
    package func drain() -> Int {
        var count = 0
        while let job = jobs.withLock({ $0.popFirst() }) {
            job.runSynchronously(on: asUnownedTaskExecutor())
            count += 1
        }
        return count
    }
}
