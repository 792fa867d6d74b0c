import MastWasmRuntime
import Synchronization

/// Modules that are words: what they do is known here, and how often it was done is counted.
final class StubEngine: ArtifactEngine {
    /// What a run of "long" costs: a second of an `InlineRunExecutor`.
    static let longFuel: UInt64 = 500_000_000

    let runs = Atomic<Int>(0)
    /// Of modules, which is compiling them.
    let loads = Atomic<Int>(0)
    let fingerprint: EngineFingerprint
    private let takesArtifacts: Bool

    /// - Parameters:
    ///   - library: its version.
    ///   - takesArtifacts: false when it finds something that no fingerprint shows.
    init(library: UInt8 = 1, settings: UInt8 = 1, takesArtifacts: Bool = true) {
        fingerprint = EngineFingerprint(library: [UInt8](repeating: library, count: 32), settings: [UInt8](repeating: settings, count: 32))
        self.takesArtifacts = takesArtifacts
    }

    /// What a compiler makes of a module.
    static func artifact(_ module: [UInt8]) -> [UInt8] { Array("code ".utf8) + module }

    func check(_ module: [UInt8]) {}

    func load(artifact: [UInt8]) throws(EngineError) -> any LoadedApplication {
        guard takesArtifacts, artifact.starts(with: Array("code ".utf8)) else { throw EngineError(.artifactMismatch, "not its code") }
        return try application(Array(artifact.dropFirst(5)))
    }

    func load(_ module: [UInt8]) throws(EngineError) -> any LoadedApplication {
        loads.wrappingAdd(1, ordering: .relaxed)
        return try application(module)
    }

    private func application(_ module: [UInt8]) throws(EngineError) -> any LoadedApplication {
        switch String(decoding: module.prefix(4), as: UTF8.self) {
        case "uppr": return Stub(engine: self, trap: nil)
        case "long": return Stub(engine: self, trap: nil, fuel: Self.longFuel)
        case "ages": return Stub(engine: self, trap: nil, fuel: 8 * Self.longFuel)
        case "huge": return Huge(engine: self)
        case "endl": return Endless()
        case "trap": return Stub(engine: self, trap: .unreachable)
        case "busy": return Stub(engine: self, trap: .overloaded)
        default: throw EngineError(.invalidModule, "not a module")
        }
    }

    private struct Stub: LoadedApplication {
        let engine: StubEngine
        let trap: Trap.Kind?
        /// Nil: one for each byte.
        var fuel: UInt64?

        func rehearse(entry: String, limits: RunLimits, interrupt: RunInterrupt?) throws(Trap) {
            guard entry == "run" else { throw Trap(.missingExport, "no entry \"\(entry)\"") }
        }

        func run(entry: String, input: [UInt8], limits: RunLimits, interrupt: RunInterrupt?) throws(Trap) -> RunOutput {
            engine.runs.wrappingAdd(1, ordering: .relaxed)
            if let trap { throw Trap(trap, "as asked", fuelUsed: 3) }
            let fuel = fuel ?? UInt64(input.count)
            guard fuel <= limits.fuel else { throw Trap(.outOfFuel, "", fuelUsed: limits.fuel) }
            let upper = input.map { (97...122).contains($0) ? $0 - 32 : $0 }
            return RunOutput(bytes: upper, fuelUsed: fuel, peakMemoryBytes: 65_536)
        }
    }

    /// Answers with more than a message holds, if it may.
    private struct Huge: LoadedApplication {
        let engine: StubEngine
        func rehearse(entry: String, limits: RunLimits, interrupt: RunInterrupt?) {}
        func run(entry: String, input: [UInt8], limits: RunLimits, interrupt: RunInterrupt?) throws(Trap) -> RunOutput {
            engine.runs.wrappingAdd(1, ordering: .relaxed)
            let bytes = [UInt8](repeating: 1, count: 18 << 20)
            guard bytes.count <= limits.outputBytes else { throw Trap(.badOutput, "too much") }
            return RunOutput(bytes: bytes, fuelUsed: 1, peakMemoryBytes: 65_536)
        }
    }

    /// On a thread: runs until it is interrupted, or its fuel is used up.
    private struct Endless: LoadedApplication {
        func rehearse(entry: String, limits: RunLimits, interrupt: RunInterrupt?) {}

        func run(entry: String, input: [UInt8], limits: RunLimits, interrupt: RunInterrupt?) throws(Trap) -> RunOutput {
            for step in 0..<limits.fuel where interrupt?.isStopped == true { throw Trap(.interrupted, "", fuelUsed: step) }
            throw Trap(.outOfFuel, "", fuelUsed: limits.fuel)
        }
    }
}
