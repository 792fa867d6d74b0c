/// What compiling one module may take.
package struct CompilationLimits: Sendable, Hashable {
    /// Memory that the compiler may take beside what it has when it begins, in bytes.
    package var memoryBytes: Int
    /// Time of a processor, in seconds.
    package var processorSeconds: Int
    /// Time until it is given up, in seconds: it waits for a processor behind everything else.
    package var seconds: Int
    /// What it may make of the module, in bytes: for ordinary code some three times the module.
    package var artifactBytes: Int

    package init(memoryBytes: Int, processorSeconds: Int = 60, seconds: Int = 240, artifactBytes: Int = 64 << 20) {
        self.memoryBytes = memoryBytes
        self.processorSeconds = processorSeconds
        self.seconds = seconds
        self.artifactBytes = artifactBytes
    }

    /// The limits of all roles: a module that needs more runs nowhere. The worst module without a trap for the compiler that
    /// was found at the limits of a module's and a function's length takes 584 MB and 23 s.
    package static let standard = CompilationLimits(memoryBytes: 1 << 30)

    /// The least with which a node is of any use.
    package static let leastMemoryBytes = 64 << 20

    /// A quarter of the machine's memory, and no more than all roles take.
    package static func ofMachine(memoryBytes: Int) -> CompilationLimits {
        CompilationLimits(memoryBytes: min(max(memoryBytes / 4, leastMemoryBytes), standard.memoryBytes))
    }

    /// What is over a limit is the module's fault only where no other node has more.
    package var excess: EngineError.Kind {
        memoryBytes >= Self.standard.memoryBytes && processorSeconds >= Self.standard.processorSeconds ? .tooCostly : .tooCostlyHere
    }
}
