/// Why there is no engine, or why it will not take a module. The message is one line and, where there is one, says
/// the next step.
package struct EngineError: Error, Sendable, Hashable, CustomStringConvertible {
    package enum Kind: String, Sendable, Hashable, Codable {
        /// No wasmtime library in any of the places where it is looked for.
        case libraryMissing
        /// There is one, but it is not the one this program was tested with.
        case libraryMismatch
        /// The library could not be opened or did not behave at start.
        case libraryBroken
        /// The module is longer than the engine accepts.
        case moduleTooLarge
        /// The bytes are no WebAssembly module, or one that uses what is switched off (threads, several memories…).
        case invalidModule
        /// The module asks for imports; applications get none.
        case unknownImport
        /// `memory` or `mast_alloc` is missing or has another type.
        case missingExport
        /// Its compilation is over the limits of all roles.
        case tooCostly
        /// Its compilation is over this node's limits, which are lower than those of all roles.
        case tooCostlyHere
        /// The compiler crashed over the module.
        case compilerCrashed
        /// The compiler did not come to an end, for a reason that may pass: it did not start, was killed by somebody, or the
        /// machine was too busy.
        case compilerFailed
        /// The bytes are no artifact of this engine.
        case artifactMismatch
    }

    package var kind: Kind
    package var message: String

    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// Whether it is the module that is at fault, and so would be on every node.
    package var isModulesFault: Bool {
        switch kind {
        case .libraryMissing, .libraryMismatch, .libraryBroken, .tooCostlyHere, .compilerFailed, .artifactMismatch: false
        case .moduleTooLarge, .invalidModule, .unknownImport, .missingExport, .tooCostly, .compilerCrashed: true
        }
    }

    package var description: String { message }
}
