import MastCapture
import MastLinkModel
import MastTimebase

extension LinkPlot {
    /// A stretch in which the link carries nothing, by what is described.
    package struct Outage: Encodable {
        package var startS: Double
        package var endS: Double
        /// `hold`, `drop` or `air`, as scenarios have them.
        package var kind: String
    }

    /// Outages that a plot lists.
    private static let mostOutages = 10_000
    private static let shortestSpan = Interval.seconds(10)
    /// Of what nothing ends by itself.
    private static let longestSpan = Interval.seconds(40 * 86_400)

    /// What one direction is described as: its capacity over one lap, or until the last thing that happens to it, and nothing
    /// of it during an outage.
    package init(_ profile: LinkProfile, name: String, direction: LinkDirection?, seed: UInt64) {
        self.init(name: Self.title(name, direction), direction: direction)
        let span = Self.span(profile)
        durationS = span.inSeconds
        let random = profile.randomOutages.enumerated().flatMap { $0.element.outages(seed: seed, number: $0.offset, instance: 0) }
        let all = (profile.outages + random).filter { $0.start < span && $0.duration > .zero }.sorted { ($0.start, $0.end) < ($1.start, $1.end) }
        outages = all.prefix(Self.mostOutages).map { Outage(startS: $0.start.inSeconds, endS: min($0.end, span).inSeconds, kind: $0.mode.rawValue) }
        // Whole ticks of a trace: else its even opportunities would look uneven.
        let tick = if case .trace(let trace) = profile.service { trace.tick.nanoseconds } else { min(span.nanoseconds, 1_000_000) }
        let ticks = (span.nanoseconds + tick - 1) / tick
        let width = Interval(nanoseconds: max(1, ticks / Int64(Self.bins)) * tick)
        binS = width.inSeconds
        let count = Int((span.nanoseconds + width.nanoseconds - 1) / width.nanoseconds)
        let offer = Offer(profile)
        if let offer {
            let still = Self.merged(all, until: span)
            capacityMbps = (0..<count).map { bin in
                let (from, to) = (width * Int64(bin), min(span, width * Int64(bin + 1)))
                return max(0, offer.bits(from, to) - Self.bits(of: offer, in: still, from, to)) / (to - from).inSeconds / 1e6
            }
            var (stillS, stillBits) = (0.0, 0.0)
            for outage in still {
                stillS += (outage.to - outage.from).inSeconds
                stillBits += offer.bits(outage.from, outage.to)
            }
            summary.meanCapacityMbps = max(0, offer.bits(.zero, span) - stillBits) / span.inSeconds / 1e6
            summary.outageShare = stillS / span.inSeconds
        }
        if case .trace(let trace) = profile.service, profile.changes.isEmpty { summary.gapShare = Self.gapShare(trace) }
        if let series = profile.delaySeries {
            delayMs = (0..<count).map { series.values[Int(width.nanoseconds * Int64($0) / series.step.nanoseconds % Int64(series.values.count))].inMilliseconds + profile.delay.inMilliseconds }
        } else if let trains = profile.trains {
            delayMs = Self.delays(of: trains, width: width, count: count)
        }
        facts = Self.facts(profile)
    }

    /// Delays over time alone, one lap of them.
    package init(_ delays: DelaySeries, name: String, direction: LinkDirection?) {
        self.init(LinkProfile(delaySeries: delays), name: name, direction: direction, seed: 1)
    }

    /// CellReplay's base delays alone.
    package init(_ trains: PacketTrains, name: String, direction: LinkDirection?) {
        self.init(LinkProfile(trains: trains), name: name, direction: direction, seed: 1)
    }

    package static func title(_ name: String, _ direction: LinkDirection?) -> String {
        switch direction {
        case .up: "\(name), up (client to network)"
        case .down: "\(name), down (network to client)"
        case nil: name
        }
    }

    // MARK: What is offered

    /// Bits offered by a time, whatever outages there are.
    private struct Offer {
        /// From this time on.
        private var rates: [(at: Interval, before: Double, rate: Double)] = []
        private var lap: Interval?
        private var perLap = 0.0
        private var trace: DeliveryTrace?
        /// The rate that a change sets holds for good; with the bits until then.
        private var changes: [(at: Interval, before: Double, rate: Double)] = []

        /// Nil where nothing bounds the rate.
        init?(_ profile: LinkProfile) {
            switch profile.service {
            case .unlimited: return nil
            case .constant(let rate), .tokenBucket(let rate, _): rates = [(.zero, 0, Double(rate.bitsPerSecond))]
            case .trace(let given):
                (trace, lap) = (given, given.period)
                perLap = Double(given.stamps.count) * Double(given.opportunityBytes) * 8
            case .series(let series):
                for step in series.steps {
                    let before = rates.last.map { $0.before + $0.rate * (step.at - $0.at).inSeconds } ?? 0
                    rates.append((step.at, before, Double(step.rate.bitsPerSecond)))
                }
                lap = series.period
                if let period = series.period, let last = rates.last { perLap = last.before + last.rate * (period - last.at).inSeconds }
            }
            for change in profile.changes.sorted(by: { $0.at < $1.at }) {
                guard case .rate(let rate) = change.kind else { continue }
                changes.append((change.at, until(change.at), Double(rate.bitsPerSecond)))
            }
        }

        func bits(_ from: Interval, _ to: Interval) -> Double { to > from ? until(to) - until(from) : 0 }

        private func until(_ time: Interval) -> Double {
            let place = Self.place(changes.count) { changes[$0].at < time }
            guard place > 0 else { return described(time) }
            return changes[place - 1].before + changes[place - 1].rate * (time - changes[place - 1].at).inSeconds
        }

