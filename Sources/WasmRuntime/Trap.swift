/// Why a run ended without an output, and what it had used by then.
package struct Trap: Error, Sendable, Hashable, CustomStringConvertible {
    /// The raw values are stable: they travel in results and are shown to people.
    package enum Kind: String, Sendable, Hashable, Codable, CaseIterable {
        /// The fuel limit was reached.
        case outOfFuel
        /// The memory limit was reached: the module starts larger than it, `mast_alloc` found no room, or the
        /// application gave up (executed `unreachable`) with more than half of the limit in use after growing. The
        /// last is inferred, because WebAssembly tells only the application that its memory would not grow.
        case outOfMemory
        /// The application executed `unreachable`: an abort, a failed precondition.
        case unreachable
        /// It touched memory or a table outside their bounds.
        case outOfBounds
        case stackOverflow
        case divideByZero
        /// Its answer points outside its memory or is longer than the limit.
        case badOutput
        /// It reported an error of its own; the trap's message is the application's text.
        case applicationError
        /// It has no entry of that name and type.
        case missingExport
        /// The input does not fit into a 32-bit memory.
        case inputTooLarge
        /// No run was started: as many as the engine allows are under way. Try later or elsewhere; not a result.
        case overloaded
        /// The run was stopped from outside, because nobody waits for it any more; not a result.
        case interrupted
        /// Any other trap; the message is the engine's.
        case other
    }

    package var kind: Kind
    package var message: String
    /// Fuel used up to the trap; like everything here except `overloaded` and `interrupted` the same in each run.
    package var fuelUsed: UInt64
    /// Linear memory at the trap, in bytes.
    package var peakMemoryBytes: Int

    package init(_ kind: Kind, _ message: String, fuelUsed: UInt64 = 0, peakMemoryBytes: Int = 0) {
        self.kind = kind
        self.message = message
        self.fuelUsed = fuelUsed
        self.peakMemoryBytes = peakMemoryBytes
    }

    package var description: String { "\(kind.rawValue): \(message)" }
}
