import Histogram
import MastTimebase

/// A run in equal pieces of time. Calls belong where they were meant to begin, answers where they came.
package struct LoadSlices: Sendable {
    package struct Slice: Sendable {
        /// Calls that were due in it; of these, how many failed, and how many began late for the generator's own reasons.
        package var due = 0, failed = 0, lateByGenerator = 0
        /// Calls that ended in it.
        package var ended = 0
        package var largest = Interval.zero
        /// Of the calls that were due in it and succeeded, in microseconds.
        var latencies: Histogram<UInt32>?

        package var p50: Double? { percentile(50) }
        package var p99: Double? { percentile(99) }
        private func percentile(_ percent: Double) -> Double? {
            guard let latencies, latencies.totalCount > 0 else { return nil }
            return min(Double(latencies.valueAtPercentile(percent)) / 1e3, largest.inMilliseconds)
        }

        mutating func add(_ latency: Interval) {
            largest = max(largest, latency)
            let microseconds = UInt64(max(1, latency.microseconds))
            if latencies == nil { latencies = Histogram(highestTrackableValue: LoadSlices.most, numberOfSignificantValueDigits: .two) }
            latencies?.record(min(microseconds, LoadSlices.most))
        }

        mutating func merge(_ other: Slice) {
            (due, failed, lateByGenerator, ended) = (due + other.due, failed + other.failed, lateByGenerator + other.lateByGenerator, ended + other.ended)
            largest = max(largest, other.largest)
            guard let more = other.latencies else { return }
            if latencies == nil { latencies = more } else { latencies?.add(more) }
        }
    }

    /// As many as a page can show, and what their histograms may take: 13 KB each.
    package static let mostSlices = 120
    private static let most: UInt64 = 3_600_000_000

    package private(set) var length: Interval
    /// Of steps: what is beyond belongs to the last. Else slices are joined in pairs when there are too many.
    private let isFixed: Bool
    package private(set) var slices: [Slice] = []

    package init(length: Interval, isFixed: Bool = false) { (self.length, self.isFixed) = (max(length, .milliseconds(1)), isFixed) }

    package mutating func add(_ result: CallResult, countsFailures: Bool = false) {
        let place = place(of: result.intended)
        slices[place].due += 1
        if result.delay == .generator { slices[place].lateByGenerator += 1 }
        var isOK = false
        if case .ok = result.ending { isOK = true } else { slices[place].failed += 1 }
        if isOK || countsFailures { slices[place].add(result.latency) }
        // Asking for this one may join slices.
        if case .notSent = result.ending { return }
        slices[self.place(of: result.done)].ended += 1
    }

    /// Makes it, if it is not there yet.
    private mutating func place(of moment: Interval) -> Int {
        var index = max(0, moment.nanoseconds) / length.nanoseconds
        if isFixed { index = min(index, Int64(Self.mostSlices - 1)) }
        while index >= Self.mostSlices {
            slices = stride(from: 0, to: slices.count, by: 2).map { first in
                var joined = slices[first]
                if first + 1 < slices.count { joined.merge(slices[first + 1]) }
                return joined
            }
            length = length * 2
            index = max(0, moment.nanoseconds) / length.nanoseconds
        }
        while slices.count <= Int(index) { slices.append(Slice()) }
        return Int(index)
    }
}
