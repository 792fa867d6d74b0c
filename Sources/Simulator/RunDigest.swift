import MastTimebase
import Synchronization

/// The fingerprint of a run: everything that happened, in order. Two runs of one seed have one digest, in any two
/// processes; whatever makes them differ was chance that nobody seeded, or an order that nobody chose.
///
/// Times, sizes and outcomes go in, payloads do not: on some systems a signature is a different one each time.
package final class RunDigest: Sendable {
    private struct State {
        var hash = FNV1a64()
        var events: UInt64 = 0
    }

    private let state = Mutex(State())

    package init() {}

    package func note(_ what: String, at now: Instant, _ values: UInt64...) {
        state.withLock { state in
            state.events += 1
            state.hash.combine(what)
            state.hash.combine(now.nanoseconds)
            for value in values { state.hash.combine(value) }
        }
    }

    package var value: UInt64 { state.withLock { $0.hash.value } }
    package var events: UInt64 { state.withLock { $0.events } }

    /// Sixteen hexadecimal digits.
    package var text: String {
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: max(0, 16 - digits.count)) + digits
    }
}
