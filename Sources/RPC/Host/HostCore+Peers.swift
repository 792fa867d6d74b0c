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

    /// Nobody holds it, and nothing of it is under way.
    var isUnused: Bool {
        guard users == 0, link == .idle || link == .closed else { return false }
        return !isWanted && pings.isEmpty && outstanding.isEmpty
    }

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
    /// The peer's record, counted as in use until `release`.
    mutating func makePeer(_ target: Peer.Target) -> UInt64 {
        if let known = dialled[target].flatMap({ peers[$0] }) {
            known.users += 1
            return known.id
        }
        if case .bound(let handle) = target, let known = connections[handle]?.peer {
            known.users += 1
            return known.id
        }
        let peer = Peer(id: makeID(), target: target, link: .idle, session: SessionID(high: chance.next(), low: chance.next()))
        peer.users = 1
        switch target {
        case .dial(_, _, _, let control):
            dialled[target] = peer.id
            if let control { peers[control]?.users += 1 }
        case .bound(let handle):
            guard connections[handle] != nil else { return 0 }
            peer.link = .ready(handle)
            connections[handle]?.peer = peer
        }
        peers[peer.id] = peer
        return peer.id
    }

    /// A client of it is gone.
    mutating func release(_ id: UInt64) {
        guard let peer = peers[id] else { return }
        peer.users -= 1
        forgetIfUnused(peer)
    }

    /// Without this the records of all peers ever dialled would stay for ever.
    mutating func forgetIfUnused(_ peer: Peer) {
        guard peer.isUnused, peers[peer.id] === peer else { return }
        peers[peer.id] = nil
        timers.cancel(peer.redialTimer)
        guard case .dial(_, _, _, let control) = peer.target else { return }
        dialled[peer.target] = nil
        if let control { release(control) }
    }

    static var connectionClosed: RPCError { RPCError(.unavailable, "the connection is closed", effect: .none, cause: .closed) }

    /// A call or a wait needs this peer: dial if nobody does.
    mutating func wake(_ peer: Peer, at now: Instant) {
        if peer.link == .idle { dial(peer, at: now) }
    }

    // MARK: dialling

    private mutating func dial(_ peer: Peer, at now: Instant) {
        guard case .dial(let host, _, _, let control) = peer.target else { return }
        if let control, let forwarder = peers[control] {
            guard let handle = forwarder.ready, let address = endpoint.remoteAddress(handle) else {
                // The forwarder must know us first: come back when it does.
                wake(forwarder, at: now)
                peer.link = .backingOff
                peer.redialTimer = timers.set(.redial(peer.id), at: now + .milliseconds(20))
                return
            }
            // By the way that is known to lead there.
            return begin(peer, [address], at: now)
        }
        switch host.host {
        case .address(let address): begin(peer, [address], at: now)
        case .name(let name):
            let dialing = Dialing(generation: makeID(), isLookingUp: true)
            (peer.link, peer.dialing) = (.connecting, dialing)
            effects.append(.lookUp(.peer(peer.id, generation: dialing.generation), name: name, port: host.port))
        }
    }

    private mutating func begin(_ peer: Peer, _ addresses: [NetworkAddress], at now: Instant) {
        var dialing = Dialing(generation: makeID(), isLookingUp: false)
        dialing.lookedUp(addresses)
        (peer.link, peer.dialing) = (.connecting, dialing)
        tryNext(peer, at: now)
    }

    /// A name's addresses, or why there are none.
    mutating func lookedUp(_ owner: LookupOwner, _ result: Result<[NetworkAddress], NameLookupError>, at now: Instant) {
        switch owner {
        case .wait(let id): keyAddressesArrived(id, result, at: now)
        case .peer(let id, let generation):
            guard let peer = peers[id], peer.dialing?.generation == generation else { return }
            switch result {
            case .success(let addresses):
                peer.dialing?.lookedUp(addresses)
                tryNext(peer, at: now)
            case .failure(let error): notReached(peer, error.description, isFinal: error.isFinal, at: now)
            }
        }
    }

    /// The next address, if there is one; the one after it follows in a while.
    mutating func tryNext(_ peer: Peer, at now: Instant) {
        guard case .dial(_, let key, let route, let control) = peer.target, let address = peer.dialing?.next() else { return }
        timers.cancel(peer.dialing?.timer)
        let handle = endpoint.connect(to: address, peerKey: key, route: route, control: control.flatMap { peers[$0]?.ready }, at: now)
        peer.dialing?.began(handle)
        dialers[handle] = peer.id
        if peer.dialing?.hasMore ?? false { peer.dialing?.timer = timers.set(.nextAddress(peer.id), at: now + Dialing.attemptDelay) }
    }

    mutating func redial(_ id: UInt64, at now: Instant) {
        guard let peer = peers[id], peer.link == .backingOff else { return }
        peer.redialTimer = nil
        peer.link = .idle
        if peer.isWanted { dial(peer, at: now) } else { forgetIfUnused(peer) }
    }

    /// The system or the network says that a datagram did not get through: worth trying another address, and worth telling.
    mutating func hinted(_ handle: ConnectionHandle, _ hint: PathHint, at now: Instant) {
        guard let peer = dialers[handle].flatMap({ peers[$0] }) else { return }
        peer.lastFailure = hint.description
        if peer.dialing?.hasMore ?? false { tryNext(peer, at: now) }
    }

    /// Our connection is up; what else is under way to the peer is not needed.
    mutating func dialled(_ handle: ConnectionHandle, at now: Instant) {
        guard let peer = dialers.removeValue(forKey: handle).flatMap({ peers[$0] }), let dialing = peer.dialing else { return }
        timers.cancel(dialing.timer)
        peer.dialing = nil
        for other in dialing.attempts where other != handle {
            dialers[other] = nil
            endpoint.close(other, code: 0, reason: "another address answered first", at: now)
        }
        connections[handle]?.peer = peer
        peer.link = .ready(handle)
        peer.backoff.reset()
        peer.lastFailure = nil
        if peer.keepAlive != nil, let calls = connections[handle] { keepAlive(calls, peer, at: now) }
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
        if let peer = dialers.removeValue(forKey: handle).flatMap({ peers[$0] }) {
            peer.dialing?.ended(handle)
            peer.lastFailure = reason.description
            if peer.dialing?.hasMore ?? false { return tryNext(peer, at: now) }
            if peer.dialing?.isOver ?? false { notReached(peer, reason.description, isFinal: false, at: now) }
            return
        }
        guard let peer = owner else { return }
        finishPings(peer, .failed(RPCError(.unavailable, "the connection was lost: \(reason)", effect: .none, cause: .connectionLost)))
        if case .bound = peer.target {
            // Every later call gets the same answer: the record need not be kept.
            peer.link = .closed
            peers[peer.id] = nil
            for call in peer.waiting { failClient(call, Self.connectionClosed, at: now) }
            return
        }
        guard peer.link == .ready(handle) else { return }
        peer.link = .idle
        if peer.isWanted { dial(peer, at: now) } else { forgetIfUnused(peer) }
    }

    /// No address answered.
    /// - Parameter isFinal: trying again would change nothing.
    private mutating func notReached(_ peer: Peer, _ reason: String, isFinal: Bool, at now: Instant) {
        timers.cancel(peer.dialing?.timer)
        (peer.link, peer.dialing, peer.lastFailure) = (.idle, nil, reason)
        let error = RPCError(.unavailable, "cannot connect: \(reason)", effect: .none, cause: .unreachable)
        for call in peer.waiting where isFinal || clientCalls[call]?.failFast ?? true { failClient(call, error, at: now) }
        if isFinal { for waiter in peer.waiters { endWait(waiter, .failed(error)) } }
        guard peer.isWanted else { return forgetIfUnused(peer) }
        peer.link = .backingOff
        peer.redialTimer = timers.set(.redial(peer.id), at: now + peer.backoff.next(using: &chance))
    }

    /// Pings while somebody waits for an answer: a peer that died, or started anew, is noticed within the interval
    /// and a probe timeout, and not when the connection has been idle for half a minute.
    mutating func keepAlive(_ calls: CallMultiplexer, _ peer: Peer, at now: Instant) {
        var interval = peer.keepAlive
        if calls.openCalls > 0 { interval = min(interval ?? .max, configuration.callKeepAlive) }
        endpoint.setKeepAlive(calls.handle, interval, at: now)
    }

    mutating func setKeepAlive(_ id: UInt64, _ interval: Interval?, at now: Instant) {
        guard let peer = peers[id] else { return }
        peer.keepAlive = interval
        if let calls = peer.ready.flatMap({ connections[$0] }) { keepAlive(calls, peer, at: now) }
    }

    mutating func closePeer(_ id: UInt64, reason: String, at now: Instant) {
        guard let peer = peers[id] else { return }
        if let handle = peer.ready { endpoint.close(handle, code: 0, reason: reason, at: now) }
        for attempt in peer.dialing?.attempts ?? [] { endpoint.close(attempt, code: 0, reason: reason, at: now) }
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
