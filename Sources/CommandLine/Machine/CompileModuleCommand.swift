import ArgumentParser
import Foundation
import MastCloudServer
import MastProcesses
import MastWasmRuntime

/// The compiler of a node, in a process of its own: `ChildModuleCompiler` says what is said between the two.
struct CompileModuleCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "compile-module", abstract: "Compile a module from standard input, as center and stations do.", shouldDisplay: false)

    @Option(help: "The module's length.")
    var bytes: Int

    @Option(help: "Memory beside what the process has at the start, in bytes.")
    var memory: Int

    @Option(help: "Time of a processor.")
    var processorSeconds: Int

    func validate() throws {
        guard (1...WasmtimeEngine.Configuration().maximumModuleBytes).contains(bytes) else { throw ValidationError("--bytes is no module's length") }
        guard memory > 0, processorSeconds > 0 else { throw ValidationError("--memory and --processor-seconds must be more than 0") }
    }

    func run() throws {
        let compiler = try WasmtimeCompiler()
        guard let module = Self.read(bytes) else { throw Failure(.noInput, "standard input ended before the module") }
        Self.endWithInput()
        try Confinement.enter(memoryBytes: memory, processorSeconds: processorSeconds)
        do throws(EngineError) {
            let isWritten = try compiler.compile(module) { Self.write($0) }
            Self.end(isWritten ? 0 : ExitStatus.unavailable.rawValue)
        } catch {
            let text = Array((error.kind.rawValue + "\n" + error.message).utf8)
            _ = text.withUnsafeBytes { Self.write($0) }
            Self.end(ChildModuleCompiler.moduleFault)
        }
    }

    private static func read(_ count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        var filled = 0
        while filled < count {
            let got = bytes.withUnsafeMutableBytes { Foundation.read(0, $0.baseAddress.map { $0 + filled }, count - filled) }
            if got < 0, errno == EINTR { continue }
            guard got > 0 else { return nil }
            filled += got
        }
        return bytes
    }

    private static func write(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var sent = 0
        while sent < bytes.count {
            let count = Foundation.write(1, bytes.baseAddress.map { $0 + sent }, bytes.count - sent)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { return false }
            sent += count
        }
        return true
    }

    /// Whoever wanted the artifact is gone.
    private static func endWithInput() {
        Thread.detachNewThread {
            var byte: UInt8 = 0
            while true {
                let count = Foundation.read(0, &byte, 1)
                if count == 0 || (count < 0 && errno != EINTR) { end(ExitStatus.unavailable.rawValue) }
            }
        }
    }

    /// Nothing is left to be done that would need memory.
    private static func end(_ status: Int32) -> Never { _exit(status) }
}
