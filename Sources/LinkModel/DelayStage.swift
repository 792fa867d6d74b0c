import MastTimebase

/// Delay over time: one value for each step, from the beginning again after the last.
package struct DelaySeries: Hashable, Sendable {
    package let step: Interval
    package let values: [Interval]

    package static let maximumValues = 1 << 22
    static let longest = Interval.seconds(3_600)

    /// Nil unless there are values, each of 0 to an hour, and a step above 0.
    package init?(step: Interval, values: [Interval]) {
        guard step > .zero, !values.isEmpty, values.count <= Self.maximumValues,
            values.allSatisfy({ (.zero...Self.longest).contains($0) })
        else { return nil }
        (self.step, self.values) = (step, values)
    }

    /// Reads a line of milliseconds for each step, as LeoReplayer's delay files have them.
    package init(milliseconds text: [UInt8], step: Interval = .milliseconds(10)) throws(RateSeriesError) {
        var values: [Interval] = []
        for (index, line) in text.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let word = line.filter { $0 != 0x0D && $0 != 0x20 && $0 != 0x09 }
            if word.isEmpty { continue }
            guard let number = RateSeries.number(word[...]), let nanoseconds = number.scaled(by: 1_000_000),
                (0...Self.longest.nanoseconds).contains(nanoseconds)
            else { throw RateSeriesError(line: index + 1, text: "expected a delay in milliseconds") }
            guard values.count < Self.maximumValues else { throw RateSeriesError(line: index + 1, text: "too many lines") }
            values.append(Interval(nanoseconds: nanoseconds))
        }
        guard let series = DelaySeries(step: step, values: values) else { throw RateSeriesError(line: nil, text: "no line with a delay") }
        self = series
    }

    func value(at time: Int64) -> Int64 {
        values[Int((max(0, time) / step.nanoseconds) % Int64(values.count))].nanoseconds
    }
}

/// Intervals drawn by chance, given by equally spaced quantiles from the smallest to the largest; between two of them
/// every value is as likely. Whole numbers throughout.
package struct IntervalDistribution: Hashable, Sendable {
    package let quantiles: [Interval]

    /// Nil unless there are 1 to 1025 quantiles that do not decrease, of 0 to an hour.
    package init?(quantiles: [Interval]) {
        guard (1...1_025).contains(quantiles.count), quantiles.allSatisfy({ (.zero...DelaySeries.longest).contains($0) }),
            zip(quantiles, quantiles.dropFirst()).allSatisfy({ $0 <= $1 })
        else { return nil }
        self.quantiles = quantiles
    }

    /// `20ms` or `20ms/34ms/62ms`.
    package init?(text: some StringProtocol) {
        let parts = text.split(separator: "/", omittingEmptySubsequences: false).map { Interval(text: $0) }
        guard !parts.contains(nil) else { return nil }
        self.init(quantiles: parts.compactMap { $0 })
    }

    package var text: String { quantiles.map(\.text).joined(separator: "/") }

    package func sample(_ chance: inout SeededGenerator) -> Interval {
        let draw = chance.next() >> 32
        guard quantiles.count > 1 else { return quantiles[0] }
        // The place among the quantiles, in 2^32ths of a gap between two.
        let place = draw * UInt64(quantiles.count - 1)
        let index = Int(place >> 32)
        let (low, high) = (quantiles[index].nanoseconds, quantiles[index + 1].nanoseconds)
        return Interval(nanoseconds: low + Int64((Int128(high - low) * Int128(place & 0xFFFF_FFFF)) >> 32))
    }
}

/// The last stage of a link: how long a packet is on its way.
struct DelayStage: Sendable {
    var delay: Int64
    private let jitter: UInt64
    private let series: DelaySeries?
    private let spread: IntervalDistribution?
    private var jitterChance: SeededGenerator
    private var spreadChance: SeededGenerator

    init(_ profile: LinkProfile, _ stream: (String) -> SeededGenerator) {
        delay = Self.bounded(profile.delay)
        jitter = UInt64(Self.bounded(profile.jitter))
        (series, spread) = (profile.delaySeries, profile.delaySpread)
        (jitterChance, spreadChance) = (stream("jitter"), stream("delaySpread"))
    }

    /// Longer delays count as an hour.
    static func bounded(_ interval: Interval) -> Int64 { min(max(0, interval.nanoseconds), DelaySeries.longest.nanoseconds) }

    /// When a packet arrives that left the server at `time`, if none overtakes another.
    mutating func arrival(_ time: Int64) -> Int64 {
        var at = time + delay
        if let series { at += series.value(at: time) }
        if jitter > 0 { at += Int64(jitterChance.next(below: jitter + 1)) }
        if let spread { at += spread.sample(&spreadChance).nanoseconds }
        return at
    }
}
