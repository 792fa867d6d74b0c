import MastTimebase

extension Connection {
    /// See `Endpoint.hint`. Forged or not, it makes us send at most one probe a round trip, ever more rarely while
    /// nothing arrives: an address that cannot be sent to would otherwise hint at its own probes for ever.
    mutating func hint(_ hint: PathHint, at now: Instant) {
        lastHint = hint
        let pause = max(path.recovery.rtt.smoothed, .milliseconds(50)) * Int64(1 << min(hintsInSilence, 5))
        if let hintedAt, now - hintedAt < pause { return }
        switch phase {
        case .handshaking: break
        case .established:
            probeOldest()
        case .awaitingConfirmation, .closing, .closed: return
        }
        hintedAt = now
        hintsInSilence += 1
        events.append(.hinted(handle, hint))
    }
}
