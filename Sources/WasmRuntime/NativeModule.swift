import CWasmtime

/// Owns one of wasmtime's modules: machine code, not yet an application.
struct NativeModule: ~Copyable {
    let pointer: OpaquePointer

    init(compiling bytes: [UInt8], _ engine: NativeEngine) throws(EngineError) {
        var compiled: OpaquePointer?
        let error = bytes.withUnsafeBufferPointer { buffer -> OpaquePointer? in
            guard let start = buffer.baseAddress else { return nil }
            return wasmtime_module_new(engine.pointer, start, buffer.count, &compiled)
        }
        if let error { throw EngineError(.invalidModule, "not a usable module: " + consumeMessage(ofError: error)) }
        guard let compiled else { throw EngineError(.invalidModule, "the module is empty") }
        pointer = compiled
    }

    /// - Parameter artifact: believed.
    init(artifact bytes: [UInt8], _ engine: NativeEngine) throws(EngineError) {
        var loaded: OpaquePointer?
        let error = bytes.withUnsafeBufferPointer { buffer -> OpaquePointer? in
            guard let start = buffer.baseAddress else { return nil }
            return wasmtime_module_deserialize(engine.pointer, start, buffer.count, &loaded)
        }
        if let error { throw EngineError(.artifactMismatch, "not an artifact of this engine: " + consumeMessage(ofError: error)) }
        guard let loaded else { throw EngineError(.artifactMismatch, "the artifact is empty") }
        pointer = loaded
    }

    deinit { wasmtime_module_delete(pointer) }

    /// Gives the artifact's bytes to `body` without a copy.
    func withArtifact<Value>(_ body: (UnsafeRawBufferPointer) -> Value) throws(EngineError) -> Value {
        var bytes = wasm_byte_vec_t()
        if let error = wasmtime_module_serialize(pointer, &bytes) { throw EngineError(.compilerFailed, consumeMessage(ofError: error)) }
        defer { wasm_byte_vec_delete(&bytes) }
        return body(UnsafeRawBufferPointer(start: bytes.data, count: bytes.size))
    }

    func artifact() throws(EngineError) -> [UInt8] { try withArtifact { Array($0) } }
}
