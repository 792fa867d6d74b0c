import Collections
import MastTimebase
import MastTransport

/// One incoming call in the core. A class only to stay in place; the host's lock guards it.
final class ServerRecord {
    enum State {
        case awaitingRequest
        /// Complete, and no handler may start for it yet.
        case waiting
        /// Its handler runs, or is about to.
        case running
        /// A second attempt: answered together with that call.
        case joined(ServerRecord)
        case answered
    }

    let id: UInt64
    let deadline: Instant?
    var state = State.awaitingRequest
    var call = ServerCall()
    /// Nil once the stream is gone.
    var pipe: CallPipe?
    var handler: MethodHandler?
    var deadlineTimer: TimerQueue<HostCore.Timer>.Token?
    /// When bytes of it came last, or when it began to wait for a handler.
    var progressAt: Instant
    /// Under which name its outcome is remembered.
    var remembered: (owner: DuplicateFilter.Owner, sequence: UInt64)?
    /// Second attempts waiting for this one's answer.
    var joined: [ServerRecord] = []
    var isCancelled = false
    var isPastDeadline = false
    /// A task was started for it.
    var hasTask = false
    /// The handler's task has returned.
    var isRetired = false
    let connection: ConnectionHandle
    /// Whom it is counted for, until its end.
    let source: TrafficSource

    /// The request of a method that has exactly one, until its handler starts; and its size.
    var request: [UInt8]?
    var requestBytes = 0
    /// Charged to the source apart from any stream: the request of a handler whose stream is gone.
    var chargedApart = 0
    /// What the connection's and the source's books say of its pending answer.
    var pendingNoted = 0

    /// Requests not yet fetched.
    var inbox: Deque<[UInt8]> = []
    var inboxBytes = 0
    var requestsFinished = false
    var readers: Deque<MessageWaiter> = []
    var writers: Deque<OutcomeWaiter> = []
    /// Resumed when the handler should stop or has stopped.
    var watcher: CheckedContinuation<Void, Never>?

    var isWaiting: Bool { if case .waiting = state { true } else { false } }

    init(id: UInt64, deadline: Instant?, pipe: CallPipe, source: TrafficSource, at now: Instant) {
        (self.id, self.deadline, self.pipe, self.source) = (id, deadline, pipe, source)
        (connection, progressAt) = (pipe.connection, now)
    }
}
