import Dispatch
import MastWasmRuntime
import Synchronization

/// Modules that are words: what they do is known here, and how often it was done is counted.
final class StubEngine: ApplicationEngine {
    let runs = Atomic<Int>(0)
    let loads = Atomic<Int>(0)
    /// Runs of "gate" wait for it.
    let gate = DispatchSemaphore(value: 0)

    func load(_ module: [UInt8]) throws(EngineError) -> any LoadedApplication {
        loads.wrappingAdd(1, ordering: .relaxed)
        switch String(decoding: module.prefix(4), as: UTF8.self) {
        case "uppr": return Stub(engine: self, trap: nil)
        case "gate": return Stub(engine: self, trap: nil, waits: true)
        case "trap": return Stub(engine: self, trap: .unreachable)
        case "busy": return Stub(engine: self, trap: .overloaded)
        default: throw EngineError(.invalidModule, "not a module")
        }
    }

    private struct Stub: LoadedApplication {
        let engine: StubEngine
        let trap: Trap.Kind?
        var waits = false

        func run(entry: String, input: [UInt8], limits: RunLimits) throws(Trap) -> RunOutput {
            engine.runs.wrappingAdd(1, ordering: .relaxed)
            if waits { engine.gate.wait() }
            if let trap { throw Trap(trap, "as asked", fuelUsed: 3) }
            guard UInt64(input.count) <= limits.fuel else { throw Trap(.outOfFuel, "", fuelUsed: limits.fuel) }
            let upper = input.map { (97...122).contains($0) ? $0 - 32 : $0 }
            return RunOutput(bytes: upper, fuelUsed: UInt64(input.count), peakMemoryBytes: 65_536)
        }
    }
}
