import Foundation
import MastCloudServer
import MastProcesses
import MastWasmRuntime
import Testing

/// The compiler that a node has beside it, as the program really starts it.
@Suite struct ContainedCompilerTests {
    private static let hasLibrary = (try? WasmtimeLibrary.locate()) != nil

    private func compiler(_ limits: CompilationLimits) -> ChildModuleCompiler {
        ChildModuleCompiler(executable: Program.executable, arguments: ["compile-module"], limits: limits)
    }

    private func failure(_ module: [UInt8], _ limits: CompilationLimits) async -> EngineError? {
        do { _ = try await compiler(limits).compile(module) } catch { return error as? EngineError }
        return nil
    }

    private func module(_ body: String, locals: String = "") throws -> [UInt8] {
        try WasmText.assemble(
            """
            (module (memory (export "memory") 1) (func (export "mast_alloc") (param i32) (result i32) i32.const 8)
              (func (export "run") (param i32 i32) (result i64) \(locals) \(body) i64.const 0))
            """)
    }

    /// A function of 400 KB whose every instruction may follow from two: some 250 MB to compile.
    private func wide() throws -> [UInt8] {
        let choice = "(if (i64.eqz (local.get 2)) (then (local.set 2 (i64.extend_i32_u (local.get 0)))) (else (local.set 3 (i64.const 9))))"
        return try module(String(repeating: choice, count: 24_000), locals: "(local i64 i64)")
    }

    /// A function of 150 KB with hundreds of values alive at once: minutes to compile, which no length shows.
    private func bomb() throws -> [UInt8] {
        let fold = String(repeating: " i64.xor", count: 299)
        let start = (0..<400).map { "local.get \($0 & 1) i64.extend_i32_u i64.const \($0 * 7919 + 1) i64.mul local.set \(2 + $0)" }.joined(separator: " ")
        let stores = (0..<400).map { "local.get 0 local.get \(2 + $0) i64.store offset=\($0 * 8)" }.joined(separator: " ")
        let rounds = (0..<70).map { round in
            // Never the same sum twice: the compiler would compute it once.
            let sums = (0..<300).map { "local.get \(2 + ($0 * 7 + round * 13) % 400) i64.const \(($0 * 5 + round) % 60) i64.rotl" }
            return sums.joined(separator: " ") + fold + " local.set \(2 + (round * 31) % 400)"
        }.joined(separator: " ")
        return try module(start + " " + rounds + " " + stores, locals: "(local\(String(repeating: " i64", count: 400)))")
    }

    @Test(.enabled(if: hasLibrary)) func `what it makes runs here`() async throws {
        let artifact = try await compiler(.standard).compile(try module(""))
        let output = try WasmtimeEngine().load(artifact: artifact).run([])
        #expect(output.bytes == [])
        #expect(await failure(Array("hello".utf8), .standard)?.kind == .invalidModule)
    }

    @Test(.enabled(if: hasLibrary)) func `memory is limited there, and only there`() async throws {
        let wide = try wide()
        #expect(ModuleCost(wide).largestFunctionBytes > 300_000)
        let error = await failure(wide, CompilationLimits(memoryBytes: 64 << 20))
        #expect(error == EngineError(.tooCostlyHere, "this module needs more than 64 MB to compile"))
    }

    @Test(.enabled(if: hasLibrary)) func `so is time`() async throws {
        let error = await failure(try bomb(), CompilationLimits(memoryBytes: 1 << 30, processorSeconds: 1))
        #expect(error == EngineError(.tooCostlyHere, "this module needs more than 1 s to compile"))
    }

    @Test(.enabled(if: hasLibrary)) func `it has nothing that it could open, and ends with whoever started it`() async throws {
        var start = ChildProcess.Start(Program.executable, ["compile-module", "--memory", "1073741824", "--processor-seconds", "600"])
        let bomb = try bomb()
        start.arguments += ["--bytes", "\(bomb.count)"]
        (start.input, start.output, start.errors) = (.pipe, .pipe, .nothing)
        let child = try ChildProcess(start)
        #expect(await child.input?.send(bomb) == true)
        // The limits are there once it has begun; "Max open files  0  0  files" then.
        func limits() -> String { (try? String(contentsOfFile: "/proc/\(child.processID)/limits", encoding: .utf8)) ?? "" }
        func row(_ name: String) -> [Substring] { limits().split(separator: "\n").first { $0.hasPrefix(name) }?.dropFirst(26).split(separator: " ") ?? [] }
        while child.ending == nil, row("Max open files").first != "0" { await Task.yield() }
        for name in ["Max open files", "Max processes", "Max file size", "Max core file size"] { #expect(row(name).prefix(2) == ["0", "0"], "\(name)") }
        let status = try String(contentsOfFile: "/proc/\(child.processID)/status", encoding: .utf8)
        #expect(status.contains("NoNewPrivs:\t1"))
        #expect(try String(contentsOfFile: "/proc/\(child.processID)/oom_score_adj", encoding: .utf8) == "1000\n")
        child.input?.close()
        #expect(await child.ending(within: .seconds(30)) == .exited(69))
    }

    @Test(.enabled("the wasmtime library is installed", { try await TestCloud.hasEngine() }), .timeLimit(.minutes(20)))
    func `a station that was started again runs what it compiled before, and compiles anew what was changed`() async throws {
        let cloud = try await TestCloud()
        let input = try cloud.program.write("input.txt", Array("needle\nhay\n".utf8))
        func run(_ id: String) async throws -> String? {
            let result = try await cloud.program.run("run", "textsearch", "--input", input, "--profile", cloud.profile, "--run-id", id, "--json")
            #expect(result.status == 0, "\(result.errors)")
            return try result.object()["servedBy"] as? String
        }
        // One station only, so that it is this one that runs.
        #expect(await cloud.servers[.stationB]?.stop() == 0)
        #expect(try await run("1") == "stationA")
        let folder = cloud.program.path("stationA") + "/compiled"
        let name = try #require(try FileManager.default.contentsOfDirectory(atPath: folder).first)
        func file() throws -> Int? { try FileManager.default.attributesOfItem(atPath: folder + "/" + name)[.systemFileNumber] as? Int }
        let before = try file()
        #expect(await cloud.servers[.stationA]?.stop() == 0)
        try await cloud.start(.stationA)
        #expect(try await run("2") == "stationA")
        #expect(try file() == before)

        #expect(await cloud.servers[.stationA]?.stop() == 0)
        let path = URL(fileURLWithPath: folder + "/" + name)
        let whole = try Data(contentsOf: path)
        var changed = whole
        changed[changed.count / 2] ^= 1
        try changed.write(to: path)
        try await cloud.start(.stationA)
        #expect(try await run("3") == "stationA")
        #expect(try Data(contentsOf: path) == whole)
        try await cloud.start(.stationB)
        await cloud.stop()
    }
}
