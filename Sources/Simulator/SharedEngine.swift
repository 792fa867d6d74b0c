import MastWasmRuntime
import Synchronization

/// One engine for all nodes of all worlds, which compiles each module once: compiling takes real time, while the
/// virtual time that a node spends on it is counted by the node's own executor.
package final class SharedEngine: ApplicationEngine {
    private let engine: any ApplicationEngine
    /// Few modules, and kept for good: a simulation uses a handful.
    private let compiled = Mutex<[(module: [UInt8], application: any LoadedApplication)]>([])

    package init(_ engine: any ApplicationEngine) { self.engine = engine }

    /// - Throws: `EngineError` when the machine has no wasmtime library.
    package static func wasmtime() throws -> SharedEngine {
        var configuration = WasmtimeEngine.Configuration()
        // Runs happen one after the other.
        configuration.maximumConcurrentRuns = 4
        return SharedEngine(try WasmtimeEngine(configuration))
    }

    package func load(_ module: [UInt8]) throws(EngineError) -> any LoadedApplication {
        if let known = compiled.withLock({ $0.first { $0.module == module }?.application }) { return known }
        let application = try engine.load(module)
        compiled.withLock { $0.append((module, application)) }
        return application
    }
}
