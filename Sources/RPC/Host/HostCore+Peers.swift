import Collections
import MastTimebase
import MastTransport

/// The client's view of one party it calls: how to reach it, and its retry budget and session. A class only to
/// stay in place; the host's lock guards it.
final class Peer {
    enum Target: Equatable {
        case dial(NetworkAddress, PublicKey, route: UInt32, control: UInt64?)
        /// A connection that the peer may have made; never dialled again.
        case bound(ConnectionHandle)
    }

    enum Link: Equatable {
        case idle
        case connecting(ConnectionHandle)
        case ready(ConnectionHandle)
        /// Between two attempts to connect.
        case backingOff
        case closed
    }

    let id: UInt64
    let target: Target
    var link: Link
    /// Calls that wait for a connection or a free stream, in order.
    var waiting: Deque<UInt64> = []
    /// `Wait`s for the connection.
    var waiters: [UInt64] = []
    var pings: Deque<UInt64> = []
    var backoff = Backoff()
    var redialTimer: TimerQueue<HostCore.Timer>.Token?
    var budget = RetryBudget()
    let session: SessionID
    var nextSequence: UInt64 = 1
    /// Sequence numbers whose outcome is still needed, ascending.
    var outstanding: Deque<UInt64> = []
    /// Wanted even without calls.
    var keepAlive: Interval?
    /// The last reason why no connection came up.
    var lastFailure: String?

    init(id: UInt64, target: Target, link: Link, session: SessionID) {
        (self.id, self.target, self.link, self.session) = (id, target, link, session)
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

extension HostCore {
    mutating func makePeer(_ target: Peer.Target) -> UInt64 {
        if let known = directory.first(where: { $0.target == target }) { return known.id }
        if case .bound(let handle) = target, let known = connections[handle]?.peer { return known.id }
        let peer = Peer(id: makeID(), target: target, link: .idle, session: SessionID(high: chance.next(), low: chance.next()))
        switch target {
        case .dial: directory.append(peer)
        case .bound(let handle):
            guard connections[handle] != nil else { return 0 }
            peer.link = .ready(handle)
            connections[handle]?.peer = peer
        }
        peers[peer.id] = peer
        return peer.id
    }

    static var connectionClosed: RPCError { RPCError(.unavailable, "the connection is closed", effect: .none, cause: .closed) }

    /// A call or a wait needs this peer: dial if nobody does.
    mutating func wake(_ peer: Peer, at now: Instant) {
        if peer.link == .idle { dial(peer, at: now) }
    }

    private mutating func dial(_ peer: Peer, at now: Instant) {
        guard case .dial(let address, let key, let route, let control) = peer.target else { return }
        var controlHandle: ConnectionHandle?
        if let control, let forwarder = peers[control] {
            controlHandle = forwarder.ready
            if controlHandle == nil {
                // The forwarder must know us first: come back when it does.
                wake(forwarder, at: now)
                peer.link = .backingOff
                peer.redialTimer = timers.set(.redial(peer.id), at: now + .milliseconds(20))
                return
            }
        }
        peer.link = .connecting(endpoint.connect(to: address, peerKey: key, route: route, control: controlHandle, at: now))
    }

    mutating func redial(_ id: UInt64, at now: Instant) {
        guard let peer = peers[id], peer.link == .backingOff else { return }
        peer.redialTimer = nil
        peer.link = .idle
        if peer.isWanted { dial(peer, at: now) }
    }

    /// Our connection is up.
    mutating func dialled(_ handle: ConnectionHandle, at now: Instant) {
        guard let peer = directory.first(where: { $0.link == .connecting(handle) }) else { return }
        connections[handle]?.peer = peer
        peer.link = .ready(handle)
        peer.backoff.reset()
        peer.lastFailure = nil
        if peer.keepAlive != nil { keepAlive(handle, peer, at: now) }
        for waiter in peer.waiters {
            if case .pong = waits[waiter]?.kind {
                peer.pings.append(waiter)
                endpoint.ping(handle, at: now)
            } else {
                endWait(waiter, .connected(handle))
            }
        }
        peer.waiters = []
        startWaitingCalls(peer, at: now)
    }

    mutating func finishPings(_ peer: Peer, _ outcome: WaitOutcome) {
        // One pong answers everybody who asked before it.
        for id in peer.pings { endWait(id, outcome) }
        peer.pings = []
    }

    /// The connection is gone, or never came.
    mutating func hungUp(_ handle: ConnectionHandle, _ owner: Peer?, _ reason: CloseReason, at now: Instant) {
        guard let peer = owner ?? directory.first(where: { $0.link == .connecting(handle) }) else { return }
        finishPings(peer, .failed(RPCError(.unavailable, "the connection was lost: \(reason)", effect: .none, cause: .connectionLost)))
        if case .bound = peer.target {
            // Every later call gets the same answer: the record need not be kept.
            peer.link = .closed
            peers[peer.id] = nil
            for call in peer.waiting { failClient(call, Self.connectionClosed, at: now) }
            return
        }
        let neverCame = peer.link == .connecting(handle)
        guard neverCame || peer.link == .ready(handle) else { return }
        peer.link = .idle
        if neverCame {
            peer.lastFailure = reason.description
            for call in peer.waiting where clientCalls[call]?.failFast ?? true {
                failClient(call, RPCError(.unavailable, "cannot connect: \(reason)", effect: .none, cause: .unreachable), at: now)
            }
        }
        guard peer.isWanted else { return }
        guard neverCame else { return dial(peer, at: now) }
        peer.link = .backingOff
        peer.redialTimer = timers.set(.redial(peer.id), at: now + peer.backoff.next(using: &chance))
    }

    /// Pings while somebody waits for an answer: a peer that died, or started anew, is noticed within the interval
    /// and a probe timeout, and not when the connection has been idle for half a minute.
    mutating func keepAlive(_ handle: ConnectionHandle, _ peer: Peer, at now: Instant) {
        let isBusy = (connections[handle]?.openCalls ?? 0) > 0
        var interval = peer.keepAlive
        if isBusy { interval = min(interval ?? .max, configuration.callKeepAlive) }
        endpoint.setKeepAlive(handle, interval, at: now)
    }

    mutating func setKeepAlive(_ id: UInt64, _ interval: Interval?, at now: Instant) {
        guard let peer = peers[id] else { return }
        peer.keepAlive = interval
        if let handle = peer.ready { keepAlive(handle, peer, at: now) }
    }

    mutating func closePeer(_ id: UInt64, reason: String, at now: Instant) {
        switch peers[id]?.link {
        case .ready(let handle), .connecting(let handle): endpoint.close(handle, code: 0, reason: reason, at: now)
        default: break
        }
    }

    mutating func startWaitingCalls(_ peer: Peer, at now: Instant) {
        while let id = peer.waiting.popFirst() {
            guard let call = clientCalls[id] else { continue }
            guard openAttempt(call, at: now) else {
                peer.waiting.prepend(id)
                return
            }
        }
    }
}
