import MastTimebase

/// What a run found, as `-O json` prints it and as a later run's `--baseline` reads it. Times are in milliseconds.
package struct LoadReport: Codable, Sendable {
    package struct Percentile: Codable, Sendable {
        package var percent, latencyMs: Double
        package init(percent: Double, latencyMs: Double) { (self.percent, self.latencyMs) = (percent, latencyMs) }
    }
    package struct Bar: Codable, Sendable {
        /// Latencies up to here, from the bar before on.
        package var markMs: Double
        package var count: Int
    }
    package struct Status: Codable, Sendable {
        package var code: String
        package var count: Int
        /// Of failed calls: whether they did their work.
        package var effects: Effects?
    }
    package struct Effects: Codable, Sendable { package var none, committed, unknown: Int }
    package struct Failure: Codable, Sendable {
        package var code, message: String
        package var count: Int
    }
    package struct Late: Codable, Sendable {
        /// What counts as late.
        package var boundMs: Double
        /// For the generator's own reasons; and because every place was taken by calls that waited for their answers.
        package var byGenerator, forPlace: Int
        package var byGeneratorShare, largestOwnMs: Double
        /// A run with a larger share is void.
        package var voidAboveShare: Double
    }
    package struct Slice: Codable, Sendable {
        package var fromMs, toMs: Double
        package var due, ended, failed, lateByGenerator: Int
        package var p50Ms, p99Ms, maxMs: Double?
    }
    package struct Streams: Codable, Sendable {
        package var messages: Int
        package var messagesPerSecond: Double
        /// Until the first message; the other latencies are until the last.
        package var firstMessageDistribution: [Percentile]
    }

    /// What is known of a run beside its calls.
    package struct Facts: Sendable {
        package var method, kind, host, date, load: String
        /// Nil in a closed loop.
        package var offered: Double?
        package var concurrency, connections: Int
        package var deadline, lateBound, warmup: Interval
        /// Of the counted part.
        package var elapsed: Interval
        package var isInterrupted = false
        /// Calls are answered by any number of messages.
        package var hasStreams = false
        /// Due, and not sent when the run was ended.
        package var leftWaiting = 0
        package var figures: [ConnectionFigures] = []
        /// How long calls were begun, where that was known before; nil: rates are of `elapsed`.
        package var window: Interval?
        package var countsFailures = false

        package init(
            method: String, kind: String, host: String, date: String, load: String, offered: Double?, concurrency: Int, connections: Int, deadline: Interval,
            lateBound: Interval, warmup: Interval, elapsed: Interval
        ) {
            (self.method, self.kind, self.host, self.date, self.load) = (method, kind, host, date, load)
            (self.offered, self.concurrency, self.connections, self.deadline) = (offered, concurrency, connections, deadline)
            (self.lateBound, self.warmup, self.elapsed) = (lateBound, warmup, elapsed)
        }
    }

    package static let percents: [Double] = [10, 25, 50, 75, 90, 95, 99, 99.9]
    package static let bars = 10
    /// Of the calls, for the generator's own reasons.
    package static let mostLate = 0.01

    package var method, kind, host, date, load: String
    package var isOpenLoop: Bool
    package var concurrency, connectionCount: Int
    package var deadlineMs, warmupMs: Double
    package var count, succeeded, failed, notSent, warmupCalls: Int
    /// Latencies are of the calls that succeeded, or of all.
    package var latenciesIncludeFailed: Bool
    package var latencyCount: Int
    package var isInterrupted: Bool
    /// Under way, and due but not sent, when it was interrupted.
    package var inFlightAtEnd, waitingAtEnd: Int
    package var totalMs: Double
    package var averageMs, deviationMs, fastestMs, slowestMs: Double?
    /// Calls that ended, and that succeeded, in the time in which calls were begun; calls that were meant to begin.
    package var requestsPerSecond, succeededPerSecond: Double
    package var offeredPerSecond: Double?
    package var late: Late?
    package var isVoid: Bool
    package var latencyDistribution: [Percentile]
    package var histogram: [Bar]
    /// Closer and closer to 100, for plots.
    package var percentileCurve: [Percentile]
    package var statuses: [Status]
    package var effectsOfFailed: Effects
    package var errors: [Failure]
    package var otherErrors: Int
    package var streams: Streams?
    package var slices: [Slice]
    package var connections: [ConnectionFigures]

    package init(_ collector: LoadCollector, _ facts: Facts) {
        (method, kind, host, date, load) = (facts.method, facts.kind, facts.host, facts.date, facts.load)
        isOpenLoop = facts.offered != nil
        (concurrency, connectionCount, connections) = (facts.concurrency, facts.connections, facts.figures)
        (deadlineMs, warmupMs) = (facts.deadline.inMilliseconds, facts.warmup.inMilliseconds)
        (count, succeeded, failed) = (collector.count, collector.succeeded, collector.failed)
        (notSent, warmupCalls) = (collector.notSent, collector.warmupCalls)
        (isInterrupted, inFlightAtEnd, waitingAtEnd) = (facts.isInterrupted, collector.interrupted, facts.leftWaiting)
        (latenciesIncludeFailed, latencyCount) = (facts.countsFailures, Int(clamping: collector.latencies.count))
        let seconds = max((facts.window ?? facts.elapsed).inSeconds, 1e-9)
        let rounded = LoadFigure.rounded
        totalMs = rounded(facts.elapsed.inMilliseconds)
        requestsPerSecond = rounded(Double(facts.window == nil ? count - notSent : collector.endedInTime) / seconds)
        succeededPerSecond = rounded(Double(facts.window == nil ? succeeded : collector.succeededInTime) / seconds)
        offeredPerSecond = facts.offered.map(rounded)
        let latencies = collector.latencies
        if latencies.count > 0 {
            (averageMs, deviationMs) = (rounded(latencies.mean), rounded(latencies.deviation))
            (fastestMs, slowestMs) = (rounded(latencies.least.inMilliseconds), rounded(latencies.largest.inMilliseconds))
        }
        let share = count == 0 ? 0 : Double(collector.lateByGenerator) / Double(count)
        if isOpenLoop {
            late = Late(
                boundMs: facts.lateBound.inMilliseconds, byGenerator: collector.lateByGenerator, forPlace: collector.lateByServer, byGeneratorShare: share,
                largestOwnMs: rounded(collector.largestOwnDelay.inMilliseconds), voidAboveShare: Self.mostLate)
        }
        isVoid = isOpenLoop && share > Self.mostLate
        latencyDistribution = Self.distribution(latencies)
        histogram = latencies.bars(Self.bars).map { Bar(markMs: rounded($0.mark), count: $0.count) }
        percentileCurve = latencies.curve.map { Percentile(percent: $0.percent, latencyMs: rounded($0.latency)) }
        statuses = collector.statuses.sorted { ($1.count, $0.code.number) < ($0.count, $1.code.number) }.map { status in
            Status(code: status.code.name, count: status.count, effects: status.code == .ok ? nil : Effects(status.effects))
        }
        let sums = collector.statuses.reduce([0, 0, 0]) { sums, status in zip(sums, status.effects).map { $0 + $1 } }
        effectsOfFailed = Effects(sums)
        errors = collector.failures.sorted { $1.count < $0.count }.map { Failure(code: $0.code.name, message: $0.message, count: $0.count) }
        otherErrors = collector.otherFailures
        if facts.hasStreams {
            streams = Streams(
                messages: collector.messages, messagesPerSecond: rounded(Double(collector.messages) / seconds),
                firstMessageDistribution: Self.distribution(collector.firstMessages))
        }
        let length = collector.slices.length
        slices = collector.slices.slices.enumerated().map { index, slice in
            let from = length * Int64(index)
            return Slice(
                fromMs: from.inMilliseconds, toMs: max(from + .milliseconds(1), min(from + length, facts.elapsed)).inMilliseconds, due: slice.due, ended: slice.ended, failed: slice.failed,
                lateByGenerator: slice.lateByGenerator, p50Ms: slice.p50.map(rounded), p99Ms: slice.p99.map(rounded),
                maxMs: slice.p50.map { _ in rounded(slice.largest.inMilliseconds) })
        }
    }

    private static func distribution(_ latencies: LatencyHistogram) -> [Percentile] {
        percents.compactMap { percent in
            latencies.percentile(percent).map { Percentile(percent: percent, latencyMs: LoadFigure.rounded($0)) }
        }
    }

    package func latency(_ percent: Double) -> Double? { latencyDistribution.first { $0.percent == percent }?.latencyMs }
    package var failedShare: Double { count == 0 ? 0 : Double(failed) / Double(count) }

    /// Whether there is enough beyond a percentile to believe it: ten calls, and twice as many as the generator itself made late.
    package func isFirm(_ percent: Double) -> Bool { Self.isFirm(percent, of: latencyCount, late: late) }

    static func isFirm(_ percent: Double, of count: Int, late: Late?) -> Bool {
        isFirm(percent, of: count) && Double(count) * (100 - percent) / 100 >= Double(2 * (late?.byGenerator ?? 0))
    }

    /// Whether a percentile rests on at least ten calls beyond it; with fewer, chance rules.
    package static func isFirm(_ percent: Double, of count: Int) -> Bool { Double(count) * (100 - percent) / 100 >= 10 - 1e-6 }
}

extension LoadReport.Effects {
    init(_ counts: [Int]) { (none, committed, unknown) = (counts[0], counts[1], counts[2]) }
}