        private func described(_ time: Interval) -> Double {
            var (offset, sum) = (time, 0.0)
            if let lap, lap > .zero {
                sum = Double(time.nanoseconds / lap.nanoseconds) * perLap
                offset = Interval(nanoseconds: time.nanoseconds % lap.nanoseconds)
            }
            if let trace {
                let tick = offset.nanoseconds / trace.tick.nanoseconds
                let served = Self.place(trace.stamps.count) { Int64(trace.stamps[$0]) <= tick }
                return sum + Double(served) * Double(trace.opportunityBytes) * 8
            }
            let place = Self.place(rates.count) { rates[$0].at <= offset }
            guard place > 0 else { return sum }
            return sum + rates[place - 1].before + rates[place - 1].rate * (offset - rates[place - 1].at).inSeconds
        }

        /// How many of the first `count` fulfil what is true up to some place.
        private static func place(_ count: Int, _ isTrue: (Int) -> Bool) -> Int {
            var (low, high) = (0, count)
            while low < high {
                let middle = (low + high) / 2
                if isTrue(middle) { low = middle + 1 } else { high = middle }
            }
            return low
        }
    }

    private static func merged(_ outages: [MastLinkModel.Outage], until span: Interval) -> [(from: Interval, to: Interval)] {
        var result: [(from: Interval, to: Interval)] = []
        for outage in outages {
            let (from, to) = (max(.zero, outage.start), min(span, outage.end))
            guard to > from else { continue }
            if let last = result.last, from <= last.to { result[result.count - 1].to = max(last.to, to) } else { result.append((from, to)) }
        }
        return result
    }

    private static func bits(of offer: Offer, in still: [(from: Interval, to: Interval)], _ from: Interval, _ to: Interval) -> Double {
        // The first that ends after `from`.
        var (low, high) = (0, still.count)
        while low < high {
            let middle = (low + high) / 2
            if still[middle].to <= from { low = middle + 1 } else { high = middle }
        }
        var sum = 0.0
        while low < still.count, still[low].from < to {
            sum += offer.bits(max(from, still[low].from), min(to, still[low].to))
            low += 1
        }
        return sum
    }

    private static func span(_ profile: LinkProfile) -> Interval {
        var lap: Interval?
        switch profile.service {
        case .trace(let trace): lap = trace.period
        case .series(let series): lap = series.period ?? series.steps.last.map { $0.at + max(shortestSpan, $0.at / 10) }
        default: break
        }
        if let series = profile.delaySeries { lap = max(lap ?? .zero, series.step * Int64(series.values.count)) }
        if let last = profile.trains?.trains.last { lap = max(lap ?? .zero, .milliseconds(last.at)) }
        var span = lap ?? shortestSpan
        if lap == nil, !profile.randomOutages.isEmpty { span = .seconds(300) }
        for change in profile.changes { span = max(span, change.at + change.at / 10) }
        for outage in profile.outages {
            // One that outlasts the run is not drawn to its end.
            let end = outage.start + min(outage.duration, max(outage.start, lap ?? .seconds(60)))
            if end > span { span = end + max(.seconds(1), end / 20) }
        }
        return min(max(span, .milliseconds(1)), longestSpan)
    }

    private static func gapShare(_ trace: DeliveryTrace) -> Double {
        var gaps: Int64 = 0
        var previous: Int64 = 0
        for stamp in trace.stamps {
            let gap = trace.tick * (Int64(stamp) - previous)
            if gap >= .milliseconds(200) { gaps += gap.nanoseconds }
            previous = Int64(stamp)
        }
        return Double(gaps) / Double(max(1, trace.period.nanoseconds))
    }

    private static func delays(of trains: PacketTrains, width: Interval, count: Int) -> [Double] {
        var place = 0
        return (0..<count).map { bin in
            let at = (width * Int64(bin)).inMilliseconds
            while place + 2 < trains.trains.count, Double(trains.trains[place + 1].at) <= at { place += 1 }
            let (from, to) = (trains.trains[place], trains.trains[place + 1])
            guard to.at > from.at else { return Double(to.delay) }
            let share = min(1, max(0, (at - Double(from.at)) / Double(to.at - from.at)))
            return Double(from.delay) + (Double(to.delay) - Double(from.delay)) * share
        }
    }

    private static func facts(_ profile: LinkProfile) -> [String] {
        var facts: [String] = []
        if profile.service == .unlimited { facts.append("no limit to the rate") }
        if case .tokenBucket(_, let bytes) = profile.service { facts.append("a token bucket of \(TextLayout.bytes(bytes))") }
        if profile.delay > .zero { facts.append("delay \(TextLayout.fixed(profile.delay.inMilliseconds, 1)) ms one way") }
        if profile.jitter > .zero { facts.append("jitter up to \(TextLayout.fixed(profile.jitter.inMilliseconds, 1)) ms") }
        if profile.queue != .infinite { facts.append("queue \(profile.queue)") }
        for (loss, place) in [(profile.preQueueLoss, "before the queue"), (profile.radioLoss, "on the air")] {
            switch loss {
            case .none: break
            case .independent(let share): facts.append("\(TextLayout.fixed(share.asDouble * 100, 2)) % lost \(place)")
            case .gilbertElliott: facts.append("losses in bursts \(place)")
            }
        }
        for outage in profile.randomOutages { facts.append("outages by chance: \(outage.text), of this seed") }
        return facts
    }
}

extension LinkProfile {
    fileprivate init(delaySeries: DelaySeries) {
        self.init()
        self.delaySeries = delaySeries
    }

    fileprivate init(trains: PacketTrains) {
        self.init()
        self.trains = trains
    }
}
