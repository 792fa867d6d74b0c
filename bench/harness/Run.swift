import Foundation
import Histogram

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
    /// From the intended start, in milliseconds, at `Self.shares`; answered calls only. Of an HdrHistogram of three digits.
    var latencyMs: [Double] = []
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
    var limitP50Ms: Double?
    var limitP99Ms: Double?
    var limitMbps: Double?
    /// `[seconds in the link's time, milliseconds]` of the first repetition's calls; failed ones have -1.
    var points: [[Double]]?
    var details: [String: String]?

    /// Asked for from `mast link limit`; not kept.
    var limitCalls: [LimitCall] = []
    var limitBulks: [LimitCall] = []

    struct LimitCall { var atS: Double; var up, down: Int }

    static let shares: [Double] = [0, 1, 2, 5, 10, 15, 20, 25, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97, 98, 99, 99.5, 99.9, 100]

    private enum CodingKeys: String, CodingKey {
        case link, workload, contender, repetition, seed, state, reason, calls, failed, latencyMs, callsPerSecond, megabitsPerSecond
        case clientCPUSeconds, serverCPUSeconds, bytesPerConnection, wireBytesUp, wireBytesDown, usefulBytes, packetDelayP95Ms
        case limitP50Ms, limitP99Ms, limitMbps, points, details
    }

    init(link: String, workload: String, contender: String, repetition: Int, seed: UInt64) {
        (self.link, self.workload, self.contender, self.repetition, self.seed) = (link, workload, contender, repetition, seed)
    }

    func latency(_ share: Double) -> Double? {
        guard let index = Self.shares.firstIndex(of: share), latencyMs.indices.contains(index) else { return nil }
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
        var histogram = Histogram<UInt64>(highestTrackableValue: 600_000_000, numberOfSignificantValueDigits: .three)
        var (first, end, bulkBytes, bulkNanoseconds) = (UInt64.max, UInt64.min, 0, UInt64(0))
        let hasCalls = !workload.isBulk
        var (kept, bulks): ([Record], [Record]) = ([], [])
        for line in records.split(separator: "\n").dropFirst() {
            guard let record = Record(line) else {
                (state, reason) = (.failed, "the records are damaged")
                return
            }
            if record.kind == "bulk" {
                bulks.append(record)
                bulkBytes += record.up + record.down
                bulkNanoseconds += record.end - record.start
            }
            if record.kind != "bulk" || !hasCalls {
                if record.ok { histogram.record(max(1, (record.end - record.intended) / 1000)) }
                kept.append(record)
            }
            (first, end) = (min(first, record.start), max(end, record.end))
            usefulBytes += record.up + record.down
        }
        guard end > first else { return }
        if histogram.totalCount > 0 { latencyMs = Self.shares.map { Double(histogram.valueAtPercentile($0)) / 1000 } }
        callsPerSecond = Double(histogram.totalCount) / (Double(end - first) / 1e9)
        megabitsPerSecond = bulkNanoseconds > 0 ? Double(bulkBytes) * 8000 / Double(bulkNanoseconds) : Double(usefulBytes) * 8000 / Double(end - first)
        guard let zero else { return }
        let step = max(1, (kept.count + 399) / 400)
        let some = stride(from: 0, to: kept.count, by: step).map { kept[$0] }
        func linkTime(_ time: UInt64) -> Double { time > zero ? Double(time - zero) / 1e9 : 0 }
        if hasCalls { limitCalls = some.filter(\.ok).map { LimitCall(atS: linkTime($0.intended), up: $0.up, down: $0.down) } }
        // Of a transfer: its request or its answer is a few bytes.
        limitBulks = bulks.filter(\.ok).map { LimitCall(atS: linkTime($0.intended), up: max(8, $0.up), down: max(8, $0.down)) }
        if repetition == 0, workload.kind == "open" || workload.kind == "call-during-bulk" {
            points = some.map { [(linkTime($0.intended) * 1000).rounded() / 1000, $0.ok ? Double(($0.end - $0.intended) / 1000) / 1000 : -1] }
        }
    }

    mutating func takeLimits(_ exchanges: [LimitExchange], isBulk: Bool) {
        if isBulk {
            limitMbps = exchanges.compactMap(\.mbps).max()
            return
        }
        let times = exchanges.compactMap(\.ms).sorted()
        limitP50Ms = Statistics.quantile(times, 0.5)
        limitP99Ms = Statistics.quantile(times, 0.99)
    }
}

enum Statistics {
    /// Of sorted values.
    static func quantile(_ sorted: [Double], _ share: Double) -> Double? {
        sorted.isEmpty ? nil : sorted[min(sorted.count - 1, max(0, Int((Double(sorted.count) * share).rounded(.up)) - 1))]
    }

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
