import MastCloudCore
import MastCloudServer
import MastTimebase
import MastWasmRuntime
import Synchronization

/// Compiles for a `StubEngine`, or fails as it is told.
final class PlantedCompiler: ModuleCompiler {
    enum Behaviour: Sendable {
        case compiles
        case fails(EngineError)
        /// Goes on until it is stopped.
        case hangs
    }

    let limits: CompilationLimits
    let behaviour: Mutex<Behaviour>
    let compilations = Atomic<Int>(0)
    private let stopped: AsyncStream<Void>
    private let stopping: AsyncStream<Void>.Continuation

    init(_ behaviour: Behaviour = .compiles, limits: CompilationLimits = .standard) {
        self.behaviour = Mutex(behaviour)
        self.limits = limits
        (stopped, stopping) = AsyncStream.makeStream(of: Void.self)
    }

    var count: Int { compilations.load(ordering: .relaxed) }

    func compile(_ module: [UInt8]) async throws -> [UInt8] {
        compilations.wrappingAdd(1, ordering: .relaxed)
        switch behaviour.withLock({ $0 }) {
        case .compiles: return StubEngine.artifact(module)
        case .fails(let error): throw error
        case .hangs:
            for await _ in stopped {}
            throw CancellationError()
        }
    }

    func stop() { stopping.finish() }
}

/// A clock that the test moves.
final class HandClock: Sendable {
    private let instant = Mutex(Instant.zero)
    func now() -> Instant { instant.withLock { $0 } }
    func pass(_ interval: Interval) { instant.withLock { $0 += interval } }
}

extension NodeKeys {
    init(seed: UInt64) {
        var generator = SeededGenerator(seed: seed)
        self.init(using: &generator)
    }
}

extension ArtifactCache {
    /// - Parameter node: whose key it has.
    convenience init(
        _ store: any BlobStore, node: UInt64 = 1, capacityBytes: Int = 1 << 20, clock: HandClock = HandClock()
    ) throws {
        try self.init(store: store, capacityBytes: capacityBytes, key: NodeKeys(seed: node).artifactKey, log: quiet, now: { clock.now() })
    }
}
