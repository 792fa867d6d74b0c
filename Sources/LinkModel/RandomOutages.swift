import MastTimebase

/// Outages at times that chance chooses: the gaps between them are spread exponentially, as those of events
/// that know nothing of each other.
package struct RandomOutages: Hashable, Sendable {
    package var mode: Outage.Mode
    /// From the end of one to the beginning of the next, mean.
    package var every: Interval
    package var length: IntervalDistribution

    package static let shortestEvery = Interval.milliseconds(10)
    /// Bounds memory; at the shortest gaps it ends after some three hours.
    static let most = 1 << 20
    /// A day is more than any run lasts; a link draws its outages as it begins.
    static let horizon = Interval.seconds(86_400)

    /// Nil for a mean gap below 10 ms.
    package init?(mode: Outage.Mode = .hold, every: Interval, length: IntervalDistribution) {
        guard every >= Self.shortestEvery else { return nil }
        (self.mode, self.every, self.length) = (mode, every, length)
    }

    /// Parses `30s~62ms` (a hold of 62 ms every 30 s on average), `drop:30s~20ms/34ms/62ms/887ms` (lengths by equally
    /// spaced quantiles).
    package init?(text: String) {
        var rest = text[...]
        var mode = Outage.Mode.hold
        if let colon = rest.firstIndex(of: ":") {
            guard let named = Outage.Mode(rawValue: String(rest[..<colon])) else { return nil }
            mode = named
            rest = rest[rest.index(after: colon)...]
        }
        guard let tilde = rest.firstIndex(of: "~"), let every = Interval(text: rest[..<tilde]),
            let length = IntervalDistribution(text: rest[rest.index(after: tilde)...])
        else { return nil }
        self.init(mode: mode, every: every, length: length)
    }

    package var text: String { "\(mode.rawValue):\(every.text)~\(length.text)" }

    /// Of a day; the same for both directions of a link, since they share their radio.
    package func outages(seed: UInt64, number: Int, instance: UInt64) -> [Outage] {
        var name = FNV1a64()
        name.combine("link.randomOutages")
        name.combine(UInt64(number))
        name.combine(instance)
        var chance = SeededGenerator(seed: seed, stream: name.value)
        var found: [Outage] = []
        var at = Interval.zero
        while found.count < Self.most {
            at += Self.exponential(every, &chance)
            guard at < Self.horizon else { break }
            let length = length.sample(&chance)
            if length > .zero { found.append(Outage(start: at, duration: length, mode: mode)) }
            at += length
        }
        return found
    }

    /// Spread like an exponential interval, by halves: each half of the draws lies one half-life further out, and within a
    /// half-life the density is even. So it keeps to whole numbers; the mean is exact.
    static func exponential(_ mean: Interval, _ chance: inout SeededGenerator) -> Interval {
        let draw = chance.next()
        // Half-lives passed: the zeros before the first one bit.
        let halves = Int64(min(60, draw.leadingZeroBitCount))
        // One half-life is passed on average, and half of another.
        let halfLife = Int128(mean.nanoseconds) * 2 / 3
        let part = (halfLife * Int128(chance.next() >> 32)) >> 32
        return Interval(nanoseconds: Int64(clamping: halfLife * Int128(halves) + part))
    }
}
