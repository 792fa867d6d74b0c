import Foundation

/// The thread of a live center: SQLite waits there for the disk, and no thread that serves the network waits with it.
package final class CenterThread: SerialExecutor {
    private let queue: WorkQueue

    package init() {
        queue = WorkQueue()
        let thread = Thread { [queue] in
            while let work = queue.next() { work() }
        }
        thread.name = "mast-center"
        thread.start()
    }

    deinit { queue.stop() }

    package func enqueue(_ job: consuming ExecutorJob) {
        let job = UnownedJob(job)
        queue.add { job.runSynchronously(on: self.asUnownedSerialExecutor()) }
    }
}
