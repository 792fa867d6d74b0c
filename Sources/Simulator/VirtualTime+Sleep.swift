import MastTimebase
import Synchronization

extension VirtualTime {
    /// For code that belongs to no host: workloads, fault plans, tests.
    /// - Throws: `CancellationError`.
    package func sleep(until time: Instant) async throws {
        let sleeper = Sleeper()
        try await withTaskCancellationHandler {
            try await withCheckedThrowingContinuation { continuation in
                sleeper.begin(continuation)
                schedule(at: time) { sleeper.end(nil) }
            }
        } onCancel: {
            sleeper.end(CancellationError())
        }
    }

    package func sleep(for interval: Interval) async throws { try await sleep(until: now + interval) }
}

/// Resumes once, whether the time or the cancellation comes first, or comes before the sleep itself.
private final class Sleeper: Sendable {
    private enum State {
        case new
        case sleeping(CheckedContinuation<Void, any Error>)
        case ended((any Error)?)
    }

    private let state = Mutex(State.new)

    func begin(_ continuation: CheckedContinuation<Void, any Error>) {
        let over: (any Error)?? = state.withLock { state in
            if case .ended(let error) = state { return .some(error) }
            state = .sleeping(continuation)
            return nil
        }
        if let over { Self.resume(continuation, over) }
    }

    func end(_ error: (any Error)?) {
        let waiting = state.withLock { state -> CheckedContinuation<Void, any Error>? in
            switch state {
            case .sleeping(let continuation):
                state = .ended(error)
                return continuation
            case .new: state = .ended(error)
            case .ended: break
            }
            return nil
        }
        if let waiting { Self.resume(waiting, error) }
    }

    private static func resume(_ continuation: CheckedContinuation<Void, any Error>, _ error: (any Error)?) {
        if let error { continuation.resume(throwing: error) } else { continuation.resume() }
    }
}
