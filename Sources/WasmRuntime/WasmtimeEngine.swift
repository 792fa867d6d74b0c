import CWasmtime
import Crypto
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#elseif canImport(Darwin)
    import Darwin
#endif

/// Runs applications with wasmtime, compiled by Cranelift, metered by fuel alone: no clock takes part, so a run that
/// is stopped is stopped at the same instruction everywhere.
package final class WasmtimeEngine: ArtifactEngine {
    package struct Configuration: Sendable, Hashable {
        /// A larger module is refused before it is looked at: compiling takes time in proportion. The limit of all roles.
        package var maximumModuleBytes = 4 << 20
        /// The most memory any run can be given; at most 1 GiB, which keeps addresses below the error bit.
        package var maximumMemoryBytes = 256 << 20
        /// Runs under way at once; each holds a slot of 4 GiB of *address space* from the start.
        package var maximumConcurrentRuns = 256
        /// Native stack for the application's calls, which they have beside the calling thread's.
        package var stackBytes = 512 << 10
        package var allocation = Allocation.pooled

        package init() {}
    }

    package enum Allocation: Sendable, Hashable {
        /// Memories are carved from a pool made at start, and the first `keepResidentBytes` of each are cleared by
        /// writing zeros instead of by asking the kernel: measured, that doubles the runs per second on one thread and
        /// is what lets two threads be faster than one. Becomes `onDemand` where the address space is limited.
        case pooled
        /// A fresh mapping for each run.
        case onDemand
    }

    static let keepResidentBytes = 128 << 10
    static let keepResidentStackBytes = 64 << 10

    package let configuration: Configuration
    /// What `configuration.allocation` became on this machine.
    package let allocation: Allocation
    package let library: WasmtimeLibrary.Found
    package let fingerprint: EngineFingerprint
    let native: NativeEngine
    private let running = Atomic<Int>(0)

    /// - Throws: `EngineError` when there is no usable library, with the next step in its message.
    package init(_ configuration: Configuration = Configuration()) throws(EngineError) {
        var configuration = configuration
        configuration.maximumMemoryBytes = min(max(configuration.maximumMemoryBytes, 1 << 16), 1 << 30)
        configuration.maximumConcurrentRuns = min(max(configuration.maximumConcurrentRuns, 1), 4096)
        configuration.maximumModuleBytes = max(configuration.maximumModuleBytes, 1)
        configuration.stackBytes = min(max(configuration.stackBytes, 64 << 10), 1 << 20)
        self.configuration = configuration
        library = try WasmtimeLibrary.open()
        allocation = Self.addressSpaceIsLimited ? .onDemand : configuration.allocation
        native = try NativeEngine(configuration, allocation)
        let echo = try NativeModule(compiling: Self.echo, native)
        fingerprint = EngineFingerprint(library: library.sha256, settings: SHA256.hash(data: try echo.artifact()))
        try checkItself()
    }

    package func load(_ module: [UInt8]) throws(EngineError) -> any LoadedApplication {
        try check(module)
        return try WasmtimeApplication(try NativeModule(compiling: module, native), engine: self)
    }

    package func load(artifact: [UInt8]) throws(EngineError) -> any LoadedApplication {
        try WasmtimeApplication(try NativeModule(artifact: artifact, native), engine: self)
    }

    package func check(_ module: [UInt8]) throws(EngineError) {
        guard module.count <= configuration.maximumModuleBytes else {
            throw EngineError(.moduleTooLarge, "the module has \(module.count) bytes; the limit is \(configuration.maximumModuleBytes)")
        }
        try ModuleCost(module).check(within: .standard)
    }

    /// Takes a slot for one run; false when all are taken.
    package func begin() -> Bool {
        let (before, _) = running.add(1, ordering: .relaxed)
        if before < configuration.maximumConcurrentRuns { return true }
        end()
        return false
    }

    package func end() { running.subtract(1, ordering: .relaxed) }

    private static var addressSpaceIsLimited: Bool {
        var limit = rlimit()
        #if canImport(Glibc)
            let resource = __rlimit_resource_t(UInt32(bitPattern: Int32(RLIMIT_AS.rawValue)))
        #else
            let resource = RLIMIT_AS
        #endif
        return getrlimit(resource, &limit) == 0 && limit.rlim_cur < rlim_t(1) << 46
    }

    /// A module of 85 bytes that answers with its input. What wasmtime writes into its artifact names all that an artifact
    /// depends on (its version, the processor's features, each setting), in an order that is always the same.
    private static let echo: [UInt8] = [
        0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00, 0x01, 0x0c, 0x02, 0x60, 0x01, 0x7f, 0x01, 0x7f, 0x60, 0x02,
        0x7f, 0x7f, 0x01, 0x7e, 0x03, 0x03, 0x02, 0x00, 0x01, 0x05, 0x03, 0x01, 0x00, 0x01, 0x07, 0x1d, 0x03, 0x06,
        0x6d, 0x65, 0x6d, 0x6f, 0x72, 0x79, 0x02, 0x00, 0x0a, 0x6d, 0x61, 0x73, 0x74, 0x5f, 0x61, 0x6c, 0x6c, 0x6f,
        0x63, 0x00, 0x00, 0x03, 0x72, 0x75, 0x6e, 0x00, 0x01, 0x0a, 0x14, 0x02, 0x05, 0x00, 0x41, 0x80, 0x08, 0x0b,
        0x0c, 0x00, 0x20, 0x00, 0xad, 0x42, 0x20, 0x86, 0x20, 0x01, 0xad, 0x84, 0x0b,
    ]

    /// A library whose layouts or conventions differ from those we declared fails here and not in the middle of
    /// somebody's run.
    private func checkItself() throws(EngineError) {
        let input = Array("mast".utf8)
        let application = try load(Self.echo)
        let output = try? application.run(entry: "run", input: input, limits: RunLimits(fuel: 1000, memoryBytes: 1 << 16))
        guard let output, output.bytes == input, output.peakMemoryBytes == 1 << 16, (1...100).contains(output.fuelUsed)
        else {
            throw EngineError(
                .libraryBroken, "\(library.path) failed the check at start; run .ci/setup to install a good copy")
        }
    }
}

