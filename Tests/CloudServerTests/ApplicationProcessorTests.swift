import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import Synchronization
import Testing

@Suite struct ApplicationProcessorTests {
    /// Sources that count, and a clock that stands until it is moved.
    private final class World: Sendable {
        let fetches = Mutex(0)
        let time = Mutex(Instant.zero)
        func source(_ bytes: [UInt8]?) -> ReplicaSource {
            ReplicaSource(name: "source") { digest in
                self.fetches.withLock { $0 += 1 }
                await Task.yield()
                guard let bytes else { throw RPCError(.unavailable, "down", effect: .none) }
                return bytes
            }
        }
    }

    private func processor(_ world: World, bytes: Int = 100) -> ApplicationProcessor {
        ApplicationProcessor(capacityBytes: bytes, now: { world.time.withLock { $0 } }, log: quiet)
    }

    private func blob(_ value: UInt8) -> [UInt8] { [UInt8](repeating: value, count: 40) }

    @Test func `many stations that want one application cause one transfer`() async throws {
        let world = World()
        let processor = processor(world)
        let digest = ContentDigest(of: blob(1))
        let source = world.source(blob(1))
        let results = try await withThrowingTaskGroup(of: [UInt8].self) { group in
            for _ in 0..<20 { group.addTask { try await processor.replica(digest, from: [source]) } }
            return try await group.reduce(into: []) { $0.append($1) }
        }
        #expect(results.count == 20 && results.allSatisfy { $0 == blob(1) })
        #expect(world.fetches.withLock { $0 } == 1)
    }

    @Test func `copies stay within their bytes, the oldest goes`() async throws {
        let world = World()
        let processor = processor(world)
        for value in UInt8(1)...3 { _ = try await processor.replica(ContentDigest(of: blob(value)), from: [world.source(blob(value))]) }
        #expect(await processor.count == 2)
        #expect(await processor.totalBytes == 80)
        #expect(await !processor.holds(ContentDigest(of: blob(1))))
        let large = [UInt8](repeating: 9, count: 101)
        #expect(try await processor.replica(ContentDigest(of: large), from: [world.source(large)]) == large)
        #expect(await processor.totalBytes == 80)
    }

    @Test func `a source that gives other bytes or none is passed over`() async throws {
        let world = World()
        let processor = processor(world)
        let digest = ContentDigest(of: blob(1))
        let bytes = try await processor.replica(digest, from: [world.source(nil), world.source(blob(2)), world.source(blob(1))])
        #expect(bytes == blob(1))
        #expect(world.fetches.withLock { $0 } == 3)
    }

    @Test func `a search that failed is not repeated at once, but soon`() async throws {
        let world = World()
        let processor = processor(world)
        let digest = ContentDigest(of: blob(1))
        for _ in 0..<5 {
            await #expect(throws: RPCError.self) { try await processor.replica(digest, from: [world.source(nil)]) }
        }
        #expect(world.fetches.withLock { $0 } == 1)
        world.time.withLock { $0 += .seconds(1) }
        #expect(try await processor.replica(digest, from: [world.source(blob(1))]) == blob(1))
    }

    @Test func `when the one that fetches is cancelled another does it`() async throws {
        let world = World()
        let processor = processor(world)
        let digest = ContentDigest(of: blob(1))
        let (gate, open) = AsyncStream.makeStream(of: Void.self)
        let (fetching, begun) = AsyncStream.makeStream(of: Void.self)
        let stuck = ReplicaSource(name: "stuck") { _ in
            begun.finish()
            for await _ in gate {}
            try Task.checkCancellation()
            return []
        }
        try await withThrowingTaskGroup(of: [UInt8].self) { first in
            first.addTask { try await processor.replica(digest, from: [stuck]) }
            for await _ in fetching {}
            async let second = processor.replica(digest, from: [world.source(blob(1))])
            // Whether or not the second one waits by now, it is the one to do it.
            first.cancelAll()
            let answer = try await second
            #expect(answer == blob(1))
            await #expect(throws: (any Error).self) { _ = try await first.next() }
        }
        open.finish()
    }
}
