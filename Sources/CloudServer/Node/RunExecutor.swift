import MastRPC
import MastTimebase
import MastWasmRuntime
import Synchronization

/// Where compiling and running happen. Both block a thread for as long as they take, so a live node keeps them
/// away from the threads that serve the network, and a simulated one turns them into virtual time.
package protocol RunExecutor: Sendable {
    /// Runs that can execute at once.
    var capacity: Int { get }
    func load(_ module: [UInt8], with engine: any ApplicationEngine) async throws -> any LoadedApplication
    /// - Throws: `Trap`.
    func run(_ application: any LoadedApplication, entry: String, input: [UInt8], limits: RunLimits) async throws -> RunOutput
}

/// Runs at once on the caller's thread and then lets virtual time pass, in proportion to the fuel: the same on
/// every machine. Several slots work beside each other, like the threads of a live node.
package final class InlineRunExecutor: RunExecutor {
    private let host: RPCHost
    private let fuelPerSecond: Int64
    private let compiledBytesPerSecond: Int64
    /// When each slot is free again.
    private let slots: Mutex<[Instant]>

    package init(
        host: RPCHost, capacity: Int = 2, fuelPerSecond: Int64 = 500_000_000, compiledBytesPerSecond: Int64 = 1_000_000
    ) {
        self.host = host
        self.fuelPerSecond = max(1, fuelPerSecond)
        self.compiledBytesPerSecond = max(1, compiledBytesPerSecond)
        slots = Mutex(Array(repeating: .zero, count: max(1, capacity)))
    }

    package var capacity: Int { slots.withLock { $0.count } }

    package func load(_ module: [UInt8], with engine: any ApplicationEngine) async throws -> any LoadedApplication {
        let application = try engine.load(module)
        try await pass(Self.time(Int64(module.count), at: compiledBytesPerSecond))
        return application
    }

    package func run(_ application: any LoadedApplication, entry: String, input: [UInt8], limits: RunLimits) async throws
        -> RunOutput
    {
        do {
            let output = try application.run(entry: entry, input: input, limits: limits)
            try await pass(Self.time(Int64(clamping: output.fuelUsed), at: fuelPerSecond))
            return output
        } catch let trap as Trap {
            try await pass(Self.time(Int64(clamping: trap.fuelUsed), at: fuelPerSecond))
            throw trap
        }
    }

    private func pass(_ duration: Interval) async throws {
        let now = host.now()
        let end = slots.withLock { slots in
            var best = slots.startIndex
            for index in slots.indices where slots[index] < slots[best] { best = index }
            slots[best] = max(now, slots[best]) + duration
            return slots[best]
        }
        if end > now { try await host.sleep(for: end - now) }
    }

    private static func time(_ amount: Int64, at perSecond: Int64) -> Interval {
        Interval(nanoseconds: Int64(clamping: Int128(amount) * 1_000_000_000 / Int128(perSecond)))
    }
}
