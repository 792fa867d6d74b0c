import Synchronization

/// What calls did to the outside, kept where neither side of a call can change it: a server's handler enters each
/// effect, the client's side each success, and then at most one effect must belong to each call.
package final class EffectLedger: Sendable {
    private let state = Mutex<(effects: [Int], successes: [Int])>(([], []))

    package init() {}

    package func effect(_ key: Int) { state.withLock { $0.effects.append(key) } }
    package func success(_ key: Int) { state.withLock { $0.successes.append(key) } }

    package var effects: [Int] { state.withLock { $0.effects } }
    package var successes: [Int] { state.withLock { $0.successes } }

    package var violations: [String] {
        let (effects, successes) = state.withLock { ($0.effects.sorted(), $0.successes.sorted()) }
        var found: [String] = []
        for (key, next) in zip(effects, effects.dropFirst()) where key == next { found.append("call \(key) had its effect twice") }
        for (key, next) in zip(successes, successes.dropFirst()) where key == next { found.append("call \(key) succeeded twice") }
        for key in successes where !effects.contains(key) { found.append("call \(key) succeeded without its effect") }
        return found
    }
}
