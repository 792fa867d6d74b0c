import MastTimebase

/// CoDel's parameters (RFC 8289): 5 ms and 100 ms unless said otherwise.
package struct CoDelParameters: Hashable, Sendable {
    package var target: Interval
    package var interval: Interval
    package var limit: QueueLimit

    package init(target: Interval = .milliseconds(5), interval: Interval = .milliseconds(100), limit: QueueLimit = QueueLimit()) {
        (self.target, self.interval, self.limit) = (target, interval, limit)
    }
}

/// The controlled delay of RFC 8289 §5 at work, in integers. It is asked once for every packet that is about to
/// leave the queue, at that virtual time.
struct CoDel: Sendable {
    enum Verdict { case pass, drop, mark }
    private enum Phase: Sendable { case fresh, entered, dropping }

    private let target: Int64
    private let interval: Int64
    private var firstAbove: Int64 = 0
    private var dropNext: Int64 = 0
    private var count: UInt64 = 0
    private var lastCount: UInt64 = 0
    private var isDropping = false
    private var phase = Phase.fresh

    /// A queue with no more than this behind the packet never drops: one packet of the usual largest size.
    private static let packet = 1_500

    init(_ parameters: CoDelParameters) {
        target = parameters.target.nanoseconds
        interval = max(1, parameters.interval.nanoseconds)
    }

    mutating func decide(at now: Int64, sojourn: Int64, bytesBehind: Int, canMark: Bool) -> Verdict {
        let late = isLate(at: now, sojourn, bytesBehind)
        switch phase {
        case .entered:
            phase = .fresh
            enter(at: now)
            return .pass
        case .dropping:
            phase = .fresh
            guard late else { isDropping = false; return .pass }
            dropNext = law(dropNext)
        case .fresh:
            if isDropping, !late { isDropping = false }
            if !isDropping {
                guard late else { return .pass }
                if canMark { enter(at: now); return .mark }
                phase = .entered
                return .drop
            }
        }
        guard now >= dropNext else { return .pass }
        count += 1
        if canMark { dropNext = law(dropNext); return .mark }
        phase = .dropping
        return .drop
    }

    private mutating func isLate(at now: Int64, _ sojourn: Int64, _ bytesBehind: Int) -> Bool {
        if sojourn < target || bytesBehind <= Self.packet { firstAbove = 0; return false }
        if firstAbove == 0 { firstAbove = saturatingSum(now, interval); return false }
        return now >= firstAbove
    }

    private mutating func enter(at now: Int64) {
        isDropping = true
        let delta = count - min(count, lastCount)
        count = delta > 1 && now - dropNext < 16 * interval ? delta : 1
        dropNext = law(now)
        lastCount = count
    }

    /// `time + interval / √count`, the root in steps of 2^-16.
    private func law(_ time: Int64) -> Int64 {
        let root = Self.squareRoot(min(max(1, count), 1 << 31) << 32)
        return saturatingSum(time, Int64(clamping: (Int128(interval) << 16) / Int128(root)))
    }

    /// The largest integer whose square is no more than `value`, by Newton's method from above.
    static func squareRoot(_ value: UInt64) -> UInt64 {
        guard value > 1 else { return value }
        var root = UInt64(1) << ((65 - UInt64(value.leadingZeroBitCount)) / 2)
        while true {
            let next = (root + value / root) / 2
            if next >= root { return root }
            root = next
        }
    }
}

/// PIE (RFC 8033) at work, in integers: a drop probability that follows the queue's delay, taken as the age of
/// its oldest packet. Target 15 ms, update every 15 ms, bursts up to 150 ms let through.
struct PIE: Sendable {
    private static let target: Int64 = 15_000_000
    private static let update: Int64 = 15_000_000
    private static let burst: Int64 = 150_000_000
    /// Probabilities count in parts of 2^48.
    private static let one: Int128 = 1 << 48

    private var chance: SeededGenerator
    private var probability: Int128 = 0
    private var oldDelay: Int64 = 0
    private var nextUpdate = PIE.update
    private var allowance = PIE.burst

    init(chance: SeededGenerator) { self.chance = chance }

    /// Carries the controller to `now`. `oldest`: the arrival of the packet that waits longest.
    mutating func advance(to now: Int64, oldest: Int64?) {
        guard now >= nextUpdate else { return }
        // After a long silence nothing is left of the probability: it decays by 2 % a step.
        if now - nextUpdate > 2_000 * Self.update { nextUpdate = now - 2_000 * Self.update }
        while nextUpdate <= now {
            step(delay: oldest.map { max(0, nextUpdate - $0) } ?? 0)
            nextUpdate += Self.update
        }
    }

    private mutating func step(delay: Int64) {
        // α = 1/8 and β = 5/4 a second (§4.2), scaled down while the probability is small.
        var change = (Int128(delay - Self.target) + 10 * Int128(delay - oldDelay)) * Self.one / 8_000_000_000
        let scales: [(Int128, Int128)] = [(1_000_000, 2_048), (100_000, 512), (10_000, 128), (1_000, 32), (100, 8), (10, 2)]
        for (share, divisor) in scales where probability < Self.one / share { change /= divisor; break }
        if probability >= Self.one / 10 { change = min(change, Self.one / 50) }
        if delay > 250_000_000 { change += Self.one / 50 }
        probability += change
        if delay == 0, oldDelay == 0 { probability = probability * 98 / 100 }
        probability = min(max(0, probability), Self.one)
        allowance = max(0, allowance - Self.update)
        if probability == 0, delay < Self.target / 2, oldDelay < Self.target / 2 { allowance = Self.burst }
        oldDelay = delay
    }

    /// Decides on a packet that arrives to `queuedBytes`.
    mutating func verdict(queuedBytes: Int, canMark: Bool) -> CoDel.Verdict {
        if allowance > 0 || queuedBytes <= 3_000 { return .pass }
        if oldDelay < Self.target / 2, probability < Self.one / 5 { return .pass }
        guard Int128(chance.next() >> 16) < probability else { return .pass }
        // Above 10 % it drops even what could be marked (§5.1).
        return canMark && probability <= Self.one / 10 ? .mark : .drop
    }
}
