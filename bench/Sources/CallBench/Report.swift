import Foundation

/// All measurements of one run, as text or as JSON.
struct Report {
    let load: Load
    let semantics: String
    var measurements: [Measurement] = []

    private static let percentiles: [(name: String, value: Double)] = [("p50", 50), ("p90", 90), ("p99", 99), ("p999", 99.9)]

    func text() -> String {
        var lines = [
            "Echo of \(load.payloadBytes) bytes over loopback, two processes, \(ProcessInfo.processInfo.activeProcessorCount) cores,"
                + " \(format(load.duration)) s each after \(format(load.warmup)) s of warm-up, closed loop; calls are \(semantics)",
            "",
            ["", "per second", "p50 µs", "p90 µs", "p99 µs", "p99.9 µs", "max µs", "CPU µs client", "server", "failed"].row,
        ]
        for m in measurements {
            let latencies =
                Self.percentiles.map { format(m.microseconds(percentile: $0.value)) } + [format(Double(m.histogram.max) / 1_000)]
            let server = m.name == "udp" ? "-" : format(m.perCall(m.serverCPUNanoseconds))
            lines.append(
                ([m.title, String(Int(m.perSecond.rounded()))] + latencies + [
                    format(m.perCall(m.clientCPUNanoseconds)), server, String(m.failures),
                ]).row)
        }
        for m in measurements where m.name == "calls" { lines += ["", "\(m.title), latency of \(m.count):"] + bars(m) }
        for failure in measurements.compactMap(\.firstFailure).prefix(3) { lines.append("first failure: \(failure)") }
        return lines.joined(separator: "\n")
    }

    /// Two buckets to the octave, from the fastest to the slowest.
    private func bars(_ m: Measurement) -> [String] {
        var buckets: [(from: Double, to: Double, count: UInt64)] = []
        var from = Double(max(1, m.histogram.minNonZero))
        let end = Double(m.histogram.max)
        while from <= end, buckets.count < 64 {
            let to = from * 2.0.squareRoot()
            buckets.append((from, to, m.histogram.count(within: UInt64(from)...max(UInt64(from), UInt64(to) - 1))))
            from = to
        }
        let most = Double(max(1, buckets.map(\.count).max() ?? 1))
        return buckets.filter { $0.count > 0 }.map { bucket in
            let bar = String(repeating: "∎", count: max(1, Int(Double(bucket.count) / most * 40)))
            return "  " + "up to \(format(bucket.to / 1_000)) µs".leftPadded(18) + String(bucket.count).leftPadded(9) + "  " + bar
        }
    }

    func json() throws -> String {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
        return String(decoding: try encoder.encode(Object(self)), as: UTF8.self)
    }

    private struct Object: Encodable {
        struct Row: Encodable {
            let name: String
            let inFlight: Int
            let count: UInt64
            let failed: Int
            let perSecond: Double
            let meanUs, p50Us, p90Us, p99Us, p999Us, maxUs: Double
            let clientCPUPerCallUs: Double
            let serverCPUPerCallUs: Double?
        }

        let payloadBytes: Int
        let semantics: String
        let durationSeconds, warmupSeconds: Double
        let cores: Int
        let measurements: [Row]

        init(_ report: Report) {
            payloadBytes = report.load.payloadBytes
            semantics = report.semantics
            durationSeconds = report.load.duration
            warmupSeconds = report.load.warmup
            cores = ProcessInfo.processInfo.activeProcessorCount
            measurements = report.measurements.map { m in
                Row(
                    name: m.name, inFlight: m.inFlight, count: m.count, failed: m.failures, perSecond: m.perSecond,
                    meanUs: m.histogram.mean / 1_000,
                    p50Us: m.microseconds(percentile: 50), p90Us: m.microseconds(percentile: 90), p99Us: m.microseconds(percentile: 99),
                    p999Us: m.microseconds(percentile: 99.9), maxUs: Double(m.histogram.max) / 1_000,
                    clientCPUPerCallUs: m.perCall(m.clientCPUNanoseconds),
                    serverCPUPerCallUs: m.name == "udp" ? nil : m.perCall(m.serverCPUNanoseconds))
            }
        }
    }
}

extension Measurement {
    var title: String { (name == "udp" ? "bare UDP" : "calls") + ", \(inFlight) in flight" }
}

private func format(_ value: Double) -> String {
    value >= 100 ? String(Int(value.rounded())) : String(format: "%.1f", value)
}

extension String {
    fileprivate func leftPadded(_ width: Int) -> String { String(repeating: " ", count: max(0, width - count)) + self }
}

extension [String] {
    fileprivate var row: String {
        enumerated().map { index, cell in
            index == 0 ? cell + String(repeating: " ", count: Swift.max(0, 26 - cell.count)) : cell.leftPadded(index == 7 ? 15 : 11)
        }.joined()
    }
}
