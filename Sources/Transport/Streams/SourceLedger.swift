/// Bytes held because of peers, by source and in all. Connections cost an attacker nothing, so no bound on one
/// connection bounds a host; this does.
///
/// A source may hold no more than its own limit, and no more than what is still free (Choudhury and Hahne, "Dynamic queue
/// length thresholds for shared-memory packet switches", 1998): whoever holds most is stopped first, and a newcomer always
/// finds room.
package struct SourceLedger: Sendable {
    package let perSource: Int
    package let inAll: Int
    private var bySource: [TrafficSource: Int] = [:]  // lookup only
    /// Charged last, and mostly next: it is not in `bySource` meanwhile, and comparing takes less than hashing.
    private var latest: TrafficSource?
    private var latestBytes = 0
    package private(set) var total = 0

    package init(perSource: Int, inAll: Int) { (self.perSource, self.inAll) = (perSource, inAll) }

    package subscript(_ source: TrafficSource) -> Int { source == latest ? latestBytes : bySource[source] ?? 0 }

    private mutating func attend(to source: TrafficSource) {
        guard source != latest else { return }
        if let latest, latestBytes != 0 { bySource[latest] = latestBytes }
        (latest, latestBytes) = (source, bySource.removeValue(forKey: source) ?? 0)
    }

    /// - Parameter change: negative ones are given back.
    /// - Returns: false when that is more than was charged; then only as much is given back.
    package mutating func charge(_ source: TrafficSource, _ change: Int) -> Bool {
        guard change != 0 else { return true }
        attend(to: source)
        let bytes = max(change, -latestBytes)
        total += bytes
        latestBytes += bytes
        return bytes == change
    }

    /// Less is held in all than any one source might: nobody need be looked up.
    private var isQuiet: Bool { total <= perSource / 2 && total <= free / 2 }

    private var free: Int { inAll - total }

    /// Whether `source` may hold `bytes` more.
    package func allows(_ source: TrafficSource, _ bytes: Int = 0) -> Bool {
        if bytes == 0, isQuiet { return true }
        let sum = self[source] + bytes
        return sum <= perSource && sum <= free - bytes
    }

    /// Whether `source` is far enough from its bound to be given credit ahead.
    package func isAtEase(_ source: TrafficSource) -> Bool {
        if isQuiet { return true }
        let sum = self[source]
        return sum <= perSource / 2 && sum <= free / 2
    }
}
