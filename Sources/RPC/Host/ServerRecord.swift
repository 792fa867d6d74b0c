import Collections
import MastTimebase
import MastTransport

/// One incoming call in the core. A class only to stay in place; the host's lock guards it.
final class ServerRecord {
    enum State {
        case awaitingRequest
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
    var connection: ConnectionHandle

    /// Requests not yet fetched.
    var inbox: Deque<[UInt8]> = []
    var inboxBytes = 0
    var requestsFinished = false
    var readers: Deque<MessageWaiter> = []
    var writers: Deque<OutcomeWaiter> = []
    /// Resumed when the handler should stop or has stopped.
    var watcher: CheckedContinuation<Void, Never>?

    init(id: UInt64, deadline: Instant?, pipe: CallPipe) {
        (self.id, self.deadline, self.pipe) = (id, deadline, pipe)
        connection = pipe.connection
    }
}
