import MastTimebase

extension Endpoint {
    /// The operating system says that this machine's network changed: every connection looks at once whether its way still
    /// holds, and sends what waits for an acknowledgement. Handshakes and questions for keys are repeated.
    /// - Parameters:
    ///   - addresses: only connections to these; nil for all.
    ///   - moved: peers to whom packets now leave from another address of ours. What was learned of the way there is forgotten.
    package mutating func pathChanged(to addresses: [NetworkAddress]? = nil, moved: [NetworkAddress] = [], at now: Instant) {
        for handle in slots.keys.sorted() {  // sorted: order is part of the run
            guard let address = slots[handle]?.connection.path.address, addresses?.contains(address) ?? true else { continue }
            with(handle) { $0.networkChanged(isNewPath: moved.contains(address), at: now) }
        }
        for index in keyQueries.indices { keyQueries[index].nextAt = min(keyQueries[index].nextAt, now) }
    }
}
