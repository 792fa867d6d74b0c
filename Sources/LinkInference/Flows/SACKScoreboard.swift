/// Bytes beyond the cumulative acknowledgement that are known to have arrived, by selective acknowledgements (RFC 2018). What is
/// in it is under way no more. Bounded: of more than `most` ranges others wait for the cumulative acknowledgement.
struct SACKScoreboard: Sendable {
    /// A full queue leaves a hole every few packets of a window that may hold thousands.
    private static let most = 1_024

    /// Apart from each other, in no order.
    private var ranges: [(from: UInt32, to: UInt32)] = []
    private(set) var bytes = 0

    /// Takes an acknowledgement.
    ///
    /// - Parameters:
    ///   - before: the cumulative acknowledgement until now.
    ///   - next: what is sent next: nothing beyond it has arrived.
    /// - Returns: bytes that are known to have arrived for the first time.
    mutating func take(
        _ acknowledgement: UInt32, before: UInt32?, next: UInt32?,
        _ sack: (first: (from: UInt32, to: UInt32), second: (from: UInt32, to: UInt32)?)?
    ) -> Int {
        guard let before, !ranges.isEmpty || sack != nil else {
            return before.map { max(0, Self.distance($0, acknowledgement)) } ?? 0
        }
        let progress = max(0, Self.distance(before, acknowledgement))
        var newly = max(0, progress - remove(below: acknowledgement))
        guard let sack, let next, progress > 0 || before == acknowledgement else { return newly }
        newly += add(sack.first, above: acknowledgement, until: next)
        if let second = sack.second { newly += add(second, above: acknowledgement, until: next) }
        return newly
    }

    /// Whether all of `block`, and more around it, is known to have arrived.
    func holdsMore(than block: (from: UInt32, to: UInt32)) -> Bool {
        ranges.contains {
            let (before, after) = (Self.distance($0.from, block.from), Self.distance(block.to, $0.to))
            return before >= 0 && after >= 0 && before + after > 0
        }
    }

    /// Whether something sent after what ends with `end` is known to have arrived.
    func holds(beyond end: UInt32) -> Bool { ranges.contains { Self.distance(end, $0.to) > 0 } }

    /// - Returns: how many of the bytes below were in it.
    private mutating func remove(below acknowledgement: UInt32) -> Int {
        var removed = 0
        ranges = ranges.compactMap { range in
            guard Self.distance(range.from, acknowledgement) > 0 else { return range }
            let part = min(Self.distance(range.from, range.to), Self.distance(range.from, acknowledgement))
            removed += part
            return part < Self.distance(range.from, range.to) ? (acknowledgement, range.to) : nil
        }
        bytes -= removed
        return removed
    }

    /// - Returns: how many bytes of it are new. A block below the acknowledgement tells of data that came twice (RFC 2883).
    private mutating func add(_ block: (from: UInt32, to: UInt32), above acknowledgement: UInt32, until next: UInt32) -> Int {
        guard Self.distance(acknowledgement, block.from) >= 0, Self.distance(block.from, block.to) > 0, Self.distance(block.to, next) >= 0 else { return 0 }
        var whole = block
        var known = 0
        ranges.removeAll { range in
            guard Self.distance(range.from, whole.to) >= 0, Self.distance(whole.from, range.to) >= 0 else { return false }
            known += Self.distance(range.from, range.to)
            if Self.distance(range.from, whole.from) > 0 { whole.from = range.from }
            if Self.distance(whole.to, range.to) > 0 { whole.to = range.to }
            return true
        }
        // What was told once is not told again.
        guard ranges.count < Self.most else { return 0 }
        ranges.append(whole)
        let newly = max(0, Self.distance(whole.from, whole.to) - known)
        bytes += newly
        return newly
    }

    private static func distance(_ a: UInt32, _ b: UInt32) -> Int { Int(Int32(bitPattern: b &- a)) }
}
