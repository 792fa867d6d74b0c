import MastTimebase
import MastWasmRuntime
import Testing

@Suite("Loading", .needsWasmtime)
struct LoadTests {
    private func refusal(_ module: [UInt8]) throws -> EngineError? {
        do throws(EngineError) {
            _ = try Engines.pooled.get().load(module)
            return nil
        } catch {
            return error
        }
    }

    private static let alloc = #"(func (export "mast_alloc") (param i32) (result i32) i32.const 8)"#

    @Test func `Imports are refused and named`() throws {
        let module = try WasmText.assemble(
            """
            (module (import "wasi_snapshot_preview1" "fd_write" (func)) (import "env" "clock" (func))
              (memory (export "memory") 1) \(Self.alloc))
            """)
        let error = try refusal(module)
        #expect(error?.kind == .unknownImport)
        #expect(error?.message.contains("wasi_snapshot_preview1.fd_write, env.clock") == true)
    }

    @Test func `What every application needs is asked for when it is loaded`() throws {
        for text in [
            "(module)", "(module \(Self.alloc))", #"(module (memory (export "memory") 1))"#,
            #"(module (memory (export "memory") 1) (func (export "mast_alloc") (result i32) i32.const 8))"#,
            #"(module (memory (export "mast_alloc") 1) (func (export "memory")))"#,
        ] {
            #expect(try refusal(WasmText.assemble(text))?.kind == .missingExport)
        }
    }

    @Test func `What is switched off is refused`() throws {
        for text in [
            #"(module (memory (export "memory") i64 1) \#(Self.alloc))"#,
            #"(module (memory (export "memory") 1 2 shared) \#(Self.alloc))"#,
            #"(module (memory (export "memory") 1) (memory 1) \#(Self.alloc))"#,
            #"(module (memory (export "memory") 65536) \#(Self.alloc))"#,
            #"(module (memory (export "memory") 1) (table 100000 funcref) \#(Self.alloc))"#,
            #"(module (memory (export "memory") 1) (type (struct)) \#(Self.alloc))"#,
        ] {
            let error = try refusal(WasmText.assemble(text))
            #expect(error?.kind == .invalidModule, "\(text)")
            #expect(error?.message.contains("\n") == false)
        }
    }

    @Test func `Bytes that are no module are refused`() throws {
        #expect(try refusal([])?.kind == .invalidModule)
        #expect(try refusal(Array("hello, this is no module at all".utf8))?.kind == .invalidModule)
        #expect(try refusal([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0])?.kind == .missingExport)
        #expect(try refusal([UInt8](repeating: 0, count: (4 << 20) + 1))?.kind == .moduleTooLarge)
    }

    @Test func `A function that would bury the compiler is refused by its length`() throws {
        func module(_ size: Int) throws -> [UInt8] {
            try WasmText.assemble(
                """
                (module (memory (export "memory") 1) \(Self.alloc) (func (export "small"))
                  (func (export "large") \(String(repeating: "nop ", count: size))))
                """)
        }
        // Beside the instructions a body has its count of locals and its end.
        let most = ModuleCost.maximumFunctionBytes - 2
        let cost = ModuleCost(try module(most))
        #expect(cost.functions == 3 && cost.largestFunctionBytes == ModuleCost.maximumFunctionBytes)
        #expect(try refusal(module(most)) == nil)
        let error = try refusal(module(most + 1))
        #expect(error?.kind == .moduleTooLarge && error?.message.contains("function") == true)
    }

    @Test func `The cost of what is no module is nothing`() {
        var generator = SeededGenerator(seed: 3)
        for length in 0..<200 {
            var bytes = Array([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0].prefix(length) as ArraySlice<UInt8>)
            while bytes.count < length { bytes.append(UInt8(truncatingIfNeeded: generator.next() % 16)) }
            #expect(ModuleCost(bytes).largestFunctionBytes < 200)
        }
        // A section and a body that end beyond the end.
        #expect(ModuleCost([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 10, 0xff, 0xff, 0xff, 0xff, 0x0f, 1, 0]).functions == 0)
        #expect(ModuleCost([0, 0x61, 0x73, 0x6d, 1, 0, 0, 0, 10, 3, 1, 0x7f, 0]).functions == 0)
    }

