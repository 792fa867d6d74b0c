import Foundation
import MastCloudServer
import Testing

private func currentThread() -> UInt { UInt(bitPattern: pthread_self().hashValue) }

@Suite struct CenterThreadTests {
    private actor Clerk {
        let executor = CenterThread()
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
        private(set) var threads: Set<UInt> = []

        func work() { threads.insert(currentThread()) }
    }

    @Test func `an actor on the center's thread works there and nowhere else, whoever calls`() async {
        let clerk = Clerk()
        var callers: Set<UInt> = []
        await withTaskGroup(of: UInt.self) { group in
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
