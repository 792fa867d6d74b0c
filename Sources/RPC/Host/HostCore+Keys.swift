import MastTimebase
import MastTransport

// Waits for a server's key: what may be asked, and who answered.
extension HostCore {
    private mutating func withSearch<R>(_ id: UInt64, _ body: (inout KeySearch) -> R) -> R? {
        guard case .key(var search) = waits[id] else { return nil }
        let result = body(&search)
        waits[id] = .key(search)
        return result
    }

    mutating func keyAddressesArrived(_ id: UInt64, _ result: Result<[NetworkAddress], NameLookupError>, at now: Instant) {
        switch result {
        case .success(let addresses):
            _ = withSearch(id) { $0.lookedUp(addresses) }
            askNextForKey(id, at: now)
        case .failure(let error):
            guard case .key = waits[id] else { return }
            endWait(id, .failed(RPCError(.unavailable, error.description, effect: .none, cause: .unreachable)))
        }
    }

    /// The next address, if there is one; the one after it follows in a while.
    mutating func askNextForKey(_ id: UInt64, at now: Instant) {
        guard let address = withSearch(id, { $0.next() }) ?? nil else { return }
        endpoint.queryKey(of: address, at: now)
        guard case .key(let search) = waits[id] else { return }
        timers.cancel(search.timer)
        let timer = search.hasMore ? timers.set(.nextKeyAddress(id), at: now + Dialing.attemptDelay) : nil
        _ = withSearch(id) { $0.timer = timer }
    }

    mutating func keyArrived(from address: NetworkAddress, _ key: PublicKey?, at now: Instant) {
        for id in waits.ids {
            guard case .key(let before) = waits[id], before.asked.contains(address) else { continue }
            if let found = withSearch(id, { $0.answered(address, key) }) ?? nil {
                endWait(id, .key(found))
                continue
            }
            guard case .key(let search) = waits[id] else { continue }
            // A wrong key or silence: whoever else the name stands for.
            if search.hasMore { askNextForKey(id, at: now) } else if search.isOver { endWait(id, search.outcome) }
        }
    }

    /// A question did not get through.
    mutating func keyHinted(_ address: NetworkAddress, _ hint: PathHint, at now: Instant) {
        guard !waits.isEmpty else { return }
        for id in waits.ids {
            guard case .key(let search) = waits[id], search.asked.contains(address) else { continue }
            _ = withSearch(id) { $0.hint = hint }
            if search.hasMore { askNextForKey(id, at: now) }
        }
    }
}
