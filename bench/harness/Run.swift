import Foundation

/// What one run of one contender gave.
struct Run: Codable {
    enum State: String, Codable { case ok, failed, unsupported }

    var link: String
    var workload: String
    var contender: String
    var repetition: Int
    var seed: UInt64
    /// A failed run is kept and shown.
    var state = State.failed
    var reason: String?
    var calls = 0
    var failed = 0
    /// From the intended start, in milliseconds, at `Self.shares`; answered calls only.
    var latencyMs: [Double] = []
    /// All of them, to be pooled.
    var latencies: Latencies?
    var callsPerSecond = 0.0
    var megabitsPerSecond = 0.0
    var clientCPUSeconds: Double?
    var serverCPUSeconds: Double?
    var bytesPerConnection: Int?
    /// Of all that the link was offered, set-up included.
    var wireBytesUp: Int?
    var wireBytesDown: Int?
    var usefulBytes = 0
    /// From one end of the link to the other, 95 % of the packets of the bulk's direction.
    var packetDelayP95Ms: Double?
    /// What the link would have allowed.
    var limits: Latencies?
    var limitP50Ms: Double?
    var limitP99Ms: Double?
    var limitMbps: Double?
    /// Of clients that share the link: in the last `fairSeconds` that they had together.
    var fairMbps: Double?
    /// `[seconds in the link's time, milliseconds]` of the first repetition's calls; failed ones have -1.
    var points: [[Double]]?
    var details: [String: String]?

    /// Asked for from `mast link limit`; not kept.
    var limitCalls: [LimitCall] = []
    var limitBulks: [LimitCall] = []

    /// A transfer's seconds, on the machine's monotonic clock; not kept.
    var slices: [Slice] = []
    struct Slice { var start, end: UInt64; var bytes: Int }
    static let fairSeconds = 20.0

    struct LimitCall { var atS: Double; var up, down: Int }

    static let shares: [Double] = [0, 1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.9, 100]

    private enum CodingKeys: String, CodingKey {
        case link, workload, contender, repetition, seed, state, reason, calls, failed, latencyMs, callsPerSecond, megabitsPerSecond
        case clientCPUSeconds, serverCPUSeconds, bytesPerConnection, wireBytesUp, wireBytesDown, usefulBytes, packetDelayP95Ms
        case latencies, limits, limitP50Ms, limitP99Ms, limitMbps, fairMbps, points, details
    }

    init(link: String, workload: String, contender: String, repetition: Int, seed: UInt64) {
        (self.link, self.workload, self.contender, self.repetition, self.seed) = (link, workload, contender, repetition, seed)
    }

    /// Nil if too few calls were answered for it.
    func latency(_ share: Double) -> Double? {
        guard let index = Self.shares.firstIndex(of: share), latencyMs.indices.contains(index), calls - failed >= Latencies.calls(for: share) else { return nil }
        return latencyMs[index]
    }

    var cpuMicrosecondsPerCall: Double? {
        guard let clientCPUSeconds, let serverCPUSeconds, calls > 0 else { return nil }
        return (clientCPUSeconds + serverCPUSeconds) * 1e6 / Double(calls)
    }

    var megabitsPerSecondAndCore: Double? {
        guard let clientCPUSeconds, let serverCPUSeconds, clientCPUSeconds + serverCPUSeconds > 0 else { return nil }
        return Double(usefulBytes) * 8 / 1e6 / (clientCPUSeconds + serverCPUSeconds)
    }

    var wirePerUseful: Double? {
        guard let wireBytesUp, let wireBytesDown, usefulBytes > 0 else { return nil }
        return Double(wireBytesUp + wireBytesDown) / Double(usefulBytes)
    }

    var wirePerCall: Double? {
        guard let wireBytesUp, let wireBytesDown, calls > 0 else { return nil }
        return Double(wireBytesUp + wireBytesDown) / Double(calls)
    }

    private struct Summary: Decodable {
        var calls, failed: Int?
        var firstFailure, unsupported: String?
        var verified: Bool?
        var cpuSeconds: Double?
        var details: [String: Said]?
    }

    /// Whatever a contender said of itself, as text.
    private struct Said: Decodable {
        var text: String

        init(from decoder: any Decoder) throws {
            let value = try decoder.singleValueContainer()
            if let text = try? value.decode(String.self) { self.text = text } else if let number = try? value.decode(Double.self) { text = MarkdownTable.number(number) } else { text = "?" }
        }
    }

    private struct Record {
        var kind: Substring
        var intended, start, end: UInt64
        var ok: Bool
        var up, down: Int

        init?(_ line: Substring) {
            let cells = line.split(separator: ",")
            guard cells.count == 7, let intended = UInt64(cells[1]), let start = UInt64(cells[2]), let end = UInt64(cells[3]), end >= start, let up = Int(cells[5]), let down = Int(cells[6])
            else { return nil }
            // A message may come a little before its time, by the two ends' clocks of it.
            (kind, self.intended, self.start, self.end, ok, self.up, self.down) = (cells[0], min(intended, end), start, end, cells[4] == "1", up, down)
        }

        /// One that covers them all.
        init?(joining records: [Record]) {
            guard let first = records.first, let last = records.last else { return nil }
            (kind, intended, start, end) = (first.kind, first.intended, first.start, last.end)
            ok = records.allSatisfy(\.ok)
            (up, down) = (records.reduce(0) { $0 + $1.up }, records.reduce(0) { $0 + $1.down })
        }
    }

