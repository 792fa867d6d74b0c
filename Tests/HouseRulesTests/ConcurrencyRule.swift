/// Calls and nodes also run under virtual time, on one executor: nothing may leave it or read the machine's clock.
struct ConcurrencyRule: FileRule {
    static let folders = ["Sources/RPC", "Sources/CloudCore", "Sources/CloudClient", "Sources/CloudServer", "Sources/Simulator"]
    /// Files that only ever run live, behind a protocol that the simulator answers differently.
    static let live: [(path: String, reason: String)] = [
        ("Sources/CloudServer/Node/ThreadedRunExecutor.swift", "worker threads for applications; the simulator runs them inline"),
        ("Sources/CloudServer/Center/CenterThread.swift", "the center's thread; the simulator brings VirtualSerialExecutor"),
    ]
    private static let clocks: Set<String> = ["ContinuousClock", "SuspendingClock", "DispatchTime", "clock_gettime", "gettimeofday"]

    func violations(in file: SourceFile) -> [Violation] {
        proofs(in: file) + (isVirtual(file) ? escapes(in: file) : [])
    }

    private func isVirtual(_ file: SourceFile) -> Bool {
        Self.folders.contains { file.isUnder($0) } && !Self.live.contains { file.path == $0.path }
    }

    /// What the compiler is told to believe needs a reason to be believed.
    private func proofs(in file: SourceFile) -> [Violation] {
        file.code.indices.compactMap { index in
            guard file.tokens[index].contains(where: { $0.text == "unchecked" || $0.text == "nonisolated" }) else { return nil }
            let line = file.code[index]
            let words = ["@unchecked Sendable", "nonisolated(unsafe)"].first { line.contains($0) }
            guard let words, !file.hasComment(at: index) else { return nil }
            return Violation(
                file, index, "`\(words)` without a proof", "a comment on the line above that says why no two threads can meet here")
        }
    }

    private func escapes(in file: SourceFile) -> [Violation] {
        file.code.indices.compactMap { index in
            let line = file.code[index]
            let tokens = file.tokens[index]
            // The simulator's own root task runs on the executor that it brings.
            let isRoot = file.isUnder("Sources/Simulator") && tokens.contains { $0.text == "executorPreference" }
            if !isRoot, tokens.contains(where: { $0.text == "Task" }),
                line.firstMatch(of: #/\bTask\s*(?:<[^>]*>)?\s*(?:\([^)]*\))?\s*\{/#) != nil
                    || line.firstMatch(of: #/\bTask\s*\.\s*(?:detached|immediate|immediateDetached)\b/#) != nil
            {
                return Violation(
                    file, index, "an unstructured task leaves the simulator's executor",
                    "a task group, `async let`, or a stream that somebody awaits")
            }
            if tokens.contains(where: { $0.text == "DispatchQueue" || ($0.text == "Thread" && $0.before != ".") }) {
                return Violation(
                    file, index, "a thread leaves the simulator's executor", "a protocol handed in, live with a thread and simulated inline"
                )
            }
            let sleeps = tokens.indices.contains { tokens[$0].text == "Task" && $0 + 1 < tokens.count && tokens[$0 + 1].text == "sleep" }
            let reads = tokens.contains { Self.clocks.contains($0.text) || ($0.text == "Date" && $0.tail.hasPrefix("()")) }
            guard sleeps || reads else { return nil }
            return Violation(
                file, index, "reads or waits for the machine's clock",
                "host.now(), host.wallTime() and host.sleep(for:), which are virtual in the simulator")
        }
    }
}
