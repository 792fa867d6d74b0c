import MastLoadGenerator
import MastTimebase
import Testing

@Suite struct LoadCollectorTests {
    private func collector(_ length: Interval = .seconds(1), isFixed: Bool = false, countsFailures: Bool = false) -> LoadCollector {
        LoadCollector(slices: LoadSlices(length: length, isFixed: isFixed), countsFailures: countsFailures, keepsRecords: true)
    }

    @Test func whatEndsHowIsCounted() {
        var collector = collector()
        collector.add(.example(0, due: 0, latency: 1))
        collector.add(.example(1, due: 10, latency: 2))
        collector.add(.example(2, due: 20, latency: 50, .failed(.late, .unknown, message: "the deadline passed")))
        collector.add(.example(3, due: 30, latency: 50, .failed(.late, .none, message: "the deadline passed")))
        collector.add(.example(4, due: 40, latency: 3, .failed(.fault, .committed, message: "no")))
        collector.add(.example(5, due: 50, latency: 100, .notSent))
        collector.add(.example(6, due: 60, latency: 1, .interrupted))
        collector.add(.example(7, due: -5, latency: 1))
        #expect(collector.count == 6 && collector.succeeded == 2 && collector.failed == 4)
        #expect(collector.notSent == 1 && collector.interrupted == 1 && collector.warmupCalls == 1)
        #expect(collector.latencies.count == 2, "of those that succeeded")
        #expect(collector.lastDone == .milliseconds(80), "one that was not sent has not ended")
        let late = collector.statuses.first { $0.code == .late }
        #expect(late?.count == 3 && late?.effects == [2, 0, 1])
        #expect(collector.failures.map(\.count) == [2, 1, 1])
        #expect(collector.records.count == 6)
    }

    @Test func failedCallsCountWhereTheyAreAskedFor() {
        var collector = collector(countsFailures: true)
        collector.add(.example(0, due: 0, latency: 1))
        collector.add(.example(1, due: 0, latency: 900, .failed(.unavailable, .none, message: "")))
        #expect(collector.latencies.count == 2 && collector.latencies.largest == .milliseconds(900))
    }

    @Test func aServersMessagesAreBounded() {
        var collector = collector()
        for number in 0..<1_000 {
            collector.add(.example(number, due: 0, latency: 1, .failed(.fault, .unknown, message: "\(number)" + String(repeating: "x", count: 10_000))))
        }
        #expect(collector.failures.count == LoadCollector.mostFailures && collector.otherFailures == 1_000 - LoadCollector.mostFailures)
        #expect(collector.failures.allSatisfy { $0.message.count <= 200 })
    }

    @Test func percentilesAreThoseOfTheLatencies() {
        var latencies = LatencyHistogram()
        #expect(latencies.percentile(50) == nil && latencies.bars(10).isEmpty && latencies.curve.isEmpty)
        for microseconds in 1...10_000 { latencies.add(.microseconds(Int64(microseconds))) }
        for (percent, exact) in [(10.0, 1.0), (50, 5), (90, 9), (99, 9.9), (99.9, 9.99)] {
            let found = latencies.percentile(percent) ?? 0
            #expect((found - exact).magnitude <= exact / 1_000 * 1.01, "\(percent) %: \(found)")
        }
        #expect(latencies.percentile(100) == 10 && latencies.least == .microseconds(1) && latencies.mean == 5.0005)
        let bars = latencies.bars(10)
        #expect(bars.count == 11 && bars.reduce(0) { $0 + $1.count } == 10_000)
        #expect(bars.first?.count == 1 && bars.dropFirst().allSatisfy { (990...1_010).contains($0.count) })
        #expect(bars.first?.mark == 0.001 && bars.last?.mark == 10)
    }

    @Test func equalLatenciesAreOneBarAndAnHourIsTheMost() {
        var latencies = LatencyHistogram()
        latencies.add(.seconds(100_000))
        latencies.add(.seconds(100_000))
        #expect(latencies.bars(10).map(\.count) == [2])
        latencies.add(.nanoseconds(-5))
        #expect(latencies.count == 3 && latencies.bars(10).reduce(0) { $0 + $1.count } == 3)
    }

    @Test func callsBelongWhereTheyWereDueAndAnswersWhereTheyCame() {
        var slices = LoadSlices(length: .seconds(1))
        slices.add(.example(0, due: 100, latency: 5))
        slices.add(.example(1, due: 200, latency: 2_000))
        slices.add(.example(2, due: 1_500, latency: 10, .failed(.unavailable, .none, message: "")))
        #expect(slices.slices.map(\.due) == [2, 1, 0])
        #expect(slices.slices.map(\.ended) == [1, 1, 1])
        #expect(slices.slices.map(\.failed) == [0, 1, 0])
        #expect(slices.slices[0].largest == .seconds(2) && slices.slices[1].p50 == nil)
    }

    @Test func aLongRunHasLongerSlicesAndLosesNothing() {
        var slices = LoadSlices(length: .seconds(1))
        for second in 0..<1_000 { slices.add(.example(second, due: Double(second) * 1_000, latency: 1)) }
        #expect(slices.slices.count <= LoadSlices.mostSlices && slices.length == .seconds(16))
        #expect(slices.slices.reduce(0) { $0 + $1.due } == 1_000 && slices.slices.reduce(0) { $0 + $1.ended } == 1_000)
        #expect(slices.slices[0].due == 16)
    }

    /// An answer that comes long after its call joins slices while the call is being counted.
    @Test func joiningSlicesForAnAnswerKeepsItsCall() {
        var slices = LoadSlices(length: .seconds(1))
        slices.add(.example(0, due: 119_500, latency: 600_000))
        #expect(slices.slices.reduce(0) { $0 + $1.due } == 1 && slices.slices.reduce(0) { $0 + $1.ended } == 1)
    }

    @Test func stepsKeepTheirSlices() {
        var slices = LoadSlices(length: .seconds(1), isFixed: true)
        slices.add(.example(0, due: 500, latency: 1_000_000))
        #expect(slices.length == .seconds(1) && slices.slices.count == LoadSlices.mostSlices)
        #expect(slices.slices[0].due == 1 && slices.slices.last?.ended == 1)
    }
}

extension CallResult {
    /// In milliseconds.
    static func example(_ number: Int, due: Double, latency: Double, _ ending: Ending = .ok, _ delay: SendDelay = .onTime) -> CallResult {
        func interval(_ milliseconds: Double) -> Interval { Interval(nanoseconds: Int64(milliseconds * 1e6)) }
        var result = CallResult(number: number, intended: interval(due), sent: interval(due), done: interval(due + latency), ending: ending)
        result.delay = delay
        return result
    }
}

extension CallStatus {
    static let late = CallStatus(4, "deadlineExceeded")
    static let fault = CallStatus(13, "internal")
    static let unavailable = CallStatus(14, "unavailable")
}
