import MastWasmRuntime
import Testing

/// Machine code that was made elsewhere: the same application, under the same checks.
@Suite("Artifacts", .needsWasmtime)
struct ArtifactTests {
    private static let module = #"(module (memory (export "memory") 1) (func (export "mast_alloc") (param i32) (result i32) i32.const 8)"#

    private func artifact(_ text: String) throws -> [UInt8] { try WasmtimeCompiler().compile(try WasmText.assemble(text)) { Array($0) } }

    @Test func `an artifact runs as its module does, whatever allocation the engine has`() throws {
        let text = Self.module + """
             (func (export "run") (param i32 i32) (result i64)
               (i64.or (i64.shl (i64.extend_i32_u (local.get 0)) (i64.const 32)) (i64.extend_i32_u (local.get 1)))))
            """
        let artifact = try artifact(text)
        for engine in [try Engines.pooled.get(), try Engines.onDemand.get()] {
            let compiled = try engine.load(try WasmText.assemble(text)).run(Array("echo".utf8))
            let loaded = try engine.load(artifact: artifact).run(Array("echo".utf8))
            #expect(loaded == compiled && loaded.bytes == Array("echo".utf8))
        }
        #expect(try Engines.pooled.get().fingerprint == Engines.onDemand.get().fingerprint)
        #expect(try Engines.pooled.get().fingerprint.settings.count == 32)
    }

    @Test func `what an application must have is asked of an artifact too`() throws {
        let engine = try Engines.pooled.get()
        for (text, kind) in [
            (#"(module (memory (export "memory") 1))"#, EngineError.Kind.missingExport),
            (#"(module (import "env" "clock" (func)) (memory (export "memory") 1))"#, .unknownImport),
        ] {
            let artifact = try artifact(text)
            #expect { try engine.load(artifact: artifact) } throws: { ($0 as? EngineError)?.kind == kind }
        }
    }

    @Test func `bytes that are no artifact are a mismatch`() throws {
        let engine = try Engines.pooled.get()
        for bytes in [[], Array("no artifact".utf8), try WasmText.assemble(Self.module + ")")] {
            #expect { try engine.load(artifact: bytes) } throws: { ($0 as? EngineError)?.kind == .artifactMismatch }
        }
    }

    @Test func `a module that is none is the module's fault in the compiler, too`() throws {
        let compiler = try WasmtimeCompiler()
        #expect { try compiler.compile(Array("hello".utf8)) { $0.count } } throws: { ($0 as? EngineError)?.kind == .invalidModule }
    }
}

@Suite("The cost of compiling")
struct ModuleCostTests {
    /// A module of functions of these lengths.
    private func cost(_ lengths: Int...) -> ModuleCost {
        func number(_ value: Int) -> [UInt8] {
            (0..<5).map { UInt8(truncatingIfNeeded: value >> (7 * $0)) & 0x7f | ($0 < 4 ? 0x80 : 0) }
        }
        let bodies = lengths.flatMap { number($0) + [UInt8](repeating: 1, count: $0) }
        return ModuleCost([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 10] + number(bodies.count + 5) + number(lengths.count) + bodies)
    }

    @Test func `memory goes with the largest function, time with all of the code`() {
        let (one, two) = (cost(100_000), cost(100_000, 100_000))
        #expect(two.functions == 2 && two.codeBytes == 200_000 && two.largestFunctionBytes == 100_000)
        #expect(one.memoryBytes == 122_500_000 && two.memoryBytes == 125_000_000)
        #expect(two.processorSeconds == 2 * one.processorSeconds)
        #expect(cost(200_000).processorSeconds > two.processorSeconds && cost(200_000).memoryBytes > two.memoryBytes)
    }

    @Test func `what every role takes fits into every role's limits`() throws {
        let largest = ModuleCost.maximumFunctionBytes
        let worst = cost(largest, largest, largest, largest, largest, largest, largest, largest - 100)
        try worst.check(within: .standard)
        #expect(worst.processorSeconds < Double(CompilationLimits.standard.processorSeconds))
        #expect { try cost(largest + 1).check(within: .standard) } throws: { ($0 as? EngineError)?.kind == .moduleTooLarge }
    }

    @Test func `a smaller machine takes smaller functions, and says that it is the one`() throws {
        let small = CompilationLimits.ofMachine(memoryBytes: 1 << 30)
        #expect(small.memoryBytes == 1 << 28)
        try cost(200_000).check(within: small)
        #expect { try cost(300_000).check(within: small) } throws: { error in
            guard let error = error as? EngineError else { return false }
            return error.kind == .tooCostlyHere && !error.isModulesFault && error.message.contains("limit is 256 MB, divide the function")
        }
        #expect(CompilationLimits.ofMachine(memoryBytes: 64 << 30) == .standard && CompilationLimits.standard.excess == .tooCostly)
        #expect(CompilationLimits.ofMachine(memoryBytes: 1 << 20).memoryBytes == CompilationLimits.leastMemoryBytes)
    }

    @Test func `whoever releases what takes long is told`() {
        #expect(cost(20_000, 20_000).warning == nil)
        #expect(cost(300_000).warning == "compiling it takes each node about 2 s and 350 MB; its largest function has 300000 bytes")
    }
}
