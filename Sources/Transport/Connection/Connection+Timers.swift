import MastTimebase

extension Connection {
    var nextWakeup: Instant? { timers.next }

    mutating func handleTimeout(at now: Instant) {
        while let timer = timers.takeDue(at: now) {
            switch timer {
            case .handshake: initiationPending = true
            case .handshakeLimit: finish(peerVersions.isEmpty ? .handshakeTimeout(lastHint) : .otherVersion(peerVersions), at: now)
            case .loss: detectLosses(at: now)
            case .probe: probe(at: now)
            case .acknowledge: acknowledgeNow = true
            case .pacing: break
            case .idle: finish(.idle, at: now)
            case .keepAlive:
                elicitPending = true
                timers[.keepAlive] = keepAlive.map { now + $0 }
            case .candidates: candidatesDue(at: now)
            case .drain: phase = .closed
            case .repair: repairsDue(at: now)
            }
        }
    }

    /// When something last came, or went that is acknowledged.
    var lastUsed: Instant { max(counters.lastReceived ?? .zero, path.recovery.lastSent ?? .zero) }

    /// Gives back what only saves time while packets come and go. It comes again with them.
    mutating func rest() {
        protection?.rest()
        path.recovery.rest()
        streams.rest()
        events.giveBackRoom()
        stamps.giveBackRoom()
    }

    /// The smaller of both sides' idle timeouts, where zero is none; nil when neither has one (RFC 9000 section 10.1).
    var idleTimeout: Interval? {
        let peer = Interval.milliseconds(Int64(min(peerParameters.idleTimeoutMilliseconds, 86_400_000)))
        guard configuration.idleTimeout > .zero else { return peer > .zero ? peer : nil }
        return peer > .zero ? min(configuration.idleTimeout, peer) : configuration.idleTimeout
    }

    mutating func armIdle(at now: Instant) {
        timers[.idle] = idleTimeout.map { now + $0 }
        idleArmedBySend = false
        if let keepAlive { timers[.keepAlive] = now + keepAlive }
    }

    /// The first ack-eliciting packet after a receipt also counts as activity, so that a call on a nearly idle
    /// connection gets its full time.
    mutating func armIdleBySend(at now: Instant) {
        guard !idleArmedBySend else { return }
        timers[.idle] = idleTimeout.map { now + $0 }
        idleArmedBySend = true
    }

    mutating func armProbe(at now: Instant) {
        timers[.probe] = isEstablished ? path.recovery.probeTime(silentFor: silence(at: now)) : nil
    }

    /// How long an answer has been waited for in vain: a pause in which nobody waits is none.
    private func silence(at now: Instant) -> Interval {
        guard let last = counters.lastReceived else { return .zero }
        return now - max(last, path.recovery.unacknowledgedSince ?? now)
    }

    /// Nothing came back in time: send the oldest unacknowledged call data again. The window is not cut.
    private mutating func probe(at now: Instant) {
        guard isEstablished else { return }
        path.recovery.consecutiveProbes += 1
        counters.probes += 1
        note(.probeTimeout(count: path.recovery.consecutiveProbes), at: now)
        wantsControlProbe = control != nil
        probeOldest()
        guard path.recovery.sent.ackElicitingInFlight > 0 else { return }
        // Re-armed when the probe leaves; should nothing leave (3x limit), the timer itself keeps us alive.
        timers[.probe] = now + path.recovery.probeInterval(consecutive: path.recovery.consecutiveProbes, silentFor: silence(at: now))
    }
}
