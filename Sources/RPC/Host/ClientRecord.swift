import Collections
import MastTimebase
import MastTransport

/// One outgoing call in the core: its state machine, its stream, and who waits for it. A class only to stay in
/// place; the host's lock guards it, and with it exclusivity.
final class ClientRecord {
    let id: UInt64
    let peer: Peer
    @exclusivity(unchecked) var call: ClientCall
    let deadline: Instant
    let failFast: Bool
    let trace: CallTrace?
    var deadlineTimer: TimerQueue<HostCore.Timer>.Token?
    var retryTimer: TimerQueue<HostCore.Timer>.Token?
    @exclusivity(unchecked) var backoff = Backoff(first: .milliseconds(50), limit: .seconds(2))
    @exclusivity(unchecked) var pipe: CallPipe?
    /// Whose stream that is.
    var calls: CallMultiplexer?
    /// Incarnation of the host that the open attempt went to, and what its connection had retransmitted by then.
    var incarnation: UInt64 = 0
    var retransmitsBefore: UInt64 = 0

    /// Responses not yet fetched.
    @exclusivity(unchecked) var inbox = ShortQueue<MessageBytes>()
    var inboxBytes = 0
    /// The record goes with the outcome.
    var isOneShot = false
    /// Set when the call is over; the inbox may still hold messages.
    var end: Result<Metadata, RPCError>?
    @exclusivity(unchecked) var readers = ShortQueue<MessageWaiter>()
    @exclusivity(unchecked) var writers = ShortQueue<OutcomeWaiter>()

    init(id: UInt64, peer: Peer, call: ClientCall, request: CallRequest) {
        (self.id, self.peer, self.call) = (id, peer, call)
        (deadline, failFast, trace) = (request.deadline, request.failFast, request.trace)
    }
}
