import MastTimebase
import MastTransport

extension HostCore {
    /// See `RPCHost.networkChanged`.
    mutating func networkChanged(to addresses: [NetworkAddress]?, moved: [NetworkAddress], at now: Instant) {
        endpoint.pathChanged(to: addresses, moved: moved, at: now)
        // Who waits to dial again waited for this.
        for peer in dialer.backingOff {
            timers.cancel(peer.redialTimer)
            peer.backoff.reset()
            redial(peer.id, at: now)
        }
    }
}

extension RPCHost {
    /// What became of the datagrams of this host's sockets; nil where there is none.
    package var socketReport: SocketReport? {
        shards.compactMap { $0.driver.socketReport() }.reduce(into: nil as SocketReport?) { sum, report in
            if sum == nil { sum = report } else { sum?.add(report) }
        }
    }

    /// The system says that this machine's network changed: whatever waits for an answer is sent again at once, and whoever
    /// waits to dial again does so now.
    /// - Parameters:
    ///   - addresses: only connections to these; nil for all.
    ///   - moved: peers to whom datagrams now leave from another address of this machine.
    package func networkChanged(to addresses: [NetworkAddress]? = nil, moved: [NetworkAddress] = [], at now: Instant) {
        let effects = core.withLock { core in
            core.networkChanged(to: addresses, moved: moved, at: now)
            core.drainEvents(at: now)
            return core.takeEffects()
        }
        for effect in effects { effect.perform(self) }
    }
}
