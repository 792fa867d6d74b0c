import MastCapture
import MastTimebase

/// How well the fitted link explains one direction: what left the link in steps of 100 ms against what the fitted link lets
/// through of what entered it, as the largest difference of the two distributions (Kolmogorov and Smirnov) and at the 5 %,
/// 50 % and 95 % quantiles. Where the capture does not show both, nothing is compared.
package struct FitGoodness: Sendable, Hashable, CustomStringConvertible {
    /// What a capture shows of what entered a direction and of what left it, in IP bytes in each `LinkFit.step` of the window.
    package enum Evidence: Sendable, Hashable {
        /// Why there is none.
        case nothing(String)
        /// What left, in steps all through which packets waited: there the link's own rate shows. nil in others.
        case full([Int64?])
        case crossing(entered: [Int64], left: [Int64])
    }

    /// 0...1; nil where nothing can be compared.
    package var distance: Double?
    /// Recorded and fitted Mbit/s.
    package var recorded: [Double] = []
    package var fitted: [Double] = []
    /// Why nothing is compared.
    package var reason: String?

    package static let shares = [0.05, 0.5, 0.95]
    private static let fewestSteps = 10

    package init(_ fit: LinkFit, _ direction: FlowDirection) {
        let rates = fit[direction].assumedRates
        let stops = fit.outages.filter { $0.kind != .senderIdle && $0.concerns(direction) }
        /// What passes in a step.
        func room(_ index: Int) -> Int64 {
            let from = LinkFit.step * Int64(index)
            let stopped = stops.reduce(Interval.zero) { sum, outage in
                sum + max(.zero, min(outage.start + outage.length, from + LinkFit.step) - max(outage.start, from))
            }
            return rates[index % rates.count].bytes(in: max(.zero, LinkFit.step - stopped))
        }
        var (left, through): ([Int64], [Int64]) = ([], [])
        switch fit[direction].evidence {
        case .nothing(let why): reason = why
        case .full(let bins):
            for (index, bytes) in bins.enumerated() {
                guard let bytes else { continue }
                left.append(bytes)
                through.append(room(index))
            }
        case .crossing(let entered, let out):
            left = out
            var queued: Int64 = 0
            for (index, bytes) in entered.prefix(out.count).enumerated() {
                queued += bytes
                let passes = min(queued, room(index))
                queued = min(queued - passes, Int64(fit[direction].queueBytes))
                through.append(passes)
            }
        }
        guard reason == nil else { return }
        guard left.count >= Self.fewestSteps, through.count == left.count else {
            reason = "too short"
            return
        }
        distance = Self.distance(left.sorted(), through.sorted())
        let rate = { (bytes: Int64?) in Double(bytes ?? 0) * 8 / LinkFit.step.inSeconds / 1e6 }
        recorded = Self.shares.map { rate(Quantile.of(left, $0)) }
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
        guard let distance else { return "how well it fits is not known: \(reason ?? "too short")" }
        let row = { (values: [Double]) in values.map { TextLayout.fixed($0, 2) }.joined(separator: "/") }
        return "throughput in 100 ms steps at 5/50/95 %: \(row(recorded)) Mbit/s recorded, \(row(fitted)) by the fitted link; Kolmogorov-Smirnov distance \(TextLayout.fixed(distance, 3))"
    }
}

extension FitGoodness.Evidence {
    init(_ curve: DeliveryCurve, _ capacity: CapacityEstimate, _ view: FitView) {
        if capacity.isAssumed {
            self = .nothing("nothing passed in this direction")
        } else if capacity.isLowerBound {
            self = .nothing("the link was never seen full, so that what passed says only what it carries at least")
        } else if curve.source == .acknowledgements {
            var entered = Array(repeating: Int64(0), count: capacity.bins.count)
            for event in view.events where event.direction == curve.direction {
                let index = Int(max(0, view.time(event).nanoseconds) / LinkFit.step.nanoseconds)
                if index < entered.count { entered[index] += Int64(event.ipBytes) }
            }
            self = .crossing(entered: entered, left: capacity.bins.map(Int64.init))
        } else if !capacity.isConstant {
            self = .nothing("what entered the link is not seen, and the fitted rates are what left it")
        } else {
            let full = capacity.bins.indices.map { capacity.waited[$0] == true ? Int64(capacity.bins[$0]) : nil }
            self = full.contains { $0 != nil } ? .full(full) : .nothing("what entered the link is not seen, nor when it was full")
        }
    }

    /// With what a later part of the capture shows.
    ///
    /// - Parameter offset: in steps, where that begins.
    func joined(_ later: Self, at offset: Int) -> Self {
        func extended<Value>(_ values: [Value], _ more: [Value], _ nothing: Value) -> [Value] {
            values.prefix(offset) + Array(repeating: nothing, count: max(0, offset - values.count)) + more
        }
        switch (self, later) {
        case (.full(let bins), .full(let more)): return .full(extended(bins, more, nil))
        case (.full, .nothing): return self
        case (.nothing, .full(let more)): return .full(extended([], more, nil))
        case (.crossing(let entered, let left), .crossing(let moreIn, let moreOut)):
            return .crossing(entered: extended(entered, moreIn, 0), left: extended(left, moreOut, 0))
        case (.nothing, .nothing): return self
        default: return .nothing("its parts show different things")
        }
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
