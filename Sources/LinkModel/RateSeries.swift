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

    /// Reads a table of times and rates, as `RateTable` says. Each rate holds until the next line's time, the last for as
    /// long as the one before; then it starts again.
    ///
    /// - Parameter column: which one is the rate, by its name in the heading or its number from 1, where the table has several.
    package init(table text: [UInt8], column: String? = nil) throws(RateSeriesError) {
        let (steps, _) = try RateTable.steps(text, column: column)
        // Never empty: the table's reader refuses that.
        let last = steps.last?.at ?? .zero
        let length = steps.count > 1 ? last - steps[steps.count - 2].at : .seconds(1)
        guard let series = RateSeries(steps: steps, period: last + length) else {
            throw RateSeriesError(line: nil, text: "the times do not increase")
        }
        self = series
    }

    /// A decimal number, also one such as `1.5e-05`.
    static func number(_ bytes: ArraySlice<UInt8>) -> DecimalText? {
        let text = String(decoding: bytes, as: UTF8.self)
        let parts = text.split(maxSplits: 1, omittingEmptySubsequences: false) { $0 == "e" || $0 == "E" }
        guard let mantissa = parts.first else { return nil }
        // More than nine decimals say nothing that counts.
        let kept = mantissa.firstIndex(of: ".").map { mantissa.prefix(upTo: mantissa.index($0, offsetBy: 10, limitedBy: mantissa.endIndex) ?? mantissa.endIndex) } ?? mantissa
        guard let whole = DecimalText.split(kept), whole.unit.isEmpty else { return nil }
        var number = whole.number
        if parts.count == 2 {
            let sign = parts[1].first
            let digits = sign == "+" || sign == "-" ? parts[1].dropFirst() : parts[1]
            guard (1...2).contains(digits.utf8.count), let size = Int(digits), size <= 18 else { return nil }
            if sign == "-" {
                number.decimals += size
            } else {
                let shift = size - number.decimals
                number.decimals = max(0, -shift)
                for _ in 0..<max(0, shift) {
                    let (product, overflow) = number.digits.multipliedReportingOverflow(by: 10)
                    guard !overflow else { return nil }
                    number.digits = product
                }
            }
        }
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
    /// Where one of them must be chosen; else none.
    package var columns: [String]

    package init(line: Int?, text: String, columns: [String] = []) { (self.line, self.text, self.columns) = (line, text, columns) }

    package var description: String { line.map { "line \($0): \(text)" } ?? text }
}
