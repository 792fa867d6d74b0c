import MastTimebase
import MastTransport

// What is waited for apart from calls: to whom a wait goes, and its end.
extension HostCore {
    mutating func beginWait(
        _ id: UInt64, _ kind: WaitKind, _ waiter: CheckedContinuation<WaitOutcome, Never>, until deadline: Instant, at now: Instant
    ) {
        guard !isClosed else {
            effects.append(.wait(waiter, .failed(Self.hostClosed)))
            return
        }
        let timer = deadline == .distantFuture ? nil : timers.set(.wait(id), at: deadline)
        waits.add(id, .init(kind: kind, waiter: waiter, timer: timer))
        switch kind {
        case .sleep: break
        case .connected(let peer):
            guard let peer = dialer[peer] else { return endWait(id, .failed(Self.connectionClosed)) }
            if let handle = peer.ready { return endWait(id, .connected(handle)) }
            peer.waiters.append(id)
            wake(peer, at: now)
        case .pong(let peer):
            guard let peer = dialer[peer] else { return endWait(id, .failed(Self.connectionClosed)) }
            if let handle = peer.ready {
                peer.pings.append(id)
                endpoint.ping(handle, at: now)
            } else {
                peer.waiters.append(id)
                wake(peer, at: now)
            }
        case .key(let search):
            if case .name(let name) = search.host.host {
                effects.append(.lookUp(.wait(id), name: name, port: search.host.port))
            } else {
                askNextForKey(id, at: now)
            }
        case .drained: if runningHandlers == 0 { endWait(id, .drained) }
        }
    }

    mutating func endWait(_ id: UInt64, _ outcome: WaitOutcome) {
        guard let wait = waits.remove(id) else { return }
        timers.cancel(wait.timer)
        switch wait.kind {
        case .connected(let peer), .pong(let peer):
            dialer[peer]?.waiters.removeAll { $0 == id }
            dialer[peer]?.pings.removeAll { $0 == id }
            if let peer = dialer[peer] { forgetIfUnused(peer) }
        case .key(let search): timers.cancel(search.timer)
        default: break
        }
        effects.append(.wait(wait.waiter, outcome))
    }
}
