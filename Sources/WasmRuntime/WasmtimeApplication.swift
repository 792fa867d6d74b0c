import CWasmtime

/// A compiled module, with all that can be checked about it before a run already checked.
///
/// `@unchecked Sendable`: the pointers are set once; wasmtime's module and instance-pre are documented as safe to
/// share between threads, and whatever changes during a run belongs to that run's own store.
final class WasmtimeApplication: LoadedApplication, @unchecked Sendable {
    private let engine: WasmtimeEngine
    private let prepared: OpaquePointer
    private let initialMemoryBytes: Int
    /// Exported functions that can be called as an entry. Looked up only, never iterated.
    private let entries: Set<String>
    private let hasInitializer: Bool

    /// Keeps alive what it needs of the module.
    init(_ native: borrowing NativeModule, engine: WasmtimeEngine) throws(EngineError) {
        let module = native.pointer
        try Self.refuseImports(of: module)
        let exports = ModuleExports(module)
        guard let memory = exports.memoryBytes else {
            throw EngineError(.missingExport, "the module does not export a memory called \"memory\"")
        }
        guard exports.functions["mast_alloc"] == .allocator else {
            throw EngineError(.missingExport, "the module does not export \"mast_alloc\" of type (i32) -> i32")
        }
        initialMemoryBytes = memory
        entries = Set(exports.functions.filter { $0.value == .entry }.keys)
        hasInitializer = exports.functions["_initialize"] == .initializer

        guard let linker = wasmtime_linker_new(engine.native.pointer) else {
            throw EngineError(.libraryBroken, "wasmtime gave no linker")
        }
        defer { wasmtime_linker_delete(linker) }
        var prepared: OpaquePointer?
        if let error = wasmtime_linker_instantiate_pre(linker, module, &prepared) {
            throw EngineError(.invalidModule, consumeMessage(ofError: error))
        }
        guard let prepared else { throw EngineError(.libraryBroken, "wasmtime prepared no instance") }
        self.prepared = prepared
        self.engine = engine
    }

    deinit { wasmtime_instance_pre_delete(prepared) }

    private static func refuseImports(of module: OpaquePointer) throws(EngineError) {
        var imports = wasm_importtype_vec_t()
        wasmtime_module_imports(module, &imports)
        defer { wasm_importtype_vec_delete(&imports) }
        guard imports.size > 0 else { return }
        let names = UnsafeBufferPointer(start: imports.data, count: imports.size).prefix(5).map { element in
            guard let element else { return "?" }
            return text(wasm_importtype_module(element)) + "." + text(wasm_importtype_name(element))
        }
        let more = imports.size > names.count ? " and \(imports.size - names.count) more" : ""
        throw EngineError(
            .unknownImport,
            "the module imports \(names.joined(separator: ", "))\(more); applications get no imports, build it without")
    }

    static func text(_ name: UnsafePointer<wasm_byte_vec_t>?) -> String {
        guard let name else { return "?" }
        return String(decoding: UnsafeBufferPointer(start: name.pointee.data, count: name.pointee.size), as: UTF8.self)
    }

    func run(entry: String, input: [UInt8], limits: RunLimits, interrupt: RunInterrupt?) throws(Trap) -> RunOutput {
        let memoryLimit = try memoryLimit(entry, limits)
        guard input.count <= memoryLimit else {
            throw Trap(.inputTooLarge, "the input has \(input.count) bytes; the memory limit is \(memoryLimit)")
        }
        guard engine.begin() else { throw overloaded }
        defer { engine.end() }

        var guest = try Guest.make(engine.native, fuel: limits.fuel, memoryLimit: memoryLimit, interrupt: interrupt)
        try initialize(&guest)
        var address: UInt32 = 0
        if !input.isEmpty {
            address = UInt32(truncatingIfNeeded: try guest.call("mast_alloc", Int32(truncatingIfNeeded: input.count)))
            guard address != 0 else { throw guest.trap(.outOfMemory, "no room for an input of \(input.count) bytes") }
            try guest.write(input, at: address)
        }
        let answer = UInt64(
            bitPattern: try guest.call(
                entry, Int32(bitPattern: address), Int32(truncatingIfNeeded: input.count)))
        let start = Int(answer >> 32) & 0x7fff_ffff
        let count = Int(answer & 0xffff_ffff)
        if answer >> 63 == 1 {
            let message = try guest.read(at: start, count: min(count, Self.messageLimit))
            throw guest.trap(.applicationError, String(decoding: message, as: UTF8.self))
        }
        guard count <= limits.outputBytes else {
            throw guest.trap(.badOutput, "the output has \(count) bytes; the limit is \(limits.outputBytes)")
        }
        let output = try guest.read(at: start, count: count)
        return RunOutput(bytes: output, fuelUsed: guest.fuelUsed, peakMemoryBytes: guest.memoryBytes)
    }

