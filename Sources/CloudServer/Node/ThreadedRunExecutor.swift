import Foundation
import MastWasmRuntime
import Synchronization

/// A fixed number of threads that compile and run applications for a live node.
package final class ThreadedRunExecutor: RunExecutor {
    package let capacity: Int
    private let queue: WorkQueue
    private let loads = Mutex(Loads())

    /// Callers that wait for a compiler: as many as threads.
    private struct Loads {
        var next: UInt64 = 0
        var waiting: [(number: UInt64, continuation: CheckedContinuation<any LoadedApplication, any Error>)] = []
        var isAbandoned = false
    }

    /// - Parameter threads: one per core unless stated.
    package init(threads: Int = ProcessInfo.processInfo.activeProcessorCount) {
        capacity = max(1, threads)
        queue = WorkQueue()
        for number in 0..<capacity {
            let thread = Thread { [queue] in
                while let work = queue.next() { work() }
            }
            thread.name = "mast-run-\(number)"
            // For the compiler's frames; an application has a stack of its own.
            thread.stackSize = 8 << 20
            thread.start()
        }
    }

    deinit { queue.stop() }

    package func load(_ module: [UInt8], with engine: any ApplicationEngine) async throws -> any LoadedApplication {
        try await withCheckedThrowingContinuation { continuation in
            let number = loads.withLock { loads -> UInt64? in
                guard !loads.isAbandoned else { return nil }
                loads.next += 1
                loads.waiting.append((loads.next, continuation))
                return loads.next
            }
            guard let number else { return continuation.resume(throwing: CancellationError()) }
            queue.add {
                let result = Result { try engine.load(module) }
                self.loads.withLock { loads in
                    loads.waiting.firstIndex { $0.number == number }.map { loads.waiting.remove(at: $0).continuation }
                }?.resume(with: result)
            }
        }
    }

    package func run(_ application: any LoadedApplication, entry: String, input: [UInt8], limits: RunLimits) async throws
        -> RunOutput
    {
        try await onThread { interrupt in try application.run(entry: entry, input: input, limits: limits, interrupt: interrupt) }
    }

    package func rehearse(_ application: any LoadedApplication, entry: String, limits: RunLimits) async throws {
        try await onThread { interrupt in try application.rehearse(entry: entry, limits: limits, interrupt: interrupt) }
    }

    private func onThread<Value: Sendable>(_ body: @escaping @Sendable (RunInterrupt) throws -> Value) async throws -> Value {
        let interrupt = RunInterrupt()
        do {
            return try await withTaskCancellationHandler {
                try await withCheckedThrowingContinuation { continuation in
                    queue.add { continuation.resume(with: Result { try body(interrupt) }) }
                }
            } onCancel: {
                interrupt.stop()
            }
        } catch let trap as Trap where trap.kind == .interrupted {
            throw CancellationError()
        }
    }

    package func abandon() {
        let waiting = loads.withLock { loads in
            loads.isAbandoned = true
            defer { loads.waiting = [] }
            return loads.waiting
        }
        for waiter in waiting { waiter.continuation.resume(throwing: CancellationError()) }
    }
}

/// Closures for threads that wait for them.
final class WorkQueue: @unchecked Sendable {
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
