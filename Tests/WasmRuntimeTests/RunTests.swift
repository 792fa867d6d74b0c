import MastWasmRuntime
import Testing

@Suite("A run", .needsWasmtime)
struct RunTests {
    @Test func `Bytes go in and bytes come out`() throws {
        let application = try application(echo)
        let input: [UInt8] = (0..<5000).map { UInt8($0 % 251) }
        let output = try application.run(input)
        #expect(output.bytes == input)
        #expect(output.peakMemoryBytes == 65536)
        #expect(try application.run([]).bytes == [])
    }

    @Test func `Any exported function of the right type can be the entry`() throws {
        let application = try application(
            echo,
            items: """
                (func (export "other") (param i32 i32) (result i64) i64.const 0)
                (func (export "number") (result i32) i32.const 1)
                """)
        #expect(try application.run(entry: "other", input: [1], limits: RunLimits()).bytes == [])
        for missing in ["absent", "number", "mast_alloc", "memory", "", "run\0"] {
            #expect(
                trap { try application.run(entry: missing, input: [1], limits: RunLimits()) }?.kind == .missingExport)
        }
    }

    @Test func `Fuel is counted, and the same each time`() throws {
        let items = "(func $spin (local $i i32) (loop (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 1000)))))"
        for engine in [Engines.pooled, Engines.onDemand] {
            let application = try application("(call $spin) \(echo)", items: items, engine: engine)
            let used = Set(try (0..<20).map { _ in try application.run([7]).fuelUsed })
            #expect(used == [7012])
        }
    }

    @Test func `An endless loop runs out of fuel, exactly`() throws {
        let application = try application("(loop $again (br $again)) i64.const 0")
        // Beyond a million it runs in slices, which may change nothing.
        for fuel: UInt64 in [0, 1, 1000, 1_000_000, 1_000_001, 7_654_321] {
            let trap = trap { try application.run(entry: "run", input: [1], limits: RunLimits(fuel: fuel)) }
            #expect(trap?.kind == .outOfFuel)
            #expect(trap?.fuelUsed == fuel)
        }
    }

    @Test func `A run that nobody waits for is stopped, and stops where it was begun`() throws {
        let endless = try application("(loop $again (br $again)) i64.const 0")
        let interrupt = RunInterrupt()
        interrupt.stop()
        let trap = trap { try endless.run(entry: "run", input: [1], limits: RunLimits(), interrupt: interrupt) }
        #expect(trap?.kind == .interrupted && trap?.fuelUsed == 0)
        // The slot and the memory are there for the next one.
        for _ in 0..<300 { #expect(throws: Trap.self) { try endless.run(entry: "run", input: [1], limits: RunLimits(), interrupt: interrupt) } }
        #expect(try application(echo).run([1]).bytes == [1])
    }

    @Test func `Filling memory is metered by the byte, so it is sliced too`() throws {
        let application = try application("(memory.fill (i32.const 0) (i32.const 1) (i32.const 60000)) i64.const 0")
        #expect(try application.run([1]).fuelUsed > 60_000)
    }

    @Test func `A module's start function is metered too`() throws {
        let application = try application(echo, items: "(func $begin (loop (br 0))) (start $begin)")
        #expect(trap { try application.run([1], limits: RunLimits(fuel: 10_000)) }?.kind == .outOfFuel)
    }

    @Test func `A rehearsal finds what every run would meet before its input`() throws {
        func rehearsal(_ application: any LoadedApplication, _ limits: RunLimits = RunLimits(fuel: 10_000), entry: String = "run") -> Trap? {
            do throws(Trap) {
                try application.rehearse(entry: entry, limits: limits, interrupt: nil)
                return nil
            } catch {
                return error
            }
        }
        #expect(rehearsal(try application(echo)) == nil)
        #expect(rehearsal(try application(echo, items: "(func $begin unreachable) (start $begin)"))?.kind == .unreachable)
        #expect(rehearsal(try application(echo, items: #"(func (export "_initialize") (loop (br 0)))"#))?.kind == .outOfFuel)
        #expect(rehearsal(try application(echo, memory: "32"), RunLimits(memoryBytes: 1 << 20))?.kind == .outOfMemory)
        #expect(rehearsal(try application(echo), entry: "absent")?.kind == .missingExport)
    }

    @Test func `An initializer runs before the entry`() throws {
        let application = try application(
            answering(address: 8, length: 3),
            items: #"(func (export "_initialize") (i32.store (i32.const 8) (i32.const 0x636261)))"#)
        #expect(try application.run([]).bytes == Array("abc".utf8))
    }

    @Test func `A memory hog is stopped at the limit`() throws {
        let hog = "(loop $more (br_if $more (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable"
        let application = try application(hog)
        for limit in [1 << 20, 16 << 20, 64 << 20] {
            let trap = trap { try application.run([1], limits: RunLimits(memoryBytes: limit)) }
            #expect(trap?.kind == .outOfMemory)
            #expect(trap?.peakMemoryBytes == limit)
        }
        // The engine's own maximum is the last word.
        let trap = trap { try application.run([1], limits: RunLimits(memoryBytes: .max)) }
        #expect(trap?.peakMemoryBytes == 256 << 20)
    }

    @Test func `What does not fit from the start is refused`() throws {
        let large = try application(echo, memory: "32")
        #expect(trap { try large.run([1], limits: RunLimits(memoryBytes: 1 << 20)) }?.kind == .outOfMemory)
        #expect(trap { try large.run([1], limits: RunLimits(memoryBytes: -1)) }?.kind == .outOfMemory)
        let small = try application(echo)
        let input = [UInt8](repeating: 1, count: 100_000)
        #expect(trap { try small.run(input, limits: RunLimits(memoryBytes: 1 << 16)) }?.kind == .inputTooLarge)
        let full = try application(echo, alloc: "i32.const 0")
        #expect(trap { try full.run([1]) }?.kind == .outOfMemory)
    }

    @Test(arguments: [
        ("unreachable", Trap.Kind.unreachable),
        ("(drop (i32.load (i32.const 65536))) i64.const 0", .outOfBounds),
        ("(i32.store8 (i32.const -1) (i32.const 1)) i64.const 0", .outOfBounds),
        ("(memory.fill (i32.const 65530) (i32.const 1) (i32.const 7)) i64.const 0", .outOfBounds),
        ("(i64.div_s (i64.const 1) (i64.const 0))", .divideByZero),
        ("(i64.rem_u (i64.const 1) (i64.const 0))", .divideByZero),
        ("(call $run (local.get 0) (local.get 1)) (i64.const 1) i64.add", .stackOverflow),
        ("(i64.trunc_f64_s (f64.const nan))", .other),
        ("(i64.div_s (i64.const -9223372036854775808) (i64.const -1))", .other),
    ])
    func `A trap has its kind`(body: String, kind: Trap.Kind) throws {
        let application = try application(body)
        let first = trap { try application.run([1]) }
        #expect(first?.kind == kind)
        #expect(first?.message.isEmpty == false)
        #expect(trap { try application.run([1]) } == first)
    }

    @Test(arguments: [
        (UInt32(0), UInt32(65537)), (65536, 1), (65535, 2), (0x7fff_ffff, 0xffff_ffff), (0, 0xffff_ffff),
        (0x7fff_ffff, 1),
    ])
    func `A wild answer is refused, as output and as error`(address: UInt32, length: UInt32) throws {
        let limits = RunLimits(outputBytes: .max)
        let output = try application(answering(address: address, length: length))
        #expect(trap { try output.run([1], limits: limits) }?.kind == .badOutput)
        let error = try application(answering(address: address | 1 << 31, length: length))
        let kind = trap { try error.run([1], limits: limits) }?.kind
        // The message is cut before it is looked at, so a length alone can be harmless.
        #expect(kind == .badOutput || (address == 0 && kind == .applicationError))
    }

    @Test func `Room for the input must lie inside the memory`() throws {
        for address in ["65535", "65536", "-1", "-2147483648"] {
            let application = try application(echo, alloc: "i32.const \(address)")
            #expect(trap { try application.run([1, 2]) }?.kind == .outOfBounds)
        }
    }

    @Test func `Output has a limit`() throws {
        let application = try application(echo)
        let limits = RunLimits(outputBytes: 10)
        #expect(try application.run([UInt8](repeating: 1, count: 10), limits: limits).bytes.count == 10)
        #expect(trap { try application.run([UInt8](repeating: 1, count: 11), limits: limits) }?.kind == .badOutput)
    }

    @Test func `An application can report an error of its own`() throws {
        let application = try application(
            answering(address: 16 | 1 << 31, length: 8), items: #"(data (i32.const 16) "no such!")"#)
        let trap = trap { try application.run([1]) }
        #expect(trap?.kind == .applicationError)
        #expect(trap?.message == "no such!")
        #expect((trap?.fuelUsed ?? 0) > 0)
    }

    @Test func `Not a number is the same number everywhere`() throws {
        let application = try application(
            """
            (f64.store (i32.const 8) (f64.div (f64.const 0) (f64.const -0)))
            (f32.store (i32.const 16) (f32.add (f32.const nan:0x200001) (f32.const 1)))
            \(answering(address: 8, length: 12))
            """)
        #expect(try application.run([]).bytes == [0, 0, 0, 0, 0, 0, 0xf8, 0x7f, 0, 0, 0xc0, 0x7f])
    }

    @Test func `No run sees what an earlier one wrote`() throws {
        // Counts the bytes of its memory that are not zero, beyond its input; then grows and dirties all of it.
        let body = """
            (local $i i32) (local $dirty i32)
            (drop (memory.grow (i32.const 4)))
            (local.set $i (i32.const 8))
            (loop $scan
              (if (i64.ne (i64.load (local.get $i)) (i64.const 0))
                (then (local.set $dirty (i32.add (local.get $dirty) (i32.const 1)))))
              (br_if $scan (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 8))) (i32.const 393216))))
            (memory.fill (i32.const 0) (i32.const 0xaa) (i32.const 393216))
            (i32.store (i32.const 0) (local.get $dirty))
            (i32.add (global.get $runs) (i32.const 1)) (global.set $runs)
            (i32.store (i32.const 4) (global.get $runs))
            \(answering(address: 0, length: 8))
            """
        for engine in [Engines.pooled, Engines.onDemand] {
            let application = try application(
                body, items: "(global $runs (mut i32) (i32.const 0))", memory: "2", engine: engine)
            for _ in 0..<300 {
                #expect(try application.run([]).bytes == [0, 0, 0, 0, 1, 0, 0, 0])
            }
        }
    }

    @Test func `One application runs on many threads at once`() async throws {
        let application = try application(echo)
        try await withThrowingTaskGroup(of: Void.self) { group in
            for thread in UInt8(0)..<16 {
                group.addTask {
                    for round in 0..<200 {
                        let input = [UInt8](repeating: thread, count: 1 + round * 7)
                        let output = try application.run(input)
                        #expect(output.bytes == input)
                        #expect(output.fuelUsed == 10)
                    }
                }
            }
            try await group.waitForAll()
        }
    }

    @Test func `More runs than the engine allows are turned away by name`() throws {
        var configuration = WasmtimeEngine.Configuration()
        configuration.maximumConcurrentRuns = 1
        let engine = try WasmtimeEngine(configuration)
        let application = try application(echo, engine: .success(engine))
        #expect(engine.begin())
        #expect(trap { try application.run([1]) }?.kind == .overloaded)
        engine.end()
        #expect(try application.run([1]).bytes == [1])
    }
}
