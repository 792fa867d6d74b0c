import MastCapture
import MastTimebase

/// How fast one direction of the link drains.
struct CapacityEstimate: Sendable {
    var capacity: Rate
    var isLowerBound: Bool
    /// One rate all along; otherwise `bins` tell how it changed.
    var isConstant: Bool
    var isAssumed = false
    var basis: String
    /// Bytes in each `LinkFit.step`.
    var bins: [Int]
    /// Per step, whether packets waited all through it; nil where that is not seen.
    private(set) var waited: [Bool?]

    /// Packets whose spacing is looked at together.
    private static let runs = [1, 2, 4, 12, 24]
    /// Spacing rates within this of each other (in thousandths) are one rate.
    private static let tolerance: Int64 = 40
    /// How near (in thousandths) runs of different lengths must come to each other.
    private static let agreement = 25
    private static let leisurely: Int64 = 2_000_000

    init(_ curve: DeliveryCurve, _ view: FitView, _ queue: QueueDelay) {
        bins = curve.bins(LinkFit.step, length: view.length)
        isConstant = false
        // Acknowledgements that leap over a filled hole tell of bytes that came before, and so do those that waited behind data.
        let width = curve.source != .acknowledgements ? 5 : view.isBulkBothWays ? 100 : 20
        var sustained = Self.sustainedPeak(bins, width: width, skipping: curve.source == .acknowledgements ? Self.leaps(bins, width) : [])
        if curve.source == .acknowledgements, let made = Self.binsAsMade(curve, view, count: bins.count) {
            sustained = min(sustained, Self.sustainedPeak(made, width: width, skipping: Self.leaps(made, width)))
        }
        let standing = QueueDelay.standing(at: Rate(bitsPerSecond: sustained))
        waited = queue.smallest(step: LinkFit.step, count: bins.count).map { wait in wait.map { $0 >= standing } }
        guard sustained > 0 else {
            capacity = LinkFit.assumedFloor
            isLowerBound = true
            isAssumed = true
            basis = "unknown: no traffic in this direction"
            return
        }
        let peak = Rate(bitsPerSecond: sustained)
        switch curve.source {
        case .arrivals, .acknowledgements, .unplaced:
            let how = curve.source == .acknowledgements ? "spacing of acknowledged bytes" : "arrival spacing"
            // Of transfers both ways one's acknowledgements share a queue with the other's data, and are dropped from it as chance has it.
            let isShared = curve.source == .acknowledgements && (view.isBulkBothWays || Self.waitedThemselves(curve, view))
            if !isShared, let line = Self.lineRate(curve, bins), !Self.isOpenLoop(curve, view, bins, line.rate), Self.isFilled(line.rate, curve, view, bins, waited) {
                (capacity, isLowerBound, isConstant) = (line.rate, false, true)
                basis = "\(how) at line rate (\(line.percent) % agree within 4 %, over runs of every length)"
            } else if curve.source != .unplaced, !isShared, let busy = Self.busyMedian(bins, curve, view, waited, peak) {
                (capacity, isLowerBound) = (busy, false)
                basis = "throughput in 100 ms steps of a transfer that kept the link busy"
            } else if curve.source == .unplaced {
                (capacity, isLowerBound, isAssumed) = (peak, true, true)
                basis = "unknown: on which side of the link packets were seen is not known"
            } else {
                (capacity, isLowerBound) = (peak, true)
                basis = "highest throughput over \(width / 10 > 0 ? "\(width / 10) s" : "half a second"); the sender was the limit"
            }
            if curve.source == .unplaced, !isAssumed { basis += " (on which side of the link it was seen is not known)" }
        case .offered:
            // A queue takes what the link does not carry, and drops it unseen.
            (capacity, isLowerBound, isAssumed) = (peak, true, true)
            basis = "unknown: what was sent was seen before the link, and what came out of it was not"        }
    }

    /// Share of the window's capacity that was used.
    var utilisation: Double {
        // Where the rate varies it is the wait that tells.
        let known = waited.compactMap { $0 }
        if !isConstant, known.count >= 20, known.count * 2 >= bins.count { return Double(known.count { $0 }) / Double(known.count) }
        let possible = Double(capacity.bitsPerSecond) * 0.1 * Double(max(1, bins.count))
        return possible > 0 ? Double(bins.reduce(0, +)) * 8 / possible : 0
    }

    /// What a packet takes to send. Zero where the rate varies or is not known: nothing shows what it was when the packet went.
    func serialisation(_ bytes: Int64) -> Interval {
        isLowerBound || isAssumed || !isConstant || bytes == 0 ? .zero : capacity.time(forBytes: bytes)
    }

