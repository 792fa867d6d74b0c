import Foundation
import MastCloudServer
import Synchronization
import Testing

@Suite struct CenterThreadTests {
    private static func thread() -> UInt { UInt(bitPattern: pthread_self().hashValue) }

    private actor Clerk {
        let executor = CenterThread()
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
        private(set) var threads: Set<UInt> = []

        func work() { threads.insert(CenterThreadTests.thread()) }
    }

    @Test func `an actor on the center's thread works there and nowhere else, whoever calls`() async {
        let clerk = Clerk()
        let callers = Mutex<Set<UInt>>([])
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<100 {
                group.addTask {
                    callers.withLock { _ = $0.insert(Self.thread()) }
                    await clerk.work()
                }
            }
        }
        let threads = await clerk.threads
        #expect(threads.count == 1 && callers.withLock { $0.isDisjoint(with: threads) })
    }
}