/// Owns wasmtime's engine.
///
/// `@unchecked Sendable`: the pointer is set once, and wasmtime's engine is documented as safe to share between
/// threads; it is deleted when the last owner is gone.
final class NativeEngine: @unchecked Sendable {
    let pointer: OpaquePointer

    init(_ configuration: WasmtimeEngine.Configuration, _ allocation: WasmtimeEngine.Allocation) throws(EngineError) {
        guard let config = wasm_config_new() else { throw EngineError(.libraryBroken, "wasmtime has no configuration") }
        // By two threads it takes nearly twice the memory (722 MB instead of 407 for the worst that was found).
        wasmtime_config_parallel_compilation_set(config, false)
        wasmtime_config_consume_fuel_set(config, true)
        wasmtime_config_max_wasm_stack_set(config, configuration.stackBytes)
        // The same bits on every processor.
        wasmtime_config_cranelift_nan_canonicalization_set(config, true)
        wasmtime_config_wasm_relaxed_simd_set(config, false)
        wasmtime_config_wasm_threads_set(config, false)
        // Not needed by any compiler we target, so not offered to an attacker either.
        wasmtime_config_wasm_memory64_set(config, false)
        wasmtime_config_wasm_multi_memory_set(config, false)
        wasmtime_config_wasm_gc_set(config, false)
        wasmtime_config_wasm_function_references_set(config, false)
        wasmtime_config_wasm_exceptions_set(config, false)
        if allocation == .pooled, let pool = wasmtime_pooling_allocation_config_new() {
            let slots = UInt32(configuration.maximumConcurrentRuns)
            wasmtime_pooling_allocation_config_total_core_instances_set(pool, slots)
            wasmtime_pooling_allocation_config_total_memories_set(pool, slots)
            wasmtime_pooling_allocation_config_total_tables_set(pool, slots)
            wasmtime_pooling_allocation_config_max_memory_size_set(pool, configuration.maximumMemoryBytes)
            wasmtime_pooling_allocation_config_linear_memory_keep_resident_set(pool, WasmtimeEngine.keepResidentBytes)
            wasmtime_pooling_allocation_config_table_keep_resident_set(pool, 4096)
            // A run has one call under way at a time, each on a stack of its own.
            wasmtime_pooling_allocation_config_total_stacks_set(pool, slots)
            wasmtime_pooling_allocation_config_async_stack_keep_resident_set(pool, WasmtimeEngine.keepResidentStackBytes)
            wasmtime_pooling_allocation_strategy_set(config, pool)
            wasmtime_pooling_allocation_config_delete(pool)
        }
        // Takes the configuration with it.
        guard let engine = wasm_engine_new_with_config(config) else {
            throw EngineError(.libraryBroken, "wasmtime refused its configuration")
        }
        pointer = engine
    }

    deinit { wasm_engine_delete(pointer) }
}

/// Takes over an error that wasmtime returned, and gives its text as one bounded line.
func consumeMessage(ofError error: OpaquePointer) -> String {
    var bytes = wasm_byte_vec_t()
    wasmtime_error_message(error, &bytes)
    wasmtime_error_delete(error)
    return consumeLine(&bytes)
}

/// Frees the bytes. Lines after the first are joined, because wasmtime puts the cause there.
func consumeLine(_ bytes: inout wasm_byte_vec_t) -> String {
    defer { wasm_byte_vec_delete(&bytes) }
    let text = String(decoding: UnsafeBufferPointer(start: bytes.data, count: bytes.size).prefix(2000), as: UTF8.self)
    let words = text.split { $0.isWhitespace || $0 == "\0" }.joined(separator: " ")
    return String(words.prefix(300))
}

/// WebAssembly's text format, for tests and small experiments.
package enum WasmText {
    package static func assemble(_ text: String) throws(EngineError) -> [UInt8] {
        _ = try WasmtimeLibrary.open()
        var bytes = wasm_byte_vec_t()
        var text = text
        let error = text.withUTF8 { utf8 in
            utf8.withMemoryRebound(to: CChar.self) { characters -> OpaquePointer? in
                guard let start = characters.baseAddress else { return nil }
                return wasmtime_wat2wasm(start, characters.count, &bytes)
            }
        }
        if let error { throw EngineError(.invalidModule, consumeMessage(ofError: error)) }
        defer { wasm_byte_vec_delete(&bytes) }
        return Array(UnsafeBufferPointer(start: bytes.data, count: bytes.size))
    }
}
