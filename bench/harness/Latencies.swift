import Histogram

/// How many calls took how long: the filled buckets of an HdrHistogram of three digits, so that runs can be pooled.
struct Latencies: Codable {
    /// `[microseconds, calls]`, the shortest first.
    private(set) var buckets: [[Int]]

    init(_ microseconds: [UInt64]) {
        var histogram = Histogram<UInt64>(highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: .three)
        for value in microseconds { histogram.record(max(1, value)) }
        buckets = histogram.recordedValues().map { [Int($0.value), Int($0.count)] }
    }

    /// All of them as one.
    init(pooling all: [Latencies]) {
        var counts: [Int: Int] = [:]
        for bucket in all.flatMap(\.buckets) { counts[bucket[0], default: 0] += bucket[1] }
        buckets = counts.sorted { $0.key < $1.key }.map { [$0.key, $0.value] }
    }

    var count: Int { buckets.reduce(0) { $0 + $1[1] } }

    /// Calls that a percentile must rest on: from 99 % on, ten beyond it.
    static func calls(for percent: Double) -> Int { percent < 99 || percent >= 100 ? 1 : Int((1000 / (100 - percent)).rounded()) }

    /// In milliseconds; nil if too few calls were answered for it.
    func ms(_ percent: Double) -> Double? { count >= Self.calls(for: percent) ? quantile(percent) : nil }

    /// However few they were; nil only of none.
    func quantile(_ percent: Double) -> Double? {
        let count = count
        let rank = min(count, max(1, Int((Double(count) * percent / 100).rounded(.up))))
        var seen = 0
        for bucket in buckets {
            seen += bucket[1]
            if seen >= rank { return Double(bucket[0]) / 1000 }
        }
        return nil
    }
}

/// All repetitions of a contender on a link as one: what the tables quote.
struct Pooled: Codable {
    var link, workload, contender: String
    var repetitions: Int
    /// Answered ones.
    var calls: Int
    var p50Ms, p90Ms, p99Ms: Double?
    /// Why there is none.
    var p99Reason: String?
    var limitP50Ms, limitP99Ms: Double?

    init?(_ group: Results.Group) {
        guard let latencies = group.latencies, latencies.count > 0 else { return nil }
        (link, workload, contender, repetitions) = (group.link, group.workload, group.contender, group.good.count)
        (calls, p50Ms, p90Ms, p99Ms) = (latencies.count, latencies.ms(50), latencies.ms(90), latencies.ms(99))
        if p99Ms == nil { p99Reason = "\(calls) calls, a p99 needs \(Latencies.calls(for: 99))" }
        (limitP50Ms, limitP99Ms) = (group.limits?.ms(50), group.limits?.ms(99))
    }

    /// What is missing stands there as null.
    func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(link, forKey: .link)
        try container.encode(workload, forKey: .workload)
        try container.encode(contender, forKey: .contender)
        try container.encode(repetitions, forKey: .repetitions)
        try container.encode(calls, forKey: .calls)
        try container.encode(p50Ms, forKey: .p50Ms)
        try container.encode(p90Ms, forKey: .p90Ms)
        try container.encode(p99Ms, forKey: .p99Ms)
        try container.encodeIfPresent(p99Reason, forKey: .p99Reason)
        try container.encodeIfPresent(limitP50Ms, forKey: .limitP50Ms)
        try container.encodeIfPresent(limitP99Ms, forKey: .limitP99Ms)
    }
}
