import Foundation
import MastProcesses
import MastWasmRuntime
import Synchronization

/// Compiles in a process of its own, whose memory and time are limited: what goes wrong there, or takes too much, is that
/// process's end and not the node's. The child ends with this process, whatever ends it.
///
/// # What the child is told and says
///
/// Its arguments end with `--bytes N --memory N --processor-seconds N`. Its standard input is the module's N bytes and then
/// nothing more for as long as anybody wants the artifact: at its end the child ends. With status 0 its output was
/// the artifact; with 65 it was the name of an `EngineError.Kind` and, in the next line, a message.
package final class ChildModuleCompiler: ModuleCompiler {
    /// How the child says that the module is at fault.
    package static let moduleFault: Int32 = 65
    /// What wasmtime says when there is no memory, before it aborts.
    private static let lastWords = ["memory allocation of", "Cannot allocate memory"]
    /// Bounds what is kept of the child's standard error.
    private static let mostWords = 64 << 10

    package let limits: CompilationLimits
    private let executable: String
    private let arguments: [String]
    private let state = Mutex(State())

    private struct State: Sendable {
        /// As many as callers: a node has one.
        var children: [ChildProcess] = []
        var isStopped = false
    }

    /// - Parameters:
    ///   - executable: a path. `/proc/self/exe` is this program, also when its file has been replaced.
    ///   - arguments: before those above.
    package init(executable: String, arguments: [String], limits: CompilationLimits) {
        (self.executable, self.arguments, self.limits) = (executable, arguments, limits)
    }

    package func compile(_ module: [UInt8]) async throws -> [UInt8] {
        let child = try start(module)
        defer { state.withLock { $0.children.removeAll { $0 === child } } }
        let (output, words) = await withTaskCancellationHandler {
            await talk(with: child, module)
        } onCancel: {
            child.send(SIGKILL)
        }
        let ending = await child.ending(within: .seconds(10))
        try Task.checkCancellation()
        guard !state.withLock({ $0.isStopped }) else { throw CancellationError() }
        guard let output, let ending else {
            throw EngineError(
                .compilerFailed,
                "it was not compiled within \(limits.seconds) s to at most \(limits.artifactBytes >> 20) MB; this machine may be too busy")
        }
        guard ending != .exited(0) else { return output }
        throw failure(ending, output, words)
    }

    package func stop() {
        let children = state.withLock { state in
            state.isStopped = true
            return state.children
        }
        for child in children { child.send(SIGKILL) }
    }

    private func start(_ module: [UInt8]) throws -> ChildProcess {
        var start = ChildProcess.Start(
            executable,
            arguments + [
                "--bytes", "\(module.count)", "--memory", "\(limits.memoryBytes)", "--processor-seconds", "\(limits.processorSeconds)",
            ])
        (start.input, start.output, start.errors, start.hasOwnGroup) = (.pipe, .pipe, .pipe, true)
        // Where it finds the library, and nothing else of ours. Words of a crash are few then.
        let names = ["HOME", "XDG_DATA_HOME", "MAST_WASMTIME_LIB", "MAST_WASMTIME_SHA256"]
        start.environment = ProcessInfo.processInfo.environment.filter { names.contains($0.key) }.merging(["RUST_BACKTRACE": "0", "SWIFT_BACKTRACE": "enable=no"]) { $1 }
        let child: ChildProcess
        do { child = try ChildProcess(start) } catch { throw EngineError(.compilerFailed, "the compiler does not start: \(error)") }
        let isStopped = state.withLock { state in
            if !state.isStopped { state.children.append(child) }
            return state.isStopped
        }
        if isStopped { child.send(SIGKILL) }
        return child
    }

    /// Its output, nil when that did not come in time or was too much, and what it said of errors.
    private func talk(with child: ChildProcess, _ module: [UInt8]) async -> (output: [UInt8]?, words: [UInt8]) {
        // A child that does not read has ended, or is ended for its silence.
        async let isSent = child.input?.send(module)
        async let errors = child.errors?.rest(within: .seconds(limits.seconds), atMost: Self.mostWords)
        let output = await child.output?.rest(within: .seconds(limits.seconds), atMost: limits.artifactBytes)
        if output == nil { child.send(SIGKILL) }
        _ = await isSent
        return (output, await errors ?? [])
    }

    private func failure(_ ending: ChildProcess.Ending, _ output: [UInt8], _ words: [UInt8]) -> EngineError {
        let said = String(decoding: words.prefix(4_096), as: UTF8.self)
        let isOutOfMemory = Self.lastWords.contains { said.contains($0) }
        switch ending {
        case .exited(Self.moduleFault):
            let lines = String(decoding: output.prefix(2_000), as: UTF8.self).split(separator: "\n", maxSplits: 1)
            guard lines.count == 2, let kind = EngineError.Kind(rawValue: String(lines[0])) else { break }
            let message = String(lines[1].prefix(400))
            return Self.lastWords.contains { message.contains($0) } ? tooMuchMemory : EngineError(kind, message)
        case .killed(SIGXCPU):
            return EngineError(limits.excess, "this module needs more than \(limits.processorSeconds) s to compile")
        case .killed(SIGKILL):
            return EngineError(.compilerFailed, "the compiler was killed (signal 9), as when the machine has no memory left")
        case .killed(SIGTERM), .killed(SIGINT), .killed(SIGHUP):
            return EngineError(.compilerFailed, "the compiler was told to end (\(Self.text(ending)))")
        case .killed where isOutOfMemory:
            return tooMuchMemory
        case .killed:
            return EngineError(.compilerCrashed, "the compiler crashed over this module (\(Self.text(ending)))")
        case .exited, .unknown: break
        }
        let line = said.split(whereSeparator: \.isNewline).last.map { ": " + $0.prefix(300) } ?? ""
        return EngineError(.compilerFailed, "the compiler failed (\(Self.text(ending)))\(line)")
    }

    private var tooMuchMemory: EngineError {
        EngineError(limits.excess, "this module needs more than \(limits.memoryBytes >> 20) MB to compile")
    }

    private static func text(_ ending: ChildProcess.Ending) -> String {
        switch ending {
        case .exited(let status): "status \(status)"
        case .killed(let signal): "signal \(signal), \(String(cString: strsignal(signal)).lowercased())"
        case .unknown: "nobody knows how"
        }
    }
}
