import MastCapture
import MastTimebase

/// Bytes per bin of one length, streaming: the fullest bin, and quantiles of the bins in which anything passed.
package struct ThroughputBins: Sendable, Hashable {
    private static let none = Int64.min

    private let milliseconds: Int32
    private var bin = none
    private var bytes: Int64 = 0
    private var finished = SampleSketch()

    /// - Parameter length: in whole milliseconds, from one to an hour.
    package init(_ length: Interval) { milliseconds = Int32(min(max(1, length.milliseconds), 3_600_000)) }

    private var length: Interval { .milliseconds(Int64(milliseconds)) }

    package mutating func add(_ bytes: Int, at time: Instant) {
        let length = Int64(milliseconds) * 1_000_000
        // Dividing takes longer than to see that it is the same one still.
        if bin > 0, time.nanoseconds >= bin &* length, time.nanoseconds - bin &* length < length {
            self.bytes += Int64(bytes)
            return
        }
        let index = time.nanoseconds / length
        if index != bin {
            if bin != Self.none { finished.add(self.bytes) }
            (bin, self.bytes) = (index, 0)
        }
        self.bytes += Int64(bytes)
    }

    /// Mbit/s.
    package var report: (max: Double, p50: Double, p95: Double)? {
        var all = finished
        if bin != Self.none { all.add(bytes) }
        guard let largest = all.largest, let (p50, p95) = all.quantiles(0.5, 0.95) else { return nil }
        let rate = { (bytes: Int64) in rounded(Double(bytes) * 8 / self.length.inSeconds / 1e6, 6) }
        return (rate(largest), rate(p50), rate(p95))
    }
}
