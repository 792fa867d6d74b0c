import MastTimebase
import MastTransport

/// The parties that this host calls, and the handshakes under way to them. It decides nothing about calls: whoever has them
/// hears from it which party a handshake belongs to.
struct Dialer: ~Copyable {
    private var peers: [UInt64: Peer] = [:]  // lookup only
    /// Peers that are dialled, by target.
    private var dialled: [Peer.Target: UInt64] = [:]  // lookup only
    /// Whose a handshake is that we began.
    private var attempts: [ConnectionHandle: UInt64] = [:]  // lookup only

    var count: Int { peers.count }
    subscript(_ id: UInt64) -> Peer? { peers[id] }

    /// Peers that wait to be dialled again, oldest first.
    var backingOff: [Peer] { peers.keys.sorted().compactMap { peers[$0] }.filter { $0.link == .backingOff } }

    // MARK: records

    /// Of somebody who is dialled.
    func peer(_ target: Peer.Target) -> Peer? { dialled[target].flatMap { peers[$0] } }

    mutating func add(_ peer: Peer) {
        peers[peer.id] = peer
        guard case .dial(_, _, _, let control) = peer.target else { return }
        dialled[peer.target] = peer.id
        if let control { peers[control]?.users += 1 }
    }

    mutating func remove(_ peer: Peer) { peers[peer.id] = nil }

    /// Without this the records of all peers ever dialled would stay for ever.
    mutating func forgetIfUnused(_ peer: Peer, _ timers: inout TimerQueue<HostCore.Timer>) {
        guard peer.isUnused, peers[peer.id] === peer else { return }
        peers[peer.id] = nil
        timers.cancel(peer.redialTimer)
        guard case .dial(_, _, _, let control) = peer.target else { return }
        dialled[peer.target] = nil
        guard let forwarder = control.flatMap({ peers[$0] }) else { return }
        forwarder.users -= 1
        forgetIfUnused(forwarder, &timers)
    }

    // MARK: handshakes

    /// Whose handshake it is; nil for one that nobody wants any more.
    func owner(_ attempt: ConnectionHandle) -> Peer? { attempts[attempt].flatMap { peers[$0] } }
    func isWanted(_ attempt: ConnectionHandle) -> Bool { attempts[attempt] != nil }

    /// The next address, if there is one; the one after it follows in a while.
    mutating func tryNext(_ peer: Peer, _ endpoint: inout Endpoint, _ timers: inout TimerQueue<HostCore.Timer>, at now: Instant) {
        guard case .dial(_, let key, let route, let control) = peer.target, let address = peer.dialing?.next() else { return }
        timers.cancel(peer.dialing?.timer)
        let handle = endpoint.connect(to: address, peerKey: key, route: route, control: control.flatMap { peers[$0]?.ready }, at: now)
        peer.dialing?.began(handle)
        attempts[handle] = peer.id
        if peer.dialing?.hasMore ?? false { peer.dialing?.timer = timers.set(.nextAddress(peer.id), at: now + Dialing.attemptDelay) }
    }

    /// That handshake succeeded: what else is under way to the peer is not needed.
    mutating func won(
        _ attempt: ConnectionHandle, _ endpoint: inout Endpoint, _ timers: inout TimerQueue<HostCore.Timer>, at now: Instant
    ) -> Peer? {
        guard let peer = attempts.removeValue(forKey: attempt).flatMap({ peers[$0] }), let dialing = peer.dialing else { return nil }
        timers.cancel(dialing.timer)
        peer.dialing = nil
        for other in dialing.attempts where other != attempt {
            attempts[other] = nil
            endpoint.close(other, code: 0, reason: "another address answered first", at: now)
        }
        peer.link = .ready(attempt)
        peer.backoff.reset()
        peer.lastFailure = nil
        return peer
    }

    /// That handshake failed.
    /// - Returns: whose it was; nil when it was none of ours.
    mutating func lost(_ attempt: ConnectionHandle, _ reason: CloseReason) -> Peer? {
        guard let peer = attempts.removeValue(forKey: attempt).flatMap({ peers[$0] }) else { return nil }
        peer.dialing?.ended(attempt)
        peer.lastFailure = reason.description
        return peer
    }
}
