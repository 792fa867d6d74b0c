/// What one run may use. All of it is enforced by the engine, none by the application's good will.
package struct RunLimits: Sendable, Hashable, Codable {
    /// Fuel, roughly one unit per WebAssembly instruction; 10^9 is about a second of one core.
    package var fuel: UInt64
    /// Linear memory in bytes. The engine's own maximum applies where it is smaller.
    package var memoryBytes: Int
    /// Output in bytes.
    package var outputBytes: Int

    package init(fuel: UInt64 = 2_000_000_000, memoryBytes: Int = 64 << 20, outputBytes: Int = 16 << 20) {
        self.fuel = fuel
        self.memoryBytes = memoryBytes
        self.outputBytes = outputBytes
    }
}