    /// Fills the run from a client's summary and its records.
    ///
    /// - Parameters:
    ///   - zero: when the link's time was zero, on the machine's monotonic clock.
    ///   - phase: where in its time the link began, seconds.
    mutating func read(summary text: Data, records: String, workload: Workload, zero: UInt64?, phase: Double) {
        let last = String(decoding: text, as: UTF8.self).split(separator: "\n").last.map(String.init) ?? ""
        guard let summary = try? JSONDecoder().decode(Summary.self, from: Data(last.utf8)) else {
            reason = "the client ended without a summary"
            return
        }
        (calls, failed, clientCPUSeconds, details) = (summary.calls ?? 0, summary.failed ?? 0, summary.cpuSeconds, summary.details?.mapValues(\.text))
        if let unsupported = summary.unsupported {
            (state, reason) = (.unsupported, unsupported)
            return
        }
        state = summary.verified == true && failed == 0 ? .ok : .failed
        reason = summary.firstFailure
        var (kept, bulks): ([Record], [Record]) = ([], [])
        for line in records.split(separator: "\n").dropFirst() {
            guard let record = Record(line) else {
                (state, reason) = (.failed, "the records are damaged")
                return
            }
            if record.kind == "bulk" { bulks.append(record) } else { kept.append(record) }
        }
        // A share has a record for each second.
        if workload.kind == "share" || workload.kind == "call-during-bulk" {
            slices = bulks.map { Slice(start: $0.start, end: $0.end, bytes: $0.up + $0.down) }
            bulks = Record(joining: bulks).map { [$0] } ?? []
        }
        let hasCalls = !workload.isBulk
        if !hasCalls { kept = bulks }
        let all = kept + (hasCalls ? bulks : [])
        guard let first = all.map(\.start).min(), let end = all.map(\.end).max(), end > first else { return }
        usefulBytes = all.reduce(0) { $0 + $1.up + $1.down }
        let answered = Latencies(kept.filter(\.ok).map { ($0.end - $0.intended) / 1000 })
        if answered.count > 0 {
            latencies = hasCalls ? answered : nil
            latencyMs = Self.shares.map { share in answered.quantile(share) ?? 0 }
        }
        callsPerSecond = Double(answered.count) / (Double(end - first) / 1e9)
        let (bulkBytes, bulkNanoseconds) = bulks.reduce((0, UInt64(0))) { ($0.0 + $1.up + $1.down, $0.1 + $1.end - $1.start) }
        megabitsPerSecond = bulkNanoseconds > 0 ? Double(bulkBytes) * 8000 / Double(bulkNanoseconds) : Double(usefulBytes) * 8000 / Double(end - first)
        guard let zero else { return }
        func some(_ most: Int) -> [Record] { stride(from: 0, to: kept.count, by: max(1, (kept.count + most - 1) / most)).map { kept[$0] } }
        func linkTime(_ time: UInt64) -> Double { time > zero ? Double(time - zero) / 1e9 : 0 }
        if hasCalls { limitCalls = some(Self.mostLimits).filter(\.ok).map { LimitCall(atS: linkTime($0.intended), up: $0.up, down: $0.down) } }
        // Of a transfer: its request or its answer is a few bytes.
        limitBulks = bulks.filter(\.ok).map { LimitCall(atS: linkTime($0.intended), up: max(8, $0.up), down: max(8, $0.down)) }
        if repetition == 0, workload.kind == "open" || workload.kind == "call-during-bulk" {
            points = some(400).map { [(linkTime($0.intended) * 1000).rounded() / 1000, $0.ok ? Double(($0.end - $0.intended) / 1000) / 1000 : -1] }
        }
    }

    /// Calls of a run that its limit is computed for; of more, evenly spread ones.
    private static let mostLimits = 2000

    /// What came in the last `fairSeconds` before `end`, by parts of a slice where it is cut; Mbit/s.
    func megabits(before end: UInt64) -> Double {
        let begin = end - UInt64(Self.fairSeconds * 1e9)
        let bytes = slices.reduce(0.0) { sum, slice in
            let (from, to) = (max(begin, slice.start), min(end, slice.end))
            return to > from ? sum + Double(slice.bytes) * Double(to - from) / Double(slice.end - slice.start) : sum
        }
        return bytes * 8 / 1e6 / Self.fairSeconds
    }

    /// Reads fairness where two or more had the link together for long enough.
    static func takeFairness(_ runs: inout [Run]) {
        let (starts, ends) = (runs.compactMap(\.slices.first?.start), runs.compactMap(\.slices.last?.end))
        guard runs.count > 1, starts.count == runs.count, let start = starts.max(), let end = ends.min(),
            end > start, Double(end - start) / 1e9 >= fairSeconds
        else { return }
        for index in runs.indices { runs[index].fairMbps = runs[index].megabits(before: end) }
    }

    mutating func takeLimits(_ exchanges: [LimitExchange]) {
        let times = Latencies(exchanges.compactMap(\.ms).map { UInt64(max(0, $0) * 1000) })
        (limits, limitP50Ms, limitP99Ms) = (times, times.ms(50), times.ms(99))
    }
}

enum Statistics {
    static func median(_ values: [Double]) -> Double? {
        let sorted = values.sorted()
        guard !sorted.isEmpty else { return nil }
        let middle = sorted.count / 2
        return sorted.count % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
    }

    /// Jain's index of fairness (Jain, Chiu and Hawe, DEC-TR-301, 1984): 1 when all get the same.
    static func jain(_ values: [Double]) -> Double {
        let (sum, squares) = (values.reduce(0, +), values.reduce(0) { $0 + $1 * $1 })
        return squares > 0 ? sum * sum / (Double(values.count) * squares) : 0
    }
}
