import MastTimebase

extension Endpoint {
    /// The operating system could not send to `address`, or an ICMP message named it. Connections there look at once
    /// whether the way still holds, at most one probe a round trip each; those not yet open remember it. Nothing is closed.
    package mutating func hint(_ address: NetworkAddress, _ hint: PathHint, at now: Instant) {
        // A forwarder's address has many connections. Those that come too late now come first at the next hint, and
        // their own timers look after them too.
        for _ in 0..<min(atAddress.count(of: address), Self.hintedAtOnce) {
            guard let handle = atAddress.first(of: address), hintBudget.take(TrafficSource(address), at: now) else { return }
            atAddress.refresh(handle)
            with(handle) { $0.hint(hint, at: now) }
        }
    }

    /// So that a forged message costs microseconds, whatever is connected there.
    private static let hintedAtOnce = 256
}
