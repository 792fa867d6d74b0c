import CWasmtime

/// One run: a store and an instance that nothing else sees and that end with this value.
///
/// Everything the guest says (addresses, lengths) is checked against its memory as it is at that moment.
struct Guest: ~Copyable {
    private let store: OpaquePointer
    private let context: OpaquePointer
    private let fuel: UInt64
    private let memoryLimit: Int
    private let interrupt: RunInterrupt?
    private var initialMemoryBytes = 0
    private var instance = wasmtime_instance_t()
    private var memory = wasmtime_memory_t()
    private var started = false

    /// How much the application may use until it is asked whether it is still wanted: at most 0.6 ms, measured.
    ///
    /// Slices of fuel were chosen over epochs by what they cost: 0.9 µs on a run of 3 µs and nothing on a loop, where an
    /// epoch beside fuel costs a tight loop 25 %. Neither changes the count.
    private static let slice: UInt64 = 1_000_000

    private init(store: OpaquePointer, context: OpaquePointer, fuel: UInt64, memoryLimit: Int, interrupt: RunInterrupt?) {
        self.store = store
        self.context = context
        self.fuel = fuel
        self.memoryLimit = memoryLimit
        self.interrupt = interrupt
    }

    static func make(_ engine: NativeEngine, fuel: UInt64, memoryLimit: Int, interrupt: RunInterrupt?) throws(Trap) -> Guest {
        guard let store = wasmtime_store_new(engine.pointer, nil, nil) else { throw Trap(.other, "wasmtime gave no store") }
        guard let context = wasmtime_store_context(store) else {
            wasmtime_store_delete(store)
            throw Trap(.other, "wasmtime gave no store")
        }
        let guest = Guest(store: store, context: context, fuel: fuel, memoryLimit: memoryLimit, interrupt: interrupt)
        // One instance, one memory, one table of at most 20,000 elements: what the pool has for a run.
        wasmtime_store_limiter(store, Int64(memoryLimit), 20_000, 1, 1, 1)
        if let error = wasmtime_context_set_fuel(context, fuel) {
            throw Trap(.other, consumeMessage(ofError: error))
        }
        if let error = wasmtime_context_fuel_async_yield_interval(context, Self.slice) {
            throw Trap(.other, consumeMessage(ofError: error))
        }
        return guest
    }

    deinit { wasmtime_store_delete(store) }

    /// Makes the instance. The module's own start function runs here, on the same fuel.
    mutating func start(_ prepared: OpaquePointer, initialMemoryBytes: Int) throws(Trap) {
        self.initialMemoryBytes = initialMemoryBytes
        var call = cwasmtime_call_t()
        try finish(&call) { context, call in cwasmtime_begin_instance(context, prepared, call) }
        instance = call.instance
        let export = try export("memory", kind: UInt8(CWASMTIME_EXTERN_MEMORY))
        memory = export.of.memory
        started = true
    }

    /// Calls an exported function whose type was checked when the module was loaded, and gives its result's bits
    /// (zero in the upper half when it returns an i32, and altogether when it returns nothing).
    mutating func call(_ name: String, _ arguments: Int32..., results: Int = 1) throws(Trap) -> Int64 {
        var call = cwasmtime_call_t()
        call.function = try export(name, kind: UInt8(CWASMTIME_EXTERN_FUNC)).of.func
        call.arguments.0.kind = UInt8(CWASMTIME_KIND_I32)
        call.arguments.1.kind = UInt8(CWASMTIME_KIND_I32)
        if arguments.count > 0 { call.arguments.0.of.i32 = arguments[0] }
        if arguments.count > 1 { call.arguments.1.of.i32 = arguments[1] }
        let count = min(arguments.count, 2)
        try finish(&call) { context, call in cwasmtime_begin_call(context, call, count, results) }
        return call.result.of.i64
    }