    /// Whether acknowledgements waited on their own way, as their timestamps tell: then their pace is that way's.
    private static func waitedThemselves(_ curve: DeliveryCurve, _ view: FitView) -> Bool {
        guard let late = curve.lateness(view), let usual = Quantile.of(late, 0.5) else { return false }
        return usual >= longestOwnWait
    }

    /// A radio's grants delay an acknowledgement by less.
    private static let longestOwnWait = Interval.milliseconds(25)

    /// Whether packets that came at an even pace had been sent at that pace: by their timestamps they did not wait for each other.
    private static func isSentAtThatPace(_ curve: DeliveryCurve, _ view: FitView) -> Bool {
        guard curve.source == .arrivals, curve.isMostlyTCP, let late = curve.lateness(view), let usual = Quantile.of(late, 0.5) else { return false }
        return usual < shortestWait
    }

    /// Of a queue: timestamps count in milliseconds.
    private static let shortestWait = Interval.milliseconds(3)

    /// Whether the rate at which packets followed each other is the link's rather than a pace that their sender kept: they waited for it
    /// where waiting is seen.
    private static func isFilled(_ rate: Rate, _ curve: DeliveryCurve, _ view: FitView, _ bins: [Int], _ waited: [Bool?]) -> Bool {
        guard !isSentAtThatPace(curve, view) else { return false }
        let seen = bins.indices.filter { waited[$0] != nil && bins[$0] > 0 }
        guard seen.count >= fewestSteps else {
            if curve.hasTrains(at: rate) { return true }
            return !curve.isMostlyTCP && isRefusedAgainAndAgain(curve, view)
        }
        let full = seen.filter { waited[$0] == true }
        // Packets waited while less passed: whatever recurs in the spacing is not the link's rate.
        if full.count >= fewestSteps, let usual = Quantile.of(full.map { bins[$0] }, 0.5), Int64(clamping: usual) * 80 * 5 < rate.bitsPerSecond * 4 { return false }
        let near = seen.filter { (Int64(clamping: bins[$0]) * 80 - rate.bitsPerSecond).magnitude * 10 <= rate.bitsPerSecond.magnitude }
        let filled = near.count { waited[$0] == true }
        // A rate that changes has a step of each.
        return filled >= fewestFull && filled * 2 >= near.count && filled * 5 >= full.count * 3
    }

    /// Of the steps in which packets waited, and of those between them in which so few passed that nothing tells; not of stops, nor of
    /// the steps in which one begins and ends.
    private static func mean(_ bins: [Int], _ waited: [Bool?], from first: Int, to last: Int) -> Rate? {
        var isIn = (first...last).map { waited[$0] == true }
        var index = 0
        while index < isIn.count {
            guard waited[first + index] == nil else { index += 1; continue }
            let from = index
            while index < isIn.count, waited[first + index] == nil { index += 1 }
            guard index - from <= mostUntold, from > 0, index < isIn.count, waited[first + from - 1] == true, waited[first + index] == true else { continue }
            for place in from..<index { isIn[place] = true }
        }
        index = 0
        var stopped = 0
        // Where many packets pass in a step, one without any is a stop.
        let usual = Quantile.of((first...last).map { bins[$0] }, 0.5) ?? 0
        let shortest = usual >= 10 * 1_500 ? 1 : 2
        while index < isIn.count {
            guard bins[first + index] == 0 else { index += 1; continue }
            let from = index
            while index < isIn.count, bins[first + index] == 0 { index += 1 }
            guard index - from >= shortest else { continue }
            for place in max(0, from - 1)..<min(isIn.count, index + 1) {
                isIn[place] = false
                stopped += 1
            }
        }
        var (bytes, steps) = (0, 0)
        for place in isIn.indices where isIn[place] { (bytes, steps) = (bytes + bins[first + place], steps + 1) }
        // What nothing tells of may have been slower than the rest.
        guard (isIn.count - steps - stopped) * 5 <= isIn.count else { return nil }
        return steps >= fewestSteps && bytes > 0 ? Rate(bitsPerSecond: Int64(clamping: bytes) * 80 / Int64(steps)) : nil
    }

    /// Steps in a row without a round trip that ends in them.
    private static let mostUntold = 10

    private static let fewestSteps = 10
    private static let fewestFull = 5

