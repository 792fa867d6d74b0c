import Synchronization

/// Lets one task through at a time, in the order of arrival: attaching and looking up are done once for all
/// the runs that wait for them.
///
/// Whoever waits is not cancelled while waiting; whoever is inside is bounded by the deadline of its call.
final class Turnstile: Sendable {
    private struct State {
        var isOccupied = false
        var waiting: [CheckedContinuation<Void, Never>] = []
    }

    private let state = Mutex(State())

    func pass<T, E: Error>(_ body: () async throws(E) -> T) async throws(E) -> T {
        await enter()
        defer { leave() }
        return try await body()
    }

    private func enter() async {
        await withCheckedContinuation { continuation in
            let isFree = state.withLock { state in
                if state.isOccupied {
                    state.waiting.append(continuation)
                    return false
                }
                state.isOccupied = true
                return true
            }
            if isFree { continuation.resume() }
        }
    }

    private func leave() {
        let next = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard !state.waiting.isEmpty else {
                state.isOccupied = false
                return nil
            }
            return state.waiting.removeFirst()
        }
        next?.resume()
    }
}
