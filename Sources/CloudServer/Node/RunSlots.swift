import MastCloudCore
import MastRPC
import Synchronization

/// The executor's threads, and who waits for one: first come, first served, but whoever is silent yields to all who
/// are not. A client that was killed cannot say that it is gone, and its work should hold up nobody's.
///
/// The queue stands here and not at the threads, so that what waits can leave it at once, and is known to wait.
final class RunSlots: Sendable {
    private struct Waiter {
        var number: UInt64
        var isSilent: @Sendable () -> Bool
        var continuation: CheckedContinuation<Void, any Error>
    }

    private struct State {
        var free: Int
        var next: UInt64 = 0
        /// As many as there are runs under way, which admission bounds.
        var waiters: [Waiter] = []
        /// Callers on their way into the queue; one that is missing when it gets there was cancelled.
        var arriving: [UInt64] = []
        var isClosed = false
    }

    private let state: Mutex<State>
    private let closing: RPCError

    /// - Parameter closing: what is told to those who wait when the queue closes.
    init(capacity: Int, closing: RPCError) {
        state = Mutex(State(free: max(1, capacity)))
        self.closing = closing
    }

    /// Waits for a thread, uses it and gives it back.
    /// - Throws: `CancellationError` as soon as the caller is cancelled while it waits; the closing error.
    nonisolated(nonsending) func use<Value>(
        isSilent: @escaping @Sendable () -> Bool = { false }, _ body: nonisolated(nonsending) () async throws -> Value
    ) async throws -> Value {
        try await acquire(isSilent)
        defer { release() }
        return try await body()
    }

    /// Whoever waits is refused, now and later; whoever has a thread keeps it.
    func close() {
        let waiters = state.withLock { state in
            state.isClosed = true
            defer { state.waiters = [] }
            return state.waiters
        }
        for waiter in waiters { waiter.continuation.resume(throwing: closing) }
    }

    private nonisolated(nonsending) func acquire(_ isSilent: @escaping @Sendable () -> Bool) async throws {
        try Task.checkCancellation()
        let number = state.withLock { state in
            state.next += 1
            state.arriving.append(state.next)
            return state.next
        }
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in begin(Waiter(number: number, isSilent: isSilent, continuation: continuation)) }
        } onCancel: {
            cancel(number)
        }
    }

    private func begin(_ waiter: Waiter) {
        let outcome = state.withLock { state -> Result<Void, any Error>? in
            guard let index = state.arriving.firstIndex(of: waiter.number) else { return .failure(CancellationError()) }
            state.arriving.remove(at: index)
            if state.isClosed { return .failure(closing) }
            guard state.free > 0 else {
                state.waiters.append(waiter)
                return nil
            }
            state.free -= 1
            return .success(())
        }
        if let outcome { waiter.continuation.resume(with: outcome) }
    }

    private func cancel(_ number: UInt64) {
        let waiter = state.withLock { state -> Waiter? in
            guard let index = state.waiters.firstIndex(where: { $0.number == number }) else {
                state.arriving.removeAll { $0 == number }
                return nil
            }
            return state.waiters.remove(at: index)
        }
        waiter?.continuation.resume(throwing: CancellationError())
    }

    private func release() {
        let waiter = state.withLock { state -> Waiter? in
            guard !state.waiters.isEmpty else {
                state.free += 1
                return nil
            }
            return state.waiters.remove(at: state.waiters.firstIndex { !$0.isSilent() } ?? 0)
        }
        waiter?.continuation.resume()
    }
}
