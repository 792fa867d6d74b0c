import MastTimebase

/// A task that answers calls, one after the other: what a handler needs is there before its call comes, and what cancels
/// the handler is its task. Guarded by the host's lock.
///
/// `@unchecked Sendable` is proved by that, and by `task`, of which others use `cancel` only, which any thread may call
/// while the task lives: it lives until `leaving` or `idle` is resumed with nil, which waits for `cancellations`.
final class Worker: @unchecked Sendable {
    /// Resumed with the next call, or with nil to end.
    typealias Waiter = UnsafeContinuation<IncomingCall?, Never>

    let task: UnsafeCurrentTask
    /// Waits for a call.
    var idle: Waiter?
    /// Begun, and not yet over.
    var cancellations = 0
    /// Waits for their end.
    var leaving: Waiter?

    init(_ task: UnsafeCurrentTask) { self.task = task }
}

/// The tasks that wait for a call.
struct IdleWorkers {
    /// Kept rather than ended: as many as calls commonly come together.
    private static let most = 256

    /// The one used last is used next: its memory is warm.
    private var workers: [Worker] = []
    /// Whoever becomes idle stays: the host serves.
    private(set) var areKept = false

    var hasRoom: Bool { areKept && workers.count < Self.most }

    mutating func begin() { areKept = true }
    mutating func add(_ worker: Worker) { workers.append(worker) }
    mutating func take() -> Worker? { workers.popLast() }

    /// Nobody is kept from now on.
    mutating func end() -> [Worker] {
        areKept = false
        defer { workers = [] }
        return workers
    }
}
