import Foundation
import MastCloudServer
import MastProcesses
import MastWasmRuntime
import Testing

/// How the compiler's process may end, each way named for what it was. The process here is a shell that does as it is told;
/// the real one is tested with the program.
@Suite struct ChildModuleCompilerTests {
    private static func compiler(_ script: String, limits: CompilationLimits = .standard) -> ChildModuleCompiler {
        ChildModuleCompiler(executable: "/bin/sh", arguments: ["-c", script, "sh"], limits: limits)
    }

    private func failure(_ script: String, limits: CompilationLimits = .standard, module: Int = 100) async -> EngineError? {
        do { _ = try await Self.compiler(script, limits: limits).compile([UInt8](repeating: 7, count: module)) } catch { return error as? EngineError }
        return nil
    }

    @Test func `its output is the artifact, its input the module, and its arguments the limits`() async throws {
        let limits = CompilationLimits(memoryBytes: 1 << 27, processorSeconds: 3)
        let artifact = try await Self.compiler("echo $*; head -c 5", limits: limits).compile(Array("12345".utf8))
        #expect(String(decoding: artifact, as: UTF8.self) == "--bytes 5 --memory 134217728 --processor-seconds 3\n12345")
    }

    @Test func `it has of our environment only where the library is`() async throws {
        let environment = String(decoding: try await Self.compiler("env").compile([1]), as: UTF8.self)
        let names = Set(environment.split(separator: "\n").compactMap { $0.split(separator: "=").first.map(String.init) })
        let expected: Set = ["HOME", "XDG_DATA_HOME", "MAST_WASMTIME_LIB", "MAST_WASMTIME_SHA256", "RUST_BACKTRACE", "SWIFT_BACKTRACE"]
        // A shell's own.
        #expect(names.subtracting(["PWD", "OLDPWD", "SHLVL", "_"]).isSubset(of: expected), "\(names)")
    }

    @Test func `what it says of the module is what the caller hears`() async {
        let error = await failure(#"printf 'unknownImport\nthe module imports env.clock'; exit 65"#)
        #expect(error == EngineError(.unknownImport, "the module imports env.clock"))
        #expect(await failure("printf 'nonsense'; exit 65")?.kind == .compilerFailed)
    }

    @Test func `time that is used up is the module's fault under the limits of all, and this node's under lower ones`() async {
        let error = await failure("kill -XCPU $$")
        #expect(error == EngineError(.tooCostly, "this module needs more than 60 s to compile"))
        let low = CompilationLimits(memoryBytes: 1 << 30, processorSeconds: 5)
        #expect(await failure("kill -XCPU $$", limits: low) == EngineError(.tooCostlyHere, "this module needs more than 5 s to compile"))
    }

    @Test func `so is memory`() async {
        let words = "echo 'memory allocation of 51380240 bytes failed' >&2; kill -ABRT $$"
        #expect(await failure(words) == EngineError(.tooCostly, "this module needs more than 1024 MB to compile"))
        let low = CompilationLimits(memoryBytes: 1 << 27)
        #expect(await failure(words, limits: low) == EngineError(.tooCostlyHere, "this module needs more than 128 MB to compile"))
        let refused = #"printf 'invalidModule\nCannot allocate memory (os error 12)'; exit 65"#
        #expect(await failure(refused) == EngineError(.tooCostly, "this module needs more than 1024 MB to compile"))
    }

    @Test func `a crash is named by its signal`() async {
        let error = await failure("kill -SEGV $$")
        #expect(error?.kind == .compilerCrashed && error?.message.contains("signal 11") == true, "\(String(describing: error))")
        #expect(await failure("kill -ABRT $$")?.kind == .compilerCrashed)
    }

    @Test func `a kill from outside is not the module's fault, nor is a compiler that fails by itself`() async {
        let killed = await failure("kill -KILL $$")
        #expect(killed?.kind == .compilerFailed && killed?.message.contains("no memory left") == true)
        let failed = await failure("echo 'the library was not found' >&2; exit 69")
        #expect(failed == EngineError(.compilerFailed, "the compiler failed (status 69): the library was not found"))
        // A module that fills the pipe to somebody who does not read.
        #expect(await failure("exit 1", module: 1 << 20)?.kind == .compilerFailed)
        let absent = ChildModuleCompiler(executable: "/nowhere/mast", arguments: [], limits: .standard)
        let error = await #expect(throws: EngineError.self) { _ = try await absent.compile([1]) }
        #expect(error?.kind == .compilerFailed && error?.message.contains("does not start") == true)
    }

    @Test func `one that does not end, or writes without end, is ended`() async {
        let limits = CompilationLimits(memoryBytes: 1 << 30, seconds: 1, artifactBytes: 1 << 20)
        #expect(await failure("exec sleep 1000", limits: limits)?.kind == .compilerFailed)
        let patient = CompilationLimits(memoryBytes: 1 << 30, seconds: 600, artifactBytes: 1 << 20)
        #expect(await failure("exec cat /dev/zero", limits: patient)?.kind == .compilerFailed)
    }

    @Test func `it is ended with its caller, and with the node`() async throws {
        let path = NSTemporaryDirectory() + "mast-compiler-\(UUID().uuidString)"
        defer { unlink(path) }
        // The process that the shell becomes.
        let script = "echo $$ > \(path).new && mv \(path).new \(path); exec sleep 1000"
        func begun() async throws -> pid_t {
            while true {
                if let text = try? String(contentsOfFile: path, encoding: .utf8), let number = pid_t(text.trimmingCharacters(in: .newlines)) {
                    unlink(path)
                    return number
                }
                await Task.yield()
            }
        }
        let compiler = Self.compiler(script)
        for isStopped in [false, true] {
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { _ = try await compiler.compile([1]) }
                let process = try await begun()
                #expect(kill(process, 0) == 0)
                if isStopped { compiler.stop() } else { group.cancelAll() }
                await #expect(throws: CancellationError.self) { try await group.next() }
                #expect(kill(process, 0) != 0)
            }
        }
        // And takes nothing more.
        await #expect(throws: CancellationError.self) { _ = try await compiler.compile([1]) }
    }
}