    /// Last steps of windows into which acknowledgements fall that tell of what came long before: after steps without any.
    private static func leaps(_ bins: [Int], _ width: Int) -> Set<Int> {  // lookup only
        var leaps = Set<Int>() // lookup only
        for index in bins.indices.dropFirst(2) where bins[index] > 0 && bins[index - 1] == 0 && bins[index - 2] == 0 {
            leaps.formUnion(index..<min(bins.count, index + width))
        }
        return leaps
    }

    /// Bits per second in the fullest `width` steps in a row, or in all of a shorter window.
    private static func sustainedPeak(_ bins: [Int], width steps: Int, skipping leaps: Set<Int>) -> Int64 { // lookup only
        let width = min(steps, bins.count)
        guard width > 0 else { return 0 }
        var sum = bins[..<width].reduce(0, +)
        // As much passed at some time.
        var best = leaps.isEmpty ? sum : bins.reduce(0, +) * width / bins.count
        for index in width..<max(width, bins.count) {
            sum += bins[index] - bins[index - width]
            if !leaps.contains(index) { best = max(best, sum) }
        }
        return Int64(clamping: best) * 80 / Int64(width)
    }

    /// Bytes in each step by when their acknowledgements were made, as their timestamps tell: in a queue of their own they wait, and
    /// come together. nil where they carry none.
    private static func binsAsMade(_ curve: DeliveryCurve, _ view: FitView, count: Int) -> [Int]? {
        guard let late = curve.lateness(view) else { return nil }
        var bins = Array(repeating: 0, count: count)
        for (point, late) in zip(curve.points, late) {
            bins[min(count - 1, Int(max(0, (point.time - late).nanoseconds) / LinkFit.step.nanoseconds))] += point.bytes
        }
        return bins
    }

    /// The rate at which packets leave a standing queue shows as a spacing that recurs, the same over runs of
    /// every length. (A radio link's ticks make short runs agree, but not with longer ones.)
    private static func lineRate(_ curve: DeliveryCurve, _ bins: [Int]) -> (rate: Rate, percent: Int)? {
        guard let typical = Quantile.of(curve.points.map(\.bytes), 0.9), typical >= 500 else { return nil }
        let clusters = runs.compactMap { cluster(curve.points, run: $0, typical: typical) }
        guard let best = clusters.max(by: { $0.percent < $1.percent }), best.percent >= 25 else { return nil }
        let agreeing = clusters.filter {
            ($0.rate - best.rate).magnitude * 1000 <= best.rate.magnitude * UInt64(agreement)
        }
        guard agreeing.count >= runs.count - 1 else { return nil }
        // Bursts that another link spread out agree as well, but fill no step.
        guard let fullest = bins.max(), Int64(clamping: fullest) * 80 * 4 >= best.rate * 3 else { return nil }
        // A lone datagram flow at a leisurely pace is an application's clock rather than a link's.
        let tcp = curve.isMostlyTCP
        if !tcp, best.rate < leisurely { return nil }
        return (Rate(bitsPerSecond: best.rate), best.percent)
    }

    /// A sender that nobody answers keeps a pace of its own: even and without a loss, that pace is all that is seen.
    private static func isOpenLoop(_ curve: DeliveryCurve, _ view: FitView, _ bins: [Int], _ rate: Rate) -> Bool {
        guard !curve.isMostlyTCP, !isAnswered(curve, view) else { return false }
        let busy = bins.filter { $0 > 0 }
        let even = busy.filter { (Int64($0) * 80 - rate.bitsPerSecond).magnitude * 20 <= rate.bitsPerSecond.magnitude }
        guard even.count * 10 >= busy.count * 8 else { return false }
        return !isRefusedAgainAndAgain(curve, view)
    }

    private static func isAnswered(_ curve: DeliveryCurve, _ view: FitView) -> Bool {
        var packets = (there: 0, back: 0)
        for number in view.weightyFlows {
            packets.there += view.packets(of: number, curve.direction)
            packets.back += view.packets(of: number, curve.direction.other)
        }
        return packets.back * 50 >= packets.there
    }

    /// By the numbering of datagrams: an outage takes many at once; a full queue drops again and again, and goes on at its pace where the
    /// air leaves a hole in the sender's.
    private static func isRefusedAgainAndAgain(_ curve: DeliveryCurve, _ view: FitView) -> Bool {
        guard let numbered = view.missingDatagrams(curve.direction, excluding: { _ in false }) else { return false }
        return numbered.bursts * 200 >= numbered.seen && !view.leavesHoles(curve.direction)
    }

