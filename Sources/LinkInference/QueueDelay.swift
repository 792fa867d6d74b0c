import MastCapture
import MastTimebase

/// How long packets waited in the link's queues: each round trip from the capture point to the far end and back, less
/// the smallest one of its flow.
struct QueueDelay: Sendable {
    struct Sample: Sendable {
        /// When the round trip ended, since the window's start.
        var time: Interval
        var wait: Interval
    }

    /// In order of time.
    let samples: [Sample]

    /// Empty where the capture was made inside the path: either half of it may have the queue then.
    init(_ view: FitView, vantage: LinkFit.Vantage) {
        guard vantage == .client || vantage == .server else {
            samples = []
            return
        }
        let away: FlowDirection = vantage == .client ? .up : .down
        if view.isMostlyQUIC(away.other) || view.isMostlyQUIC(away) {
            let turns = view.spinTurns()
            guard let least = view.spinRTT(vantage, of: turns) else {
                samples = []
                return
            }
            samples = (vantage == .client ? turns.toServer : turns.toClient).filter { $0.flow == least.flow }.map { Sample(time: $0.time - view.start, wait: max(.zero, $0.rtt - least.rtt)) }
            return
        }
        var smallest = Array(repeating: Interval?.none, count: view.flows.count)
        let all = view.roundTrips.filter { $0.dataDirection == away }
        let timed = all.filter { !$0.isByTimestamp }
        // A receiver's capture holds little data to time.
        let trips = timed.count >= Self.fewestSamples ? timed : all
        for trip in trips { smallest[Int(trip.flow)] = min(smallest[Int(trip.flow)] ?? trip.rtt, trip.rtt) }
        samples = trips
            .map { trip in
                let least = smallest[Int(trip.flow)] ?? trip.rtt
                return Sample(time: trip.time - view.start, wait: trip.rtt - least)
            }
            .sorted { $0.time < $1.time }
    }

    /// The wait in a queue that stands, at a link of at most `rate`: more than two packets sent together, which one
    /// acknowledgement answers, make each other wait.
    static func standing(at rate: Rate) -> Interval {
        .milliseconds(3) + min(rate.bitsPerSecond > 0 ? rate.time(forBytes: 3_000) : .zero, .milliseconds(100))
    }
    static let fewestSamples = 20

    /// The median wait; nil where too few were seen to tell.
    var median: Interval? { samples.count >= Self.fewestSamples ? Quantile.of(samples.map(\.wait), 0.5) : nil }

    /// The last one seen up to `time`, if that was not long before.
    func wait(before time: Interval) -> Interval? {
        var (low, high) = (0, samples.count)
        while low < high {
            let middle = (low + high) / 2
            if samples[middle].time <= time { low = middle + 1 } else { high = middle }
        }
        guard low > 0, time - samples[low - 1].time <= .milliseconds(500) else { return nil }
        return samples[low - 1].wait
    }

    /// The longest within a second; zero where none was seen.
    func longestWait(around time: Interval) -> Interval {
        samples.lazy.filter { ($0.time - time).magnitude <= .seconds(1) }.map(\.wait).max() ?? .zero
    }

    /// By how much it grew between the last two round trips that ended by `time`, and so may have grown since; nil where they are long ago.
    func change(before time: Interval) -> Interval? {
        let known = samples.prefix { $0.time <= time }.suffix(2)
        guard let last = known.last, let first = known.first, known.count == 2, time - last.time <= .milliseconds(500) else { return nil }
        return max(.zero, last.wait - first.wait)
    }

    /// The smallest wait seen in each of `count` steps; nil for a step without one.
    func smallest(step: Interval, count: Int) -> [Interval?] {
        var steps = Array(repeating: Interval?.none, count: count)
        for sample in samples where sample.time >= .zero {
            let index = Int(sample.time.nanoseconds / step.nanoseconds)
            if index < count { steps[index] = min(steps[index] ?? sample.wait, sample.wait) }
        }
        return steps
    }

    /// What stood in the queue at its fullest: what came out of it while a packet waited.
    ///
    /// - Parameter curve: of the direction that has the queue.
    func bytesAtFullest(_ curve: DeliveryCurve) -> Int? {
        let points = curve.points
        guard samples.count >= Self.fewestSamples, !points.isEmpty else { return nil }
        var levels: [Int] = []
        levels.reserveCapacity(samples.count)
        // Bytes delivered before a point.
        var before = [0]
        before.reserveCapacity(points.count + 1)
        for point in points { before.append(before[before.count - 1] + point.bytes) }
        func delivered(until time: Interval) -> Int {
            var (low, high) = (0, points.count)
            while low < high {
                let middle = (low + high) / 2
                if points[middle].time <= time { low = middle + 1 } else { high = middle }
            }
            return before[low]
        }
        for sample in samples { levels.append(delivered(until: sample.time) - delivered(until: sample.time - sample.wait)) }
        // Acknowledgements leap when a hole is filled: so few of them tell too much.
        return Quantile.of(levels, curve.source == .acknowledgements ? 0.95 : 0.995)
    }
}
