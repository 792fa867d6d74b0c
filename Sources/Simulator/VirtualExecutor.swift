import Collections
import Synchronization

/// Runs `async` code on the thread that drives the simulation, first come, first served: with a virtual clock
/// beside it, the same code in the same world runs the same way every time.
///
/// Holds for task groups, `async let`, default actors and continuations. It does not hold for `Task {}` and
/// `Task.detached`, which leave for the global pool; nothing under simulation may use them.
package final class VirtualExecutor: TaskExecutor {
    private let jobs = Mutex<Deque<(job: UnownedJob, actor: UnownedSerialExecutor?)>>([])

    package init() {}

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        jobs.withLock { $0.append((job, nil)) }
    }

    /// For one actor that live has a thread of its own: here its jobs wait in the same queue as all others.
    package func serial() -> VirtualSerialExecutor { VirtualSerialExecutor(self) }

    fileprivate func enqueue(_ job: UnownedJob, of actor: UnownedSerialExecutor) { jobs.withLock { $0.append((job, actor)) } }

    /// Runs jobs until none is left.
    /// - Returns: how many ran.
    @discardableResult
    package func drain() -> Int {
        var count = 0
        while let job = jobs.withLock({ $0.popFirst() }) {
            if let actor = job.actor { job.job.runSynchronously(on: actor) } else { job.job.runSynchronously(on: asUnownedTaskExecutor()) }
            count += 1
        }
        return count
    }
}

/// A part of the simulation's queue that knows whose jobs it has.
package final class VirtualSerialExecutor: SerialExecutor {
    private let queue: VirtualExecutor

    fileprivate init(_ queue: VirtualExecutor) { self.queue = queue }

    package func enqueue(_ job: consuming ExecutorJob) { queue.enqueue(UnownedJob(job), of: asUnownedSerialExecutor()) }
}
