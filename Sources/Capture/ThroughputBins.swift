import MastTimebase

/// Bytes per bin of one length, streaming: the fullest bin, and quantiles of the bins in which anything passed.
package struct ThroughputBins: Sendable, Hashable {
    private let length: Interval
    private var bin: Int64?
    private var bytes: Int64 = 0
    private var finished = SampleSketch()

    package init(_ length: Interval) { self.length = length }

    package mutating func add(_ bytes: Int, at time: Instant) {
        let index = time.nanoseconds / max(1, length.nanoseconds)
        if index != bin {
            if bin != nil { finished.add(self.bytes) }
            (bin, self.bytes) = (index, 0)
        }
        self.bytes += Int64(bytes)
    }

    /// Mbit/s.
    package var report: (max: Double, p50: Double, p95: Double)? {
        var all = finished
        if bin != nil { all.add(bytes) }
        guard let largest = all.largest, let p50 = all.quantile(0.5), let p95 = all.quantile(0.95) else { return nil }
        let rate = { (bytes: Int64) in rounded(Double(bytes) * 8 / self.length.inSeconds / 1e6, 6) }
        return (rate(largest), rate(p50), rate(p95))
    }
}
