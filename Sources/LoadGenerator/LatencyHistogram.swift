import Histogram
import MastTimebase

/// Latencies in an HdrHistogram of three digits, with the exact least, most and sum beside it.
package struct LatencyHistogram: Sendable {
    /// Nanoseconds: an hour, which is more than any call may take. What is beyond counts as that.
    package static let most: UInt64 = 3_600_000_000_000
    private var histogram = Histogram<UInt64>(highestTrackableValue: LatencyHistogram.most, numberOfSignificantValueDigits: .three)
    private var sum: Int128 = 0
    private var squares = 0.0
    package private(set) var least = Interval.max
    package private(set) var largest = Interval.zero

    package init() {}

    package mutating func add(_ latency: Interval) {
        let nanoseconds = UInt64(max(1, latency.nanoseconds))
        histogram.record(min(nanoseconds, Self.most))
        sum += Int128(nanoseconds)
        squares += latency.inMilliseconds * latency.inMilliseconds
        least = min(least, latency)
        largest = max(largest, latency)
    }

    package var count: Int { Int(clamping: histogram.totalCount) }
    /// Milliseconds, as all below.
    package var mean: Double { count == 0 ? 0 : Double(sum) / Double(count) / 1e6 }
    package var deviation: Double { count == 0 ? 0 : max(0, squares / Double(count) - mean * mean).squareRoot() }

    /// What `percent` of the latencies do not exceed; nil of none.
    package func percentile(_ percent: Double) -> Double? {
        guard count > 0 else { return nil }
        return percent >= 100 ? largest.inMilliseconds : min(Double(histogram.valueAtPercentile(percent)) / 1e6, largest.inMilliseconds)
    }

    /// `marks` equal steps from the least to the largest: up to where, and how many from the mark before on.
    package func bars(_ marks: Int) -> [(mark: Double, count: Int)] {
        guard count > 0, marks > 0 else { return [] }
        let (low, high) = (least.inMilliseconds, largest.inMilliseconds)
        guard high > low else { return [(low, count)] }
        var bars = (0...marks).map { (mark: low + (high - low) * Double($0) / Double(marks), count: 0) }
        for bucket in histogram.recordedValues() {
            let value = min(max(Double(histogram.lowestEquivalentForValue(bucket.value)) / 1e6, low), high)
            let index = Int(((value - low) / (high - low) * Double(marks)).rounded(.up).clamped(to: 0...Double(marks)))
            bars[index].count += Int(clamping: bucket.count)
        }
        return bars
    }

    /// Five percentiles for each halving of what is left, as plots of percentiles want them.
    package var curve: [(percent: Double, latency: Double, countBelow: Int)] {
        histogram.percentiles(ticksPerHalfDistance: 5).map {
            ($0.percentileLevelIteratedTo, min(Double($0.value) / 1e6, largest.inMilliseconds), Int(clamping: $0.totalCountToThisValue))
        }
    }

    /// The text of HdrHistogram's percentile distribution in milliseconds (`.hgrm`), as its plotters read it.
    package var hgrm: String {
        func column(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
        func fixed(_ value: Double, _ digits: Int, _ width: Int) -> String { column(DecimalFigure.text(value, digits), width) }
        var text = column("Value", 12) + " " + column("Percentile", 14) + " " + column("TotalCount", 10) + " " + column("1/(1-Percentile)", 14) + "\n\n"
        for point in curve {
            let share = point.percent / 100
            text += fixed(point.latency, 3, 12) + " " + fixed(share, 12, 14) + " " + column("\(point.countBelow)", 10)
            // The last one's has no end.
            text += share < 1 ? " " + fixed(1 / (1 - share), 2, 14) + "\n" : "\n"
        }
        text += "#[Mean    = \(fixed(mean, 3, 12)), StdDeviation   = \(fixed(deviation, 3, 12))]\n"
        text += "#[Max     = \(fixed(largest.inMilliseconds, 3, 12)), Total count    = \(column("\(count)", 12))]\n"
        text += "#[Buckets = \(column("32", 12)), SubBuckets     = \(column("2048", 12))]\n"
        return text
    }
}

/// Decimals beyond what `TextLayout` writes.
enum DecimalFigure {
    static func text(_ value: Double, _ digits: Int) -> String {
        guard value.isFinite, value.magnitude < 1e15, digits > 0, digits <= 12 else { return "0" }
        var scale: Int64 = 1
        for _ in 0..<digits { scale *= 10 }
        var whole = Int64(value.magnitude.rounded(.down))
        var rest = Int64(((value.magnitude - Double(whole)) * Double(scale)).rounded())
        if rest >= scale { (whole, rest) = (whole + 1, 0) }
        let fraction = String(rest)
        let sign = value < 0 && (whole > 0 || rest > 0) ? "-" : ""
        return sign + String(whole) + "." + String(repeating: "0", count: digits - fraction.count) + fraction
    }
}
