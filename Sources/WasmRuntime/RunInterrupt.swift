import Synchronization

/// Tells a run, from any thread, that nobody wants its result any more.
package final class RunInterrupt: Sendable {
    private let flag = Atomic<Bool>(false)

    package init() {}
    package func stop() { flag.store(true, ordering: .relaxed) }
    package var isStopped: Bool { flag.load(ordering: .relaxed) }
}
