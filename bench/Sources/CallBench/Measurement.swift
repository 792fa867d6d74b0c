import Histogram

/// One load's outcome.
struct Measurement: Sendable {
    let name: String
    let inFlight: Int
    let seconds: Double
    let failures: Int
    let firstFailure: String?
    /// Of latencies in nanoseconds, three digits exact.
    let histogram: Histogram<UInt64>
    let clientCPUNanoseconds: UInt64
    let serverCPUNanoseconds: UInt64

    init(
        name: String, inFlight: Int, nanoseconds: UInt64, samples: [Samples], clientCPUNanoseconds: UInt64, serverCPUNanoseconds: UInt64
    ) {
        self.name = name
        self.inFlight = inFlight
        seconds = Double(nanoseconds) / 1e9
        failures = samples.reduce(0) { $0 + $1.failures }
        firstFailure = samples.lazy.compactMap(\.firstFailure).first
        var histogram = Histogram<UInt64>(highestTrackableValue: 60_000_000_000, numberOfSignificantValueDigits: .three)
        for sample in samples { for value in sample.nanoseconds { histogram.record(min(value, 60_000_000_000)) } }
        self.histogram = histogram
        self.clientCPUNanoseconds = clientCPUNanoseconds
        self.serverCPUNanoseconds = serverCPUNanoseconds
    }

    var count: UInt64 { histogram.totalCount }
    var perSecond: Double { seconds > 0 ? Double(count) / seconds : 0 }
    func microseconds(percentile: Double) -> Double { Double(histogram.valueAtPercentile(percentile)) / 1_000 }
    func perCall(_ nanoseconds: UInt64) -> Double { count > 0 ? Double(nanoseconds) / Double(count) / 1_000 : 0 }
}
