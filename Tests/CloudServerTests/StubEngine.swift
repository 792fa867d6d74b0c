import MastWasmRuntime
import Synchronization

/// Modules that are words: what they do is known here, and how often it was done is counted.
final class StubEngine: ApplicationEngine {
    /// What a run of "long" costs: a second of an `InlineRunExecutor`.
    static let longFuel: UInt64 = 500_000_000

    let runs = Atomic<Int>(0)
    let loads = Atomic<Int>(0)

    func load(_ module: [UInt8]) throws(EngineError) -> any LoadedApplication {
        loads.wrappingAdd(1, ordering: .relaxed)
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
