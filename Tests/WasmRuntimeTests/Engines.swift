import MastWasmRuntime
import Testing

/// The engines that the tests share: making one costs milliseconds and a terabyte of address space.
enum Engines {
    static let pooled = Result { () throws(EngineError) in try WasmtimeEngine() }
    static let onDemand = Result { () throws(EngineError) in
        var configuration = WasmtimeEngine.Configuration()
        configuration.allocation = .onDemand
        return try WasmtimeEngine(configuration)
    }

    /// False only where there is no library at all: one that is broken fails the tests.
    static let libraryIsThere: Bool = {
        if case .failure(let error) = pooled, error.kind == .libraryMissing { return false }
        return true
    }()
}

extension Trait where Self == ConditionTrait {
    static var needsWasmtime: Self {
        .enabled(if: Engines.libraryIsThere, "the wasmtime library is not installed; run .ci/setup")
    }
}

/// An application written in the text format: `run` is its body, `items` whatever else the module has.
func application(
    _ run: String, items: String = "", memory: String = "1", alloc: String = "i32.const 1024",
    engine: Result<WasmtimeEngine, EngineError> = Engines.pooled
) throws -> any LoadedApplication {
    try engine.get().load(
        try WasmText.assemble(
            """
            (module (memory (export "memory") \(memory)) \(items)
              (func (export "mast_alloc") (param $length i32) (result i32) \(alloc))
              (func $run (export "run") (param $address i32) (param $length i32) (result i64) \(run)))
            """))
}

/// A body that answers with `length` bytes at `address`.
func answering(address: UInt32, length: UInt32) -> String {
    "i64.const \(Int64(bitPattern: UInt64(address) << 32 | UInt64(length)))"
}

let echo = """
    (i64.or (i64.shl (i64.extend_i32_u (local.get $address)) (i64.const 32)) (i64.extend_i32_u (local.get $length)))
    """

func trap(_ body: () throws -> RunOutput) -> Trap? {
    do { _ = try body() } catch { return error as? Trap }
    return nil
}
