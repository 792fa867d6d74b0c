import Collections
import MastTimebase
import MastTransport

/// The client's view of one party it calls: how to reach it, and its retry budget and session. A class only to
/// stay in place; the host's lock guards it.
final class Peer {
    enum Target: Hashable {
        /// - Parameter host: a name is looked up anew for each dialling.
        case dial(HostPort, PublicKey, route: UInt32, control: UInt64?)
        /// A connection that the peer may have made; never dialled again.
        case bound(ConnectionHandle)
    }

    enum Link: Equatable {
        case idle
        /// See `dialing`.
        case connecting
        case ready(ConnectionHandle)
        /// Between two attempts to connect.
        case backingOff
        case closed
    }

    let id: UInt64
    let target: Target
    var link: Link
    var dialing: Dialing?
    /// Clients of the application that share this record; with the last it goes, once nothing of it is under way.
    var users = 0
    /// Calls that wait for a connection or a free stream, in order.
    @exclusivity(unchecked) var waiting: Deque<UInt64> = []
    /// `Wait`s for the connection.
    var waiters: [UInt64] = []
    var pings: Deque<UInt64> = []
    var backoff = Backoff()
    var redialTimer: TimerQueue<HostCore.Timer>.Token?
    @exclusivity(unchecked) var budget = RetryBudget()
    let session: SessionID
    var nextSequence: UInt64 = 1
    /// Sequence numbers whose outcome is still needed, ascending.
    @exclusivity(unchecked) var outstanding: Deque<UInt64> = []
    /// Wanted even without calls.
    var keepAlive: Interval?
    /// The last reason why no connection came up.
    var lastFailure: String?

    /// Nobody holds it, and nothing of it is under way.
    var isUnused: Bool {
        guard users == 0, link == .idle || link == .closed else { return false }
        return !isWanted && pings.isEmpty && outstanding.isEmpty
    }

    init(id: UInt64, target: Target, link: Link, session: SessionID) {
        (self.id, self.target, self.link, self.session) = (id, target, link, session)
    }

    /// Of a client that was made on a connection which was over.
    static var gone: Peer {
        Peer(id: 0, target: .bound(ConnectionHandle(number: 0)), link: .closed, session: SessionID(high: 0, low: 0))
    }

    func takeSequence() -> UInt64 {
        defer { nextSequence += 1 }
        outstanding.append(nextSequence)
        return nextSequence
    }

    func settle(_ sequence: UInt64) {
        if outstanding.first == sequence { outstanding.removeFirst() } else { outstanding.removeAll { $0 == sequence } }
    }

    /// Calls that time out together do so in the order in which they queued.
    func leaveQueue(_ call: UInt64) {
        if waiting.first == call { waiting.removeFirst() } else if !waiting.isEmpty { waiting.removeAll { $0 == call } }
    }

    var firstIncomplete: UInt64 { outstanding.first ?? nextSequence }
    var isWanted: Bool { !waiting.isEmpty || !waiters.isEmpty }
    var ready: ConnectionHandle? { if case .ready(let handle) = link { handle } else { nil } }
}
