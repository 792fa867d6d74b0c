import Foundation
import MastWasmRuntime

/// A fixed number of threads that compile and run applications for a live node. Work beyond that waits in order;
/// how much may wait is the admission queue's business (`RunService`).
package final class ThreadedRunExecutor: RunExecutor {
    package let capacity: Int
    private let queue: WorkQueue

    /// - Parameter threads: one per core unless stated.
    package init(threads: Int = ProcessInfo.processInfo.activeProcessorCount) {
        capacity = max(1, threads)
        queue = WorkQueue()
        for number in 0..<capacity {
            let thread = Thread { [queue] in
                while let work = queue.next() { work() }
            }
            thread.name = "mast-run-\(number)"
            // The engine needs 1 MiB for an application's stack, beside its own frames and the compiler's.
            thread.stackSize = 8 << 20
            thread.start()
        }
    }

    deinit { queue.stop() }

    package func load(_ module: [UInt8], with engine: any ApplicationEngine) async throws -> any LoadedApplication {
        try await onThread { try engine.load(module) }
    }

    package func run(_ application: any LoadedApplication, entry: String, input: [UInt8], limits: RunLimits) async throws
        -> RunOutput
    {
        try await onThread { try application.run(entry: entry, input: input, limits: limits) }
    }

    private func onThread<Value: Sendable>(_ body: @escaping @Sendable () throws -> Value) async throws -> Value {
        try await withCheckedThrowingContinuation { continuation in
            queue.add { continuation.resume(with: Result(catching: body)) }
        }
    }
}

/// Closures for threads that wait for them.
private final class WorkQueue: @unchecked Sendable {
    // `waiting` and `isStopped` are touched only while `condition` is locked.
    private let condition = NSCondition()
    private var waiting: [@Sendable () -> Void] = []
    private var first = 0
    private var isStopped = false

    func add(_ work: @escaping @Sendable () -> Void) {
        condition.lock()
        waiting.append(work)
        condition.signal()
        condition.unlock()
    }

    /// Blocks until there is work; nil when stopped and nothing is left.
    func next() -> (@Sendable () -> Void)? {
        condition.lock()
        defer { condition.unlock() }
        while first == waiting.count {
            if isStopped { return nil }
            condition.wait()
        }
        let work = waiting[first]
        first += 1
        if first == waiting.count || first > 1024 {
            waiting.removeFirst(first)
            first = 0
        }
        return work
    }

    func stop() {
        condition.lock()
        isStopped = true
        condition.broadcast()
        condition.unlock()
    }
}
