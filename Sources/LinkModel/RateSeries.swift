import MastTimebase

/// A rate that changes in steps of time.
package struct RateSeries: Hashable, Sendable {
    package struct Step: Hashable, Sendable {
        /// From the beginning of a lap.
        package var at: Interval
        package var rate: Rate
        package init(at: Interval, rate: Rate) { (self.at, self.rate) = (at, rate) }
    }

    /// In order of time, the first at 0.
    package let steps: [Step]
    /// The series starts again after this long; nil holds the last rate for ever.
    package let period: Interval?

    package static let maximumSteps = 1 << 22

    /// Nil unless the times begin at 0, increase, and end before `period`.
    package init?(steps: [Step], period: Interval? = nil) {
        guard let first = steps.first, let last = steps.last, first.at == .zero, steps.count <= Self.maximumSteps else { return nil }
        for (a, b) in zip(steps, steps.dropFirst()) where a.at >= b.at { return nil }
        if let period, period <= last.at { return nil }
        (self.steps, self.period) = (steps, period)
    }

    /// Reads lines of seconds and Mbit/s, separated by a comma, tab or blanks; a first line without numbers is a
    /// heading. Each rate holds until the next line's time, the last for as long as the one before; then it starts again.
    package init(secondsAndMegabits text: [UInt8]) throws(RateSeriesError) {
        var steps: [Step] = []
        var origin = Interval.zero
        for (index, line) in text.split(separator: 0x0A, omittingEmptySubsequences: false).enumerated() {
            let fields = line.split { $0 == 0x2C || $0 == 0x09 || $0 == 0x20 || $0 == 0x0D || $0 == 0x3B }
            if fields.isEmpty { continue }
            guard fields.count >= 2, let time = Self.number(fields[0]), let rate = Self.number(fields[1]),
                let nanoseconds = time.scaled(by: 1_000_000_000), let bits = rate.scaled(by: 1_000_000)
            else {
                if steps.isEmpty, index == 0 { continue }
                throw RateSeriesError(line: index + 1, text: "expected seconds and Mbit/s")
            }
            let at = Interval(nanoseconds: nanoseconds)
            if steps.isEmpty { origin = at }
            if let last = steps.last, at - origin <= last.at { throw RateSeriesError(line: index + 1, text: "time does not increase") }
            guard steps.count < Self.maximumSteps else { throw RateSeriesError(line: index + 1, text: "too many lines") }
            steps.append(Step(at: at - origin, rate: Rate(bitsPerSecond: bits)))
        }
        guard let last = steps.last else { throw RateSeriesError(line: nil, text: "no line with seconds and Mbit/s") }
        let length = steps.count > 1 ? last.at - steps[steps.count - 2].at : .seconds(1)
        guard let series = RateSeries(steps: steps, period: last.at + length) else {
            throw RateSeriesError(line: nil, text: "the times do not increase")
        }
        self = series
    }

    static func number(_ bytes: ArraySlice<UInt8>) -> DecimalText? {
        // More than nine decimals say nothing that counts.
        let text = String(decoding: bytes, as: UTF8.self)
        let kept = text.firstIndex(of: ".").map { text.prefix(upTo: text.index($0, offsetBy: 10, limitedBy: text.endIndex) ?? text.endIndex) } ?? text[...]
        guard let (number, unit) = DecimalText.split(kept), unit.isEmpty else { return nil }
        return number
    }

    package var meanRate: Rate {
        guard let period else { return steps.last?.rate ?? Rate(bitsPerSecond: 0) }
        var total: Int128 = 0
        for (index, step) in steps.enumerated() {
            let end = index + 1 < steps.count ? steps[index + 1].at : period
            total += Int128(step.rate.bitsPerSecond) * Int128((end - step.at).nanoseconds)
        }
        return Rate(bitsPerSecond: Int64(clamping: total / Int128(max(1, period.nanoseconds))))
    }

    /// The rate at `time` and when it next changes.
    func rate(at time: Int64) -> (bitsPerSecond: Int64, until: Int64) {
        var lap: Int64 = 0
        if let period { lap = time / period.nanoseconds * period.nanoseconds }
        let offset = time - lap
        var low = 0
        var high = steps.count
        while high - low > 1 {
            let middle = (low + high) / 2
            if steps[middle].at.nanoseconds <= offset { low = middle } else { high = middle }
        }
        let end = low + 1 < steps.count ? saturatingSum(lap, steps[low + 1].at.nanoseconds) : period.map { saturatingSum(lap, $0.nanoseconds) } ?? .max
        return (steps[low].rate.bitsPerSecond, end)
    }
}

package struct RateSeriesError: Error, Hashable, Sendable, CustomStringConvertible {
    package var line: Int?
    package var text: String

    package init(line: Int?, text: String) { (self.line, self.text) = (line, text) }

    package var description: String { line.map { "line \($0): \(text)" } ?? text }
}