    /// The fullest group of runs whose rates lie within `tolerance` of each other.
    private static func cluster(
        _ points: [DeliveryCurve.Point], run: Int, typical: Int
    ) -> (rate: Int64, percent: Int)? {
        guard points.count > run + 40 else { return nil }
        var rates: [Int64] = []
        var bytes = points[1...run].reduce(0) { $0 + $1.bytes }
        for index in run..<points.count {
            if index > run { bytes += points[index].bytes - points[index - run].bytes }
            let span = points[index].time - points[index - run].time
            // Runs of small packets, and runs with a pause in them, are the sender's doing.
            if span > .zero, span < .milliseconds(500), bytes * 10 >= typical * run * 6 {
                rates.append(min(Rate(bytes: Int64(bytes), in: span).bitsPerSecond, DeliveryCurve.fastest))
            }
        }
        guard rates.count >= 40 else { return nil }
        rates.sort()
        var best = (from: 0, count: 0)
        var high = 0
        for low in rates.indices {
            while high < rates.count, rates[high] <= rates[low] + rates[low] * tolerance / 1000 { high += 1 }
            if high - low > best.count { best = (low, high - low) }
        }
        return (rates[best.from + best.count / 2], best.count * 100 / rates.count)
    }

    /// What passed while packets waited, of a bulk transfer that left no pause: most packets full, most steps busy. nil where
    /// the sender may have been the limit.
    private static func busyMedian(_ bins: [Int], _ curve: DeliveryCurve, _ view: FitView, _ waited: [Bool?], _ peak: Rate) -> Rate? {
        guard bins.count >= 20, curve.points.count >= 200, !pauses(curve, view) else { return nil }
        let threshold = peak.bitsPerSecond / 80 / 20
        let busy = bins.indices.filter { Int64(bins[$0]) > threshold }
        guard busy.count * 10 >= bins.count * 7, curve.points.count(where: { $0.bytes >= 1_200 }) * 10 >= curve.points.count * 7 else { return nil }
        let seen = busy.filter { waited[$0] != nil }
        if seen.count >= fewestSteps {
            // Losses and windows hold a sender back, and leave the queue empty. Of transfers both ways it is not known whose queue it was.
            let full = seen.filter { waited[$0] == true }
            guard !view.isBulkBothWays, full.count * 100 >= seen.count * 85 else { return nil }
            return mean(bins, waited, from: full[0], to: full[full.count - 1])
        }
        // Without waits nothing tells a full link from a sender that losses held back, but for datagrams that are counted.
        guard !curve.isMostlyTCP, !view.isMostlyQUIC(curve.direction), isAnswered(curve, view) || isRefusedAgainAndAgain(curve, view) else { return nil }
        // A pace the application chose is even; a radio link's is not.
        let sorted = bins.sorted()
        guard sorted[bins.count * 9 / 10] * 10 >= sorted[bins.count / 2] * 13 else { return nil }
        return Quantile.of(busy.map { bins[$0] }, 0.5).map { Rate(bitsPerSecond: Int64(clamping: $0) * 80) }
    }

    /// Whether a TCP sender left the link idle again and again: what ended a silence had not waited for it, by its own timestamp.
    private static func pauses(_ curve: DeliveryCurve, _ view: FitView) -> Bool {
        guard curve.source == .arrivals, curve.isMostlyTCP, let late = curve.lateness(view) else { return false }
        var (count, whole) = (0, Interval.zero)
        for index in curve.points.indices.dropFirst() {
            let silence = curve.points[index].time - curve.points[index - 1].time
            if silence >= shortestPause, late[index] * 4 <= silence { (count, whole) = (count + 1, whole + silence) }
        }
        return count >= fewestSteps && whole * 10 >= view.length
    }

    private static let shortestPause = Interval.milliseconds(50)

    /// Capacity in each step: never zero, and no less than what passed.
    func rates(outages: [LinkFit.Outage]) -> [Rate] {
        if isConstant || isLowerBound {
            return Array(repeating: max(LinkFit.smallestRate, capacity), count: max(1, bins.count))
        }
        let floor = LinkFit.smallestRate
        var last = max(floor, capacity)
        return bins.indices.map { index in
            let from = LinkFit.step * Int64(index)
            // Inside an outage nothing shows what the link could do: the level before it goes on.
            if outages.contains(where: { $0.kind != .senderIdle && $0.start < from + LinkFit.step && from < $0.start + $0.length }) {
                return last
            }
            let observed = Rate(bitsPerSecond: Int64(bins[index]) * 80)
            // A queue that ran empty tells only what the link does at least.
            last = waited[index] == false ? max(last, observed) : max(floor, observed)
            return last
        }
    }
}