    /// Runs what `begin` begins, slice by slice, to its end or to the interrupt.
    private func finish(
        _ call: inout cwasmtime_call_t, _ begin: (OpaquePointer, UnsafeMutablePointer<cwasmtime_call_t>) -> OpaquePointer?
    ) throws(Trap) {
        let isOver = withUnsafeMutablePointer(to: &call) { call -> Bool? in
            guard let future = begin(context, call) else { return nil }
            // Deleting one that is not over unwinds the application's stack.
            defer { wasmtime_call_future_delete(future) }
            repeat {
                if interrupt?.isStopped == true { return false }
            } while !wasmtime_call_future_poll(future)
            return true
        }
        guard let isOver else { throw trap(.other, "wasmtime began no call") }
        guard isOver else { throw trap(.interrupted, "nobody waits for this run any more") }
        try settle(call.error, call.trap)
    }

    private func export(_ name: String, kind: UInt8) throws(Trap) -> wasmtime_extern_t {
        var item = wasmtime_extern_t()
        var instance = instance
        var name = name
        let found = name.withUTF8 { utf8 in
            utf8.withMemoryRebound(to: CChar.self) { characters -> Bool in
                guard let start = characters.baseAddress else { return false }
                return wasmtime_instance_export_get(context, &instance, start, characters.count, &item)
            }
        }
        guard found, item.kind == kind else { throw self.trap(.missingExport, "the application lost its export \(name)") }
        return item
    }

    // MARK: memory

    var memoryBytes: Int {
        guard started else { return initialMemoryBytes }
        return withUnsafePointer(to: memory) { wasmtime_memory_data_size(context, $0) }
    }

    func write(_ bytes: [UInt8], at address: UInt32) throws(Trap) {
        let size = memoryBytes
        guard bytes.count <= size, Int(address) <= size - bytes.count else {
            throw trap(.outOfBounds, "mast_alloc gave \(bytes.count) bytes at \(address) of a memory of \(size)")
        }
        guard let base = withUnsafePointer(to: memory, { wasmtime_memory_data(context, $0) }) else { return }
        bytes.withUnsafeBufferPointer { source in
            if let start = source.baseAddress { base.advanced(by: Int(address)).update(from: start, count: source.count) }
        }
    }

    func read(at address: Int, count: Int) throws(Trap) -> [UInt8] {
        guard count > 0 else { return [] }
        let size = memoryBytes
        guard count <= size, address <= size - count else {
            throw trap(.badOutput, "the answer is \(count) bytes at \(address) of a memory of \(size)")
        }
        guard let base = withUnsafePointer(to: memory, { wasmtime_memory_data(context, $0) }) else { return [] }
        return Array(UnsafeBufferPointer(start: base.advanced(by: address), count: count))
    }

    // MARK: how it ended

    var fuelUsed: UInt64 {
        var left: UInt64 = 0
        if let error = wasmtime_context_get_fuel(context, &left) {
            wasmtime_error_delete(error)
            return fuel
        }
        return fuel - min(left, fuel)
    }

    func trap(_ kind: Trap.Kind, _ message: String) -> Trap {
        Trap(kind, message, fuelUsed: fuelUsed, peakMemoryBytes: memoryBytes)
    }

    /// Wasmtime reports what went wrong with the machinery as an error and what the guest did as a trap.
    private func settle(_ error: OpaquePointer?, _ native: OpaquePointer?) throws(Trap) {
        if let native {
            var code: UInt8 = 0
            let coded = wasmtime_trap_code(native, &code)
            var bytes = wasm_byte_vec_t()
            wasm_trap_message(native, &bytes)
            wasm_trap_delete(native)
            let text = consumeLine(&bytes)
            throw coded ? trap(code: code, text) : trap(.other, text)
        }
        if let error { throw trap(.other, consumeMessage(ofError: error)) }
    }

    /// The numbers are the library's.
    private func trap(code: UInt8, _ text: String) -> Trap {
        switch code {
        case 0: return trap(.stackOverflow, "the application's calls nest too deeply")
        case 1: return trap(.outOfBounds, "an access outside the memory")
        case 3: return trap(.outOfBounds, "an access outside a table")
        case 7: return trap(.divideByZero, "an integer division by zero")
        case 9:
            let bytes = memoryBytes
            if bytes > initialMemoryBytes, bytes > memoryLimit / 2 {
                return trap(.outOfMemory, "it gave up with \(bytes) bytes of memory in use; the limit is \(memoryLimit)")
            }
            return trap(.unreachable, "the application stopped itself")
        case 11: return trap(.outOfFuel, "\(fuel) units of fuel were not enough")
        default: return trap(.other, text)
        }
    }
}
