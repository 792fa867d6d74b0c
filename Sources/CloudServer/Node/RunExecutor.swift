import MastCloudCore
import MastRPC
import MastTimebase
import MastWasmRuntime

/// Where compiling and running happen. Both block a thread for as long as they take, so a live node keeps them
/// away from the threads that serve the network, and a simulated one turns them into virtual time.
///
/// It has no queue: whoever uses it asks for no more than `capacity` things at once (`RunSlots`), beside `kept`.
package protocol RunExecutor: Sendable {
    /// Runs that can execute at once.
    var capacity: Int { get }
    /// What was compiled and kept before, also before the last restart.
    func kept(_ digest: ContentDigest, for engine: any ApplicationEngine) async -> (any LoadedApplication)?
    /// - Throws: `EngineError`; `CancellationError` after `abandon`.
    func load(_ module: [UInt8], with engine: any ApplicationEngine) async throws -> any LoadedApplication
    /// - Throws: `Trap`; `CancellationError` within about a millisecond of the caller's being cancelled, when the
    ///   application has been stopped.
    func run(_ application: any LoadedApplication, entry: String, input: [UInt8], limits: RunLimits) async throws -> RunOutput
    /// What a run does before it has an input.
    /// - Throws: as `run`.
    func rehearse(_ application: any LoadedApplication, entry: String, limits: RunLimits) async throws
    /// The process ends: nobody waits for a compiler any more.
    func abandon()
    /// Deletes what is kept of one module.
    func forget(_ digest: ContentDigest)
    /// Deletes what is kept of all modules but these.
    func forget(allBut digests: [ContentDigest])
    /// What goes wrong with what is kept, on one line.
    var trouble: String? { get }
}

/// Runs at once on the caller's thread and then lets virtual time pass, in proportion to the fuel: the same on
/// every machine.
package final class InlineRunExecutor: RunExecutor {
    package let capacity: Int
    private let host: RPCHost
    private let fuelPerSecond: Int64
    private let compiledBytesPerSecond: Int64
    private let compiled: CompiledApplications?

    package init(
        host: RPCHost, capacity: Int = 2, fuelPerSecond: Int64 = 500_000_000, compiledBytesPerSecond: Int64 = 1_000_000,
        compiled: CompiledApplications? = nil
    ) {
        self.compiled = compiled
        self.host = host
        self.capacity = max(1, capacity)
        self.fuelPerSecond = max(1, fuelPerSecond)
        self.compiledBytesPerSecond = max(1, compiledBytesPerSecond)
    }

    package func kept(_ digest: ContentDigest, for engine: any ApplicationEngine) -> (any LoadedApplication)? {
        (engine as? any ArtifactEngine).flatMap { compiled?.kept(digest, for: $0) }
    }

    package func load(_ module: [UInt8], with engine: any ApplicationEngine) async throws -> any LoadedApplication {
        let application: any LoadedApplication
        if let compiled, let engine = engine as? any ArtifactEngine {
            application = try await compiled.load(module, with: engine) { try $0() }
        } else {
            application = try engine.load(module)
        }
        try await pass(Int64(module.count), at: compiledBytesPerSecond)
        return application
    }

    package func run(_ application: any LoadedApplication, entry: String, input: [UInt8], limits: RunLimits) async throws
        -> RunOutput
    {
        do {
            let output = try application.run(entry: entry, input: input, limits: limits)
            try await pass(Int64(clamping: output.fuelUsed), at: fuelPerSecond)
            return output
        } catch let trap as Trap {
            try await pass(Int64(clamping: trap.fuelUsed), at: fuelPerSecond)
            throw trap
        }
    }

    package func rehearse(_ application: any LoadedApplication, entry: String, limits: RunLimits) async throws {
        try application.rehearse(entry: entry, limits: limits, interrupt: nil)
    }

    package func abandon() { compiled?.compiler.stop() }
    package func forget(_ digest: ContentDigest) { compiled?.cache.remove(digest) }
    package func forget(allBut digests: [ContentDigest]) { compiled?.cache.keep(only: digests) }
    package var trouble: String? { compiled?.cache.trouble }

    private func pass(_ amount: Int64, at perSecond: Int64) async throws {
        try await host.sleep(for: Interval(nanoseconds: Int64(clamping: Int128(amount) * 1_000_000_000 / Int128(perSecond))))
    }
}