    func rehearse(entry: String, limits: RunLimits, interrupt: RunInterrupt?) throws(Trap) {
        let memoryLimit = try memoryLimit(entry, limits)
        guard engine.begin() else { throw overloaded }
        defer { engine.end() }
        var guest = try Guest.make(engine.native, fuel: limits.fuel, memoryLimit: memoryLimit, interrupt: interrupt)
        try initialize(&guest)
    }

    private func memoryLimit(_ entry: String, _ limits: RunLimits) throws(Trap) -> Int {
        guard entries.contains(entry) else {
            throw Trap(.missingExport, "the application has no entry \"\(entry.prefix(100))\" of type (i32, i32) -> i64")
        }
        let limit = min(max(limits.memoryBytes, 0), engine.configuration.maximumMemoryBytes)
        guard initialMemoryBytes <= limit else {
            throw Trap(.outOfMemory, "the application starts with \(initialMemoryBytes) bytes; the limit is \(limit)")
        }
        return limit
    }

    private var overloaded: Trap { Trap(.overloaded, "\(engine.configuration.maximumConcurrentRuns) runs are under way") }

    private func initialize(_ guest: inout Guest) throws(Trap) {
        try guest.start(prepared, initialMemoryBytes: initialMemoryBytes)
        if hasInitializer { _ = try guest.call("_initialize", results: 0) }
    }

    /// An application's error text is for people; more than this is cut off.
    private static let messageLimit = 4096
}

/// What a module exports, as far as the calling convention cares.
struct ModuleExports {
    enum Function { case allocator, entry, initializer, other }

    /// Looked up and filtered, never in an order that matters.
    private(set) var functions: [String: Function] = [:]
    /// What the exported `memory` starts with.
    private(set) var memoryBytes: Int?

    init(_ module: OpaquePointer) {
        var exports = wasm_exporttype_vec_t()
        wasmtime_module_exports(module, &exports)
        defer { wasm_exporttype_vec_delete(&exports) }
        for case let export? in UnsafeBufferPointer(start: exports.data, count: exports.size) {
            guard let type = wasm_exporttype_type(export) else { continue }
            let name = WasmtimeApplication.text(wasm_exporttype_name(export))
            if let function = wasm_externtype_as_functype_const(type) {
                functions[name] = Self.classify(function)
            } else if name == "memory", let memory = wasm_externtype_as_memorytype_const(type),
                let limits = wasm_memorytype_limits(memory)
            {
                memoryBytes = Int(limits.pointee.minimum) << 16
            }
        }
    }

    private static func classify(_ function: OpaquePointer) -> Function {
        let signature = (kinds(wasm_functype_params(function)), kinds(wasm_functype_results(function)))
        let i32 = UInt8(CWASMTIME_KIND_I32)
        let i64 = UInt8(CWASMTIME_KIND_I64)
        switch signature {
        case ([], []): return .initializer
        case ([i32], [i32]): return .allocator
        case ([i32, i32], [i64]): return .entry
        default: return .other
        }
    }

    private static func kinds(_ types: UnsafePointer<wasm_valtype_vec_t>?) -> [UInt8] {
        guard let types else { return [] }
        return UnsafeBufferPointer(start: types.pointee.data, count: types.pointee.size).map { type in
            type.map { wasm_valtype_kind($0) } ?? .max
        }
    }
}
