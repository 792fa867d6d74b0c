import Foundation

/// The result file: everything that the table and the report are made from.
struct Results: Codable {
    /// What a link can carry over time, for looking.
    struct Capacity: Codable {
        /// Seconds of a step.
        var step: Double
        var upMbps, downMbps: [Double]
    }

    var plan: String
    var about: String
    var date: String
    var command: String
    var machine: [String: String]
    var seed: UInt64
    var repetitions: Int
    var links: [Plan.Link]
    /// What each contender said of itself.
    var contenders: [String: String]
    var encrypted: [String: String]
    var migration: [String: String]
    /// Loopback, Mbit/s of one download.
    var ceilings: [String: Double]
    var capacities: [String: Capacity]
    /// What `bench/calibrate` printed.
    var calibration: [Calibration]
    /// What the machine allows before any protocol: `contenders/c/machine.c` and `limit.c` say what each is.
    var machineLimits: [String: Double]?
    /// Of one call, on either end, where `bench/counts` can count them.
    var allocations: [String: Ends]?
    var runs: [Run]
    /// The latencies of all repetitions together.
    var pooled: [Pooled]?

    struct Ends: Codable { var client, server: Double }

    struct Group {
        var link, workload, contender: String
        var runs: [Run]
        var good: [Run] { runs.filter { $0.state == .ok } }

        /// Of all repetitions; nil in files from before there were any.
        var latencies: Latencies? { Self.pool(good.compactMap(\.latencies)) }
        var limits: Latencies? { Self.pool(good.compactMap(\.limits)) }

        static func pool(_ all: [Latencies]) -> Latencies? { all.isEmpty ? nil : Latencies(pooling: all) }

        /// In milliseconds, of all repetitions' calls together; nil if they are too few for it.
        func latency(_ percent: Double) -> Double? { latencies.map { $0.ms(percent) } ?? median { $0.latency(percent) } }

        var answered: Int { good.reduce(0) { $0 + $1.calls - $1.failed } }

        func median(_ value: (Run) -> Double?) -> Double? { Statistics.median(good.compactMap(value)) }
        func range(_ value: (Run) -> Double?) -> ClosedRange<Double>? {
            let all = good.compactMap(value)
            guard let low = all.min(), let high = all.max() else { return nil }
            return low...high
        }
    }

    struct Section {
        var link, workload: String
        var groups: [Group]

        /// What the link would have allowed, over all contenders' calls.
        func limit(_ percent: Double) -> Double? {
            let good = groups.flatMap(\.good)
            return Group.pool(good.compactMap(\.limits)).map { $0.ms(percent) } ?? Statistics.median(good.compactMap { percent == 99 ? $0.limitP99Ms : $0.limitP50Ms })
        }
    }

    /// One for each link and workload, in the order of the runs.
    var sections: [Section] {
        var sections: [Section] = []
        var places: [String: Int] = [:]
        for run in runs {
            let key = "\(run.link)\u{0}\(run.workload)"
            let place = places[key] ?? sections.count
            if place == sections.count {
                places[key] = place
                sections.append(Section(link: run.link, workload: run.workload, groups: []))
            }
            if let group = sections[place].groups.firstIndex(where: { $0.contender == run.contender }) {
                sections[place].groups[group].runs.append(run)
            } else {
                sections[place].groups.append(Group(link: run.link, workload: run.workload, contender: run.contender, runs: [run]))
            }
        }
        return sections
    }

    /// A contender whose own ceiling is below three times what the link carries is not ranked there.
    func isInterpreterLimited(_ contender: String, in section: Section) -> Bool {
        guard let ceiling = ceilings[contender] else { return false }
        let peak = capacities[section.link].map { ($0.upMbps + $0.downMbps).max() ?? 0 } ?? 0
        return peak > 0 && ceiling < 3 * peak
    }

    static func load(_ path: String) throws -> Results {
        guard let data = FileManager.default.contents(atPath: path) else { throw BenchError("cannot open \(path)") }
        do { return try JSONDecoder().decode(Results.self, from: data) } catch { throw BenchError("\(path) is not a result file of bench/run: \(error)") }
    }
}

/// The link beside the kernel's own token bucket at the same rate, by a probe that knows neither.
struct Calibration: Codable {
    var what: String
    var mbps: Double
    var rttP50Ms, rttP99Ms: Double
}

/// Which figure of a workload is the one to compare.
enum Figure {
    case latency, rate

    init(_ section: Results.Section) {
        let hasLatency = section.groups.contains { group in group.runs.contains { $0.latencyMs.count > 0 && $0.calls > 1 } }
        self = hasLatency ? .latency : .rate
    }

    func value(_ run: Run) -> Double? {
        switch self {
        case .latency: run.latency(50)
        case .rate: run.megabitsPerSecond > 0 ? run.megabitsPerSecond : nil
        }
    }

    /// The contender's figure over ours, in the same repetition, so that above 1 is better for the contender.
    func ratios(_ group: Results.Group, to ours: Results.Group) -> [Double] {
        group.good.compactMap { run in
            guard let other = ours.good.first(where: { $0.repetition == run.repetition }), let a = value(run), let b = value(other), a > 0, b > 0 else { return nil }
            return self == .latency ? b / a : a / b
        }
    }
}
