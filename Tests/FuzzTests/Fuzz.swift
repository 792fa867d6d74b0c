import Foundation
import Testing

/// Runs a parser on broken inputs. Each has a seed of its own; where the process stops or a check fails, the seed and
/// the command that runs it again are printed.
///
///     MAST_FUZZ_ITERATIONS=10000000 swift test -c release --disable-testable-imports --filter FuzzTests
///
/// runs longer; with MAST_FUZZ_SEED the seeds begin there.
struct Fuzz {
    let target: String
    /// About ten seconds' worth on one core of a small machine.
    let iterations: Int

    private static let environment = ProcessInfo.processInfo.environment
    private static let from = environment["MAST_FUZZ_SEED"].flatMap(UInt64.init)
    private static let number = environment["MAST_FUZZ_ITERATIONS"].flatMap(Int.init)

    /// - Parameter check: nil when the input was handled as it should be, else what was wrong.
    func run(_ corpus: [[UInt8]], _ check: (inout Mutator) throws -> String?) throws {
        let first = Self.from ?? 1
        CrashNote.begin(target)
        defer { CrashNote.end() }
        for index in 0..<(Self.number ?? iterations) {
            let seed = first &+ UInt64(index)
            CrashNote.seed.pointee = seed
            var mutator = Mutator(seed: seed, corpus: corpus)
            if let fault = try check(&mutator) {
                Issue.record("\(target), seed \(seed): \(fault). \(Self.command(target, seed))")
                return
            }
        }
    }

    private static func command(_ target: String, _ seed: UInt64) -> String {
        "Again: MAST_FUZZ_SEED=\(seed) MAST_FUZZ_ITERATIONS=1 swift test -c release --disable-testable-imports --filter FuzzTests/\(target)"
    }
}

/// Says which seed it was when a trap stops the process: in a signal handler, so with what was made before it.
enum CrashNote {
    // One fuzz target runs at a time, and only its thread writes here; the handler runs on a thread that stops there.
    nonisolated(unsafe) static let seed = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    // Written before the target runs, by its thread.
    nonisolated(unsafe) private static let name = UnsafeMutablePointer<UInt8>.allocate(capacity: 128)
    // Written in the handler, on the way out.
    nonisolated(unsafe) private static let text = UnsafeMutablePointer<UInt8>.allocate(capacity: 512)
    // The thread that fuzzes; nil while none does. Traps elsewhere are not ours: the engine of the Wasm tests lives on them.
    nonisolated(unsafe) private static let fuzzer = UnsafeMutablePointer<pthread_t?>.allocate(capacity: 1)
    // Who handled each signal before; written once, before our handler is there.
    nonisolated(unsafe) private static let before = UnsafeMutablePointer<sigaction>.allocate(capacity: 65)

    private static let install: Void = {
        fuzzer.initialize(to: nil)
        for number in [SIGILL, SIGTRAP, SIGSEGV, SIGBUS, SIGABRT, SIGFPE] {
            sigaction(number, nil, before + Int(number))
            var action = sigaction()
            action.__sigaction_handler.sa_sigaction = { number, information, context in
                if let thread = CrashNote.fuzzer.pointee, pthread_equal(thread, pthread_self()) != 0 { CrashNote.write() }
                let old = CrashNote.before[Int(number)]
                if old.sa_flags & SA_SIGINFO != 0, let handler = old.__sigaction_handler.sa_sigaction {
                    handler(number, information, context)
                } else {
                    signal(number, SIG_DFL)
                    raise(number)
                }
            }
            // On the stack that the engine sets up for its own handler.
            action.sa_flags = SA_SIGINFO | SA_ONSTACK
            sigaction(number, &action, nil)
        }
    }()

    static func begin(_ target: String) {
        for (index, byte) in (Array(target.utf8.prefix(127)) + [0]).enumerated() { name[index] = byte }
        text[0] = 0
        _ = install
        fuzzer.pointee = pthread_self()
    }

    static func end() { fuzzer.pointee = nil }

    private static func write() {
        var length = 0
        func put(_ part: StaticString) {
            for index in 0..<part.utf8CodeUnitCount where length < 511 {
                text[length] = part.utf8Start[index]
                length += 1
            }
        }
        func putSeed() {
            var divisor: UInt64 = 10_000_000_000_000_000_000
            var begun = false
            while divisor > 0 {
                let digit = seed.pointee / divisor % 10
                begun = begun || digit > 0 || divisor == 1
                if begun, length < 511 {
                    text[length] = 48 + UInt8(digit)
                    length += 1
                }
                divisor /= 10
            }
        }
        put("\nfuzzing stopped the process. Again: MAST_FUZZ_SEED=")
        putSeed()
        put(" MAST_FUZZ_ITERATIONS=1 swift test -c release --disable-testable-imports --filter FuzzTests/")
        var index = 0
        while name[index] != 0, length < 511 {
            text[length] = name[index]
            (index, length) = (index + 1, length + 1)
        }
        put("\n")
        _ = Foundation.write(2, text, length)
    }
}
