import Crypto

/// Turns the bytes of an application into something that runs.
///
/// A base station and the center hold one engine for the life of their process; under simulation the same engine is
/// called inline. An engine may be shared by any number of threads.
package protocol ApplicationEngine: Sendable {
    /// Validates and compiles `module`. Slow (milliseconds to a second) and to be done once per application: the
    /// result may be kept and run any number of times, from any thread.
    ///
    /// - Throws: `EngineError` when the bytes are no module, too many, want an import that no application gets, or
    ///   lack an export that every application must have.
    func load(_ module: [UInt8]) throws(EngineError) -> any LoadedApplication
}

/// An engine whose compiler may have worked elsewhere: in another process, or before the last restart.
package protocol ArtifactEngine: ApplicationEngine {
    /// What its artifacts fit.
    var fingerprint: EngineFingerprint { get }

    /// Whether `module` is worth a compiler's while, by what can be seen from outside.
    func check(_ module: [UInt8]) throws(EngineError)

    /// Takes what a compiler made of a module, with the same library and settings.
    ///
    /// - Parameter artifact: bytes that this node itself made. They are run as they are: with foreign ones, a
    ///   stranger's code.
    /// - Throws: `EngineError`, `.artifactMismatch` when another engine made them; as `load` for what the module lacks.
    func load(artifact: [UInt8]) throws(EngineError) -> any LoadedApplication
}

/// An engine's identity, as far as its artifacts depend on it.
package struct EngineFingerprint: Sendable, Hashable {
    /// SHA-256 of the library, 32 bytes; it stands for the version.
    package var library: [UInt8]
    /// SHA-256 over all settings and the processor's features, 32 bytes.
    package var settings: [UInt8]

    package init(library: [UInt8], settings: [UInt8]) { (self.library, self.settings) = (library, settings) }

    init(library: String, settings: SHA256.Digest) {
        self.init(library: Array(SHA256.hash(data: Array(library.utf8))), settings: Array(settings))
    }
}

/// A compiled application. It keeps no state between runs: each starts from the module's own initial memory.
///
/// # What an application exports
///
/// - `memory`: its linear memory.
/// - `mast_alloc(length: i32) -> i32`: an address with room for `length` bytes, where the input is put; 0 means that
///   there is no memory. Not called for an empty input.
/// - One function or more of type `(address: i32, length: i32) -> i64`, `run` unless the caller names another: takes
///   the input, and answers with the address of its output in the upper 32 bits and the length in the lower 32.
///   A *negative* answer (top bit set) is the application's own error: the rest then points at a message in UTF-8.
///   No address needs that bit, because memory is limited to less than 2 GiB.
/// - Optionally `_initialize()`, called once before anything else.
///
/// It imports nothing: no clock, no chance, no files. So a run is a function of (module, entry, input, limits), and
/// takes the same fuel on every machine.
package protocol LoadedApplication: Sendable {
    /// Runs to the end on the calling thread, or until `interrupt` says that nobody waits for it: within about a
    /// millisecond then, wherever the application is.
    ///
    /// - Throws: `Trap`, which is a final result like any other, except for `Trap.Kind.overloaded` and `.interrupted`.
    func run(entry: String, input: [UInt8], limits: RunLimits, interrupt: RunInterrupt?) throws(Trap) -> RunOutput

    /// Everything that a run does before it has an input: looks for the entry, makes an instance within the limits and
    /// initializes it. What throws here throws in every run.
    func rehearse(entry: String, limits: RunLimits, interrupt: RunInterrupt?) throws(Trap)
}

extension LoadedApplication {
    package func run(entry: String, input: [UInt8], limits: RunLimits) throws(Trap) -> RunOutput {
        try run(entry: entry, input: input, limits: limits, interrupt: nil)
    }

    package func run(_ input: [UInt8], limits: RunLimits = RunLimits()) throws(Trap) -> RunOutput {
        try run(entry: "run", input: input, limits: limits)
    }
}

/// What a successful run left behind.
package struct RunOutput: Sendable, Hashable {
    /// The application's answer.
    package var bytes: [UInt8]
    /// Fuel used, roughly one unit per WebAssembly instruction. The same for each run of the same thing.
    package var fuelUsed: UInt64
    /// Linear memory at the end, in bytes; it never shrinks during a run, so this is also the most it had.
    package var peakMemoryBytes: Int

    package init(bytes: [UInt8], fuelUsed: UInt64, peakMemoryBytes: Int) {
        self.bytes = bytes
        self.fuelUsed = fuelUsed
        self.peakMemoryBytes = peakMemoryBytes
    }
}
