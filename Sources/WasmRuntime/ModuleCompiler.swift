/// Makes machine code of modules: in a process of its own on a live node, inline in tests.
package protocol ModuleCompiler: Sendable {
    var limits: CompilationLimits { get }

    /// The artifact, which only an engine with the same library and settings takes.
    ///
    /// - Throws: `EngineError`; `CancellationError` soon after the caller's cancellation or `stop`.
    func compile(_ module: [UInt8]) async throws -> [UInt8]

    /// Ends what is being compiled, and takes nothing more.
    func stop()
}

/// The compiler alone, without an engine's room for runs: for a process whose memory is limited.
package struct WasmtimeCompiler: Sendable {
    private let native: NativeEngine

    /// - Throws: `EngineError` when there is no usable library.
    package init() throws(EngineError) {
        _ = try WasmtimeLibrary.open()
        // The allocation is no part of an artifact.
        native = try NativeEngine(WasmtimeEngine.Configuration(), .onDemand)
    }

    /// Compiles on the calling thread and lends the artifact to `body`.
    ///
    /// Compiling checks that the bytes are a module, and not that the module is an application.
    package func compile<Value>(_ module: [UInt8], _ body: (UnsafeRawBufferPointer) -> Value) throws(EngineError) -> Value {
        try NativeModule(compiling: module, native).withArtifact(body)
    }
}
