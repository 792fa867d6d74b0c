import Collections
import MastTimebase
import MastTransport

// To whom calls go: which of them waits for which connection, and what follows when one comes or goes.
extension HostCore {
    /// The peer's record, counted as in use until `release`; 0 when its connection is gone.
    mutating func makePeer(_ target: Peer.Target) -> UInt64 {
        var calls: CallMultiplexer?
        if case .bound(let handle) = target { calls = connections[handle] }
        if let known = dialer.peer(target) ?? calls?.peer {
            known.users += 1
            return known.id
        }
        let peer = Peer(id: makeID(), target: target, link: .idle, session: SessionID(high: chance.next(), low: chance.next()))
        peer.users = 1
        if case .bound(let handle) = target {
            guard let calls else { return 0 }
            peer.link = .ready(handle)
            calls.peer = peer
        }
        dialer.add(peer)
        return peer.id
    }

    /// A client of it is gone.
    mutating func release(_ id: UInt64) {
        guard let peer = dialer[id] else { return }
        peer.users -= 1
        forgetIfUnused(peer)
    }

    mutating func forgetIfUnused(_ peer: Peer) { dialer.forgetIfUnused(peer, &timers) }

    static var connectionClosed: RPCError { RPCError(.unavailable, "the connection is closed", effect: .none, cause: .closed) }

    /// A call or a wait needs this peer: dial if nobody does.
    mutating func wake(_ peer: Peer, at now: Instant) {
        if peer.link == .idle { dial(peer, at: now) }
    }

    // MARK: dialling

    private mutating func dial(_ peer: Peer, at now: Instant) {
        guard case .dial(let host, _, _, let control) = peer.target else { return }
        if let control, let forwarder = dialer[control] {
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
            guard let peer = dialer[id], peer.dialing?.generation == generation else { return }
            switch result {
            case .success(let addresses):
                peer.dialing?.lookedUp(addresses)
                tryNext(peer, at: now)
            case .failure(let error): notReached(peer, error.description, isFinal: error.isFinal, at: now)
            }
        }
    }

    mutating func tryNext(_ peer: Peer, at now: Instant) { dialer.tryNext(peer, &endpoint, &timers, at: now) }

    mutating func redial(_ id: UInt64, at now: Instant) {
        guard let peer = dialer[id], peer.link == .backingOff else { return }
        peer.redialTimer = nil
        peer.link = .idle
        if peer.isWanted { dial(peer, at: now) } else { forgetIfUnused(peer) }
    }

    /// The system or the network says that a datagram did not get through: worth trying another address, and worth telling.
    mutating func hinted(_ handle: ConnectionHandle, _ hint: PathHint, at now: Instant) {
        guard let peer = dialer.owner(handle) else { return }
        peer.lastFailure = hint.description
        if peer.dialing?.hasMore ?? false { tryNext(peer, at: now) }
    }

    /// Our connection is up; what else is under way to the peer is not needed.
    mutating func dialled(_ handle: ConnectionHandle, at now: Instant) {
        guard let peer = dialer.won(handle, &endpoint, &timers, at: now) else { return }
        connections[handle]?.peer = peer
        if peer.keepAlive != nil, let calls = connections[handle] { keepAlive(calls, peer, at: now) }
        for waiter in peer.waiters {
            if case .pong = waits[waiter] {
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
        if let peer = dialer.lost(handle, reason) {
            if peer.dialing?.hasMore ?? false { return tryNext(peer, at: now) }
            if peer.dialing?.isOver ?? false { notReached(peer, reason.description, isFinal: false, at: now) }
            return
        }
        guard let peer = owner else { return }
        finishPings(peer, .failed(RPCError(.unavailable, "the connection was lost: \(reason)", effect: .none, cause: .connectionLost)))
        if case .bound = peer.target {
            // Every later call gets the same answer: the record need not be kept.
            peer.link = .closed
            dialer.remove(peer)
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
        guard let peer = dialer[id] else { return }
        peer.keepAlive = interval
        if let calls = peer.ready.flatMap({ connections[$0] }) { keepAlive(calls, peer, at: now) }
    }

    mutating func closePeer(_ id: UInt64, reason: String, at now: Instant) {
        guard let peer = dialer[id] else { return }
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
