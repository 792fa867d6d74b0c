import Foundation
import MastCloudServer
import Testing

@Suite struct CenterThreadTests {
    private actor Clerk {
        let executor: CenterThread
        nonisolated var unownedExecutor: UnownedSerialExecutor { executor.asUnownedSerialExecutor() }
        private(set) var threads: Set<String> = []

        init(_ executor: CenterThread) { self.executor = executor }

        func work() { threads.insert(Thread.current.name ?? "") }
    }

    @Test func `an actor on the center's thread works there and nowhere else, whoever calls`() async {
        let clerk = Clerk(CenterThread())
        await withTaskGroup(of: Void.self) { group in
            for _ in 0..<100 { group.addTask { await clerk.work() } }
        }
        #expect(await clerk.threads == ["mast-center"])
    }
}
