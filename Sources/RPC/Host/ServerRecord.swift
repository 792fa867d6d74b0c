import Collections
import MastTimebase
import MastTransport

/// One incoming call in the core. A class only to stay in place; the host's lock guards it, and with it exclusivity.
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
    @exclusivity(unchecked) var state = State.awaitingRequest
    @exclusivity(unchecked) var call = ServerCall()
    /// Nil once the stream is gone.
    @exclusivity(unchecked) var pipe: CallPipe?
    var handler: ServedMethod?
    var deadlineTimer: TimerQueue<HostCore.Timer>.Token?
    /// When bytes of it came last, or when it began to wait for a handler.
    var progressAt: Instant
    /// Under which name its outcome is remembered.
    var remembered: (owner: DuplicateFilter.Owner, sequence: UInt64)?
    /// Second attempts waiting for this one's answer.
    @exclusivity(unchecked) var joined: [ServerRecord] = []
    var isCancelled = false
    var isPastDeadline = false
    /// A task was started for it.
    var hasTask = false
    /// The handler's task has returned.
    var isRetired = false
    let calls: CallMultiplexer
    /// Whom it is counted for, until its end.
    let source: TrafficSource

    /// The request of a method that has exactly one, until its handler starts; and its size.
    var request: MessageBytes?
    var requestBytes = 0
    /// Charged to the source apart from any stream: the request of a handler whose stream is gone.
    var chargedApart = 0
    /// What the connection's and the source's books say of its pending answer.
    var pendingNoted = 0

    /// Requests not yet fetched.
    @exclusivity(unchecked) var inbox: Deque<MessageBytes> = []
    var inboxBytes = 0
    var requestsFinished = false
    @exclusivity(unchecked) var readers = ShortQueue<MessageWaiter>()
    @exclusivity(unchecked) var writers = ShortQueue<OutcomeWaiter>()
    /// Where it is counted as running.
    var place: ServerAdmission.Place?
    /// Whose task the handler is in.
    var worker: Worker?

    var isWaiting: Bool { if case .waiting = state { true } else { false } }

    var connection: ConnectionHandle { calls.handle }

    init(id: UInt64, deadline: Instant?, pipe: CallPipe, calls: CallMultiplexer, at now: Instant) {
        (self.id, self.deadline, self.pipe, self.calls) = (id, deadline, pipe, calls)
        (source, progressAt) = (calls.source, now)
    }
}
