import MastTimebase

/// A task that answers calls, one after the other: what a handler needs is there before its call comes, and what cancels
/// the handler is its task. Guarded by the host's lock.
///
/// `@unchecked Sendable` is proved by that; by `next`, which the core writes only while the task waits, before it resumes it;
/// and by `task`, which is written once, before `hasBegun`, and of which others use `cancel` only. Any thread may call that
/// while the task lives: it lives until `leaving` or `idle` is resumed with false, which waits for `cancellations`.
final class Worker: @unchecked Sendable {
    /// Resumed with whether there is a next call.
    typealias Waiter = UnsafeContinuation<Bool, Never>

    var task: UnsafeCurrentTask?
    /// `task` may be cancelled.
    var hasBegun = false
    /// What it is to answer.
    var next: IncomingCall?
    /// The same in the core.
    var call: ServerRecord?
    /// Waits for a call.
    var idle: Waiter?
    /// Begun, and not yet over.
    var cancellations = 0
    /// Waits for their end.
    var leaving: Waiter?
}
