import Foundation
import MastCloudServer
import Testing

// Not `pthread_self`: a compiler may take its answer from before an `await`.
private func currentThread() -> ObjectIdentifier { ObjectIdentifier(Thread.current) }

@Suite struct CenterThreadTests {
    private actor Clerk {
        let executor = CenterThread()
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
        private(set) var threads: Set<ObjectIdentifier> = []

        func work() { threads.insert(currentThread()) }
    }

    @Test func `an actor on the center's thread works there and nowhere else, whoever calls`() async {
        let clerk = Clerk()
        var callers: Set<ObjectIdentifier> = []
        await withTaskGroup(of: ObjectIdentifier.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    let thread = currentThread()
                    await clerk.work()
                    return thread
                }
            }
            for await thread in group { callers.insert(thread) }
        }
        let threads = await clerk.threads
        #expect(threads.count == 1 && callers.isDisjoint(with: threads))
    }
}
