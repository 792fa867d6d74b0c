import Foundation

/// What one run of one contender gave.
struct Run: Codable {
    var link: String
    var workload: String
    var contender: String
    var repetition: Int
    var seed: UInt64
    /// "ok", "failed" or "unsupported"; a failed run is kept and shown.
    var state: String
    var reason: String?
    var calls = 0
    var failed = 0
    /// From the intended start, in order of size; at most 2000 of them, evenly picked.
    var latencyNanoseconds: [UInt64] = []
    var p50Nanoseconds: UInt64 = 0
    var p99Nanoseconds: UInt64 = 0
    var callsPerSecond = 0.0
    var megabitsPerSecond = 0.0
}

/// The result file.
struct Results: Codable {
    var plan: String
    var date: String
    var machine: [String: String]
    var seed: UInt64
    var contenders: [String: String]
    var runs: [Run]

    /// The rows of every table: one for each link, workload and contender, in the order of the plan.
    var groups: [(link: String, workload: String, contender: String, runs: [Run])] {
        var order: [String] = []
        var byKey: [String: [Run]] = [:]
        for run in runs {
            let key = "\(run.link)\u{0}\(run.workload)\u{0}\(run.contender)"
            if byKey[key] == nil { order.append(key) }
            byKey[key, default: []].append(run)
        }
        return order.map { key in
            let runs = byKey[key] ?? []
            return (runs[0].link, runs[0].workload, runs[0].contender, runs)
        }
    }
}

enum Statistics {
    static func percentile(_ sorted: [UInt64], _ share: Double) -> UInt64 {
        sorted.isEmpty ? 0 : sorted[min(sorted.count - 1, Int((Double(sorted.count) * share).rounded(.up)) - (share > 0 ? 1 : 0))]
    }

    static func median(_ values: [Double]) -> Double {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return 0 }
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }
}
