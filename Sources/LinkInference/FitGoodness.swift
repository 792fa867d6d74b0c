import MastCapture
import MastTimebase

/// How well the fitted link explains one direction: the recorded throughput in steps of 100 ms against what the
/// fitted rates let through of the same bytes, as the largest difference of the two distributions (Kolmogorov and
/// Smirnov) and at the 5 %, 50 % and 95 % quantiles.
package struct FitGoodness: Sendable, Hashable, CustomStringConvertible {
    /// 0...1; nil where too little passed.
    package var distance: Double?
    /// Recorded and fitted Mbit/s.
    package var recorded: [Double] = []
    package var fitted: [Double] = []

    package static let shares = [0.05, 0.5, 0.95]
    private static let fewestSteps = 10

    package init(_ fit: LinkFit, _ timeline: Timeline, _ direction: FlowDirection) {
        self.init(fit, direction, bins: Self.bins(timeline.events[fit.window.range], direction, from: fit.window.start, for: fit.window.length))
    }

    /// IP bytes of one direction in each `LinkFit.step`.
    static func bins(
        _ events: ArraySlice<Timeline.Event>, _ direction: FlowDirection, from start: Instant, for length: Interval
    ) -> [Int64] {
        var bins = Array(repeating: Int64(0), count: max(0, Int(length.nanoseconds / LinkFit.step.nanoseconds)))
        for event in events where event.direction == direction {
            let index = Int((event.time - start).nanoseconds / LinkFit.step.nanoseconds)
            if bins.indices.contains(index) { bins[index] += Int64(event.ipBytes) }
        }
        return bins
    }

    /// - Parameter bins: recorded IP bytes in each `LinkFit.step` of the fit's window.
    init(_ fit: LinkFit, _ direction: FlowDirection, bins: [Int64]) {
        guard bins.count >= Self.fewestSteps else { return }
        let rates = fit[direction].assumedRates
        let stops = fit.outages.filter { $0.direction == direction && $0.kind != .senderIdle }
        var queued: Int64 = 0
        var through: [Int64] = []
        for (index, bytes) in bins.enumerated() {
            let rate = rates[index % rates.count]
            let from = LinkFit.step * Int64(index)
            let stopped = stops.reduce(Interval.zero) { sum, outage in
                sum + max(.zero, min(outage.start + outage.length, from + LinkFit.step) - max(outage.start, from))
            }
            queued += bytes
            let passes = min(queued, rate.bytes(in: max(.zero, LinkFit.step - stopped)))
            queued -= passes
            through.append(passes)
        }
        distance = Self.distance(bins.sorted(), through.sorted())
        let rate = { (bytes: Int64?) in Double(bytes ?? 0) * 8 / LinkFit.step.inSeconds / 1e6 }
        recorded = Self.shares.map { rate(Quantile.of(bins, $0)) }
        fitted = Self.shares.map { rate(Quantile.of(through, $0)) }
    }

    /// Between the empirical distributions of two sorted lists of one length.
    private static func distance(_ a: [Int64], _ b: [Int64]) -> Double {
        // Sizes within a packet of each other are the same: a packet falls into one step or the next.
        let packet: Int64 = 1500
        var largest = 0
        for (index, value) in a.enumerated() {
            let below = b.partitionPoint { $0 < value - packet }
            let notAbove = b.partitionPoint { $0 <= value + packet }
            largest = max(largest, below - index, index + 1 - notAbove)
        }
        return Double(max(0, largest)) / Double(max(1, a.count))
    }

    package var description: String {
        guard let distance else { return "too short to tell how well it fits" }
        let row = { (values: [Double]) in values.map { TextLayout.fixed($0, 2) }.joined(separator: "/") }
        return "throughput in 100 ms steps at 5/50/95 %: \(row(recorded)) Mbit/s recorded, \(row(fitted)) through the fitted link; Kolmogorov-Smirnov distance \(TextLayout.fixed(distance, 3))"
    }
}

extension Array where Element == Int64 {
    /// The first position whose element does not satisfy `isBefore`, in a list that is sorted by it.
    fileprivate func partitionPoint(_ isBefore: (Int64) -> Bool) -> Int {
        var low = 0
        var high = count
        while low < high {
            let middle = (low + high) / 2
            if isBefore(self[middle]) { low = middle + 1 } else { high = middle }
        }
        return low
    }
}
