import MastTimebase

/// Waiting times between attempts: exponential, with seeded jitter of a fifth either way, so that callers
/// that failed together do not come back together.
package struct Backoff: Sendable {
    package var first: Interval = .milliseconds(100)
    package var limit: Interval = .seconds(5)
    private var failures = 0

    package init(first: Interval = .milliseconds(100), limit: Interval = .seconds(5)) {
        (self.first, self.limit) = (first, limit)
    }

    /// × 1.6 for each failure in a row.
    package mutating func next(using chance: inout SeededGenerator) -> Interval {
        var wait = first
        for _ in 0..<min(failures, 32) where wait < limit { wait = wait * 8 / 5 }
        failures = min(failures + 1, 64)
        wait = min(wait, limit)
        let span = UInt64(max(wait.nanoseconds / 5 * 2, 0))
        return wait - wait / 5 + Interval(nanoseconds: Int64(clamping: chance.next(below: span)))
    }

    package mutating func reset() { failures = 0 }
}

/// The retry budget of gRFC A6: a failure costs one token of a hundred, a success gives a tenth back, and retries
/// stop while the bucket is at half or below. Kept per peer, so that retries cannot multiply an overload; hence
/// only a peer's own refusals count. A lost connection fails many calls at once and says nothing about load.
package struct RetryBudget: Sendable {
    private static let full = 1_000
    private var tenths = full
    package init() {}

    package mutating func note(_ failure: AttemptFailure) {
        if case .answered = failure { failed() }
    }
    package mutating func failed() { tenths = max(0, tenths - 10) }
    package mutating func succeeded() { tenths = min(Self.full, tenths + 1) }
    package var allowsRetry: Bool { tenths > Self.full / 2 }
}

/// How one attempt of a call failed.
package enum AttemptFailure: Equatable, Sendable {
    /// The peer answered so.
    case answered(RPCError)
    /// The peer reset the stream before any handler saw it.
    case refused
    /// The peer reset the stream with this code.
    case reset(UInt64)
    case connectionLost(String)
    case violation(String)
}

/// Decides from a method's declared semantics what follows a failed attempt.
package struct RetryPolicy: Sendable {
    package var semantics: CallSemantics
    package var maxAttempts: Int
    package init(semantics: CallSemantics, maxAttempts: Int) {
        (self.semantics, self.maxAttempts) = (semantics, maxAttempts)
    }

    package enum Decision: Equatable, Sendable {
        /// At the earliest after that time, where the peer asked for it.
        case retry(after: Interval?)
        case fail(RPCError)
    }

    /// The effect of a failure that nobody answered.
    package var unansweredEffect: Effect { semantics == .readOnly ? .none : .unknown }

    /// - Parameters:
    ///   - replayable: the requests are still at hand and no response message was delivered.
    ///   - hasID: the receiver can recognise a second attempt.
    package func decide(_ failure: AttemptFailure, attempt: Int, replayable: Bool, hasID: Bool, budget: RetryBudget) -> Decision {
        let error = error(for: failure)
        guard replayable, attempt < maxAttempts, budget.allowsRetry else { return .fail(error) }
        switch failure {
        case .answered(let answer):
            guard answer.code == .unavailable || answer.code == .resourceExhausted else { return .fail(error) }
            guard answer.effect == .none || semantics != .atMostOnce else { return .fail(error) }
            return .retry(after: answer.retryAfter)
        case .refused:
            return .retry(after: nil)
        case .reset, .connectionLost:
            return semantics != .atMostOnce || hasID ? .retry(after: nil) : .fail(error)
        case .violation:
            return .fail(error)
        }
    }

    package func error(for failure: AttemptFailure) -> RPCError {
        switch failure {
        case .answered(var answer):
            if semantics == .readOnly { answer.effect = .none }
            return answer
        case .refused:
            return RPCError(.unavailable, "the peer refused the call", effect: .none, cause: .refused)
        case .reset(let code):
            return RPCError(.unavailable, "the peer abandoned the call (code \(code))", effect: unansweredEffect, cause: .connectionLost)
        case .connectionLost(let reason):
            return RPCError(.unavailable, "the connection was lost: \(reason)", effect: unansweredEffect, cause: .connectionLost)
        case .violation(let reason):
            return RPCError(.internal, "the peer broke the protocol: \(reason)", effect: unansweredEffect, cause: .protocolViolation)
        }
    }
}