    @Test func `Damaged modules give typed errors and never a crash`() throws {
        let engine = try Engines.pooled.get()
        var generator = SeededGenerator(seed: 11)
        let originals = [
            try WasmText.assemble(
                """
                (module (memory (export "memory") 1) (table 4 funcref) (global $g (mut i32) (i32.const 1)) \(Self.alloc)
                  (data (i32.const 16) "data") (elem (i32.const 0) $run)
                  (func $run (export "run") (param i32 i32) (result i64) (local f64)
                    (loop (br_if 0 (i32.eqz (global.get $g)))) (memory.copy (i32.const 0) (i32.const 16) (i32.const 4))
                    (i64.const 4)))
                """)
        ]
        var loaded = 0
        for round in 0..<3000 {
            var module = originals[round % originals.count]
            for _ in 0..<(1 + generator.next() % 4) {
                module[Int(generator.next() % UInt64(module.count))] = UInt8(truncatingIfNeeded: generator.next())
            }
            if generator.next() % 4 == 0 { module.removeLast(Int(generator.next() % UInt64(module.count))) }
            let application: any LoadedApplication
            do throws(EngineError) { application = try engine.load(module) } catch { continue }
            loaded += 1
            do throws(Trap) {
                _ = try application.run([1, 2, 3], limits: RunLimits(fuel: 100_000, memoryBytes: 4 << 20))
            } catch {
                #expect(!error.message.isEmpty)
            }
        }
        #expect(loaded > 100)
    }
}

@Suite("Finding the library")
struct LibraryTests {
    @Test func `The order of places is fixed`() {
        let name = WasmtimeLibrary.fileName
        #expect(
            WasmtimeLibrary.candidates(environment: { $0 == "HOME" ? "/home/a" : nil }, executable: "/opt/b/bin/mast")
                == [
                    "/home/a/.local/share/mast/lib/\(name)", "/opt/b/bin/../lib/\(name)", "/usr/local/lib/\(name)",
                    "/usr/lib/\(name)",
                ])
        #expect(
            WasmtimeLibrary.candidates(environment: { $0 == "XDG_DATA_HOME" ? "/x" : "/y" }, executable: nil).first
                == "/y")
        #expect(
            WasmtimeLibrary.candidates(
                environment: { ["XDG_DATA_HOME": "/x", "HOME": "/h"][$0] }, executable: nil
            ).first == "/x/mast/lib/\(name)")
    }

    @Test func `A missing library says where it was looked for and what to do`() {
        do throws(EngineError) {
            _ = try WasmtimeLibrary.locate(
                environment: { $0 == "MAST_WASMTIME_LIB" ? "/nowhere/lib.so" : nil }, executable: nil)
            Issue.record("found a library that does not exist")
        } catch {
            #expect(error.kind == .libraryMissing)
            #expect(error.message.contains("/nowhere/lib.so"))
            #expect(error.message.contains(".ci/setup"))
        }
    }

    @Test func `A stranger is refused unless its hash is given`() throws {
        let file = #filePath
        let hash = try #require(WasmtimeLibrary.sha256(ofFile: file))
        #expect(hash.count == 64)
        do throws(EngineError) {
            _ = try WasmtimeLibrary.locate(environment: { $0 == "MAST_WASMTIME_LIB" ? file : nil }, executable: nil)
            Issue.record("took a source file for a library")
        } catch {
            #expect(error.kind == .libraryMismatch)
            #expect(error.message.contains(hash))
        }
        let environment = ["MAST_WASMTIME_LIB": file, "MAST_WASMTIME_SHA256": hash.uppercased()]
        #expect(try WasmtimeLibrary.locate(environment: { environment[$0] }, executable: nil).path == file)
    }
}
