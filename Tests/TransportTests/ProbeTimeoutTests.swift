import MastTimebase
import MastTransport
import Testing

/// RFC 9002 section 6.2, with backoff ×1.5 and caps.
@Suite struct ProbeTimeoutTests {
    /// A path whose every sample was the same often enough that nothing varies.
    private func steady(_ milliseconds: Int64) -> RTTEstimator {
        var rtt = RTTEstimator(initial: .milliseconds(100))
        for _ in 0..<200 { rtt.update(sample: .milliseconds(milliseconds), ackDelay: .zero) }
        return rtt
    }

    private func fresh(_ milliseconds: Int64) -> RTTEstimator {
        var rtt = RTTEstimator(initial: .milliseconds(100))
        rtt.update(sample: .milliseconds(milliseconds), ackDelay: .zero)
        return rtt
    }

    private func interval(_ rtt: RTTEstimator, _ consecutive: Int = 0, silent: Interval = .zero) -> Interval {
        ProbeTimeout.interval(rtt: rtt, consecutive: consecutive, silentFor: silent)
    }

    @Test func isTheRoundTripAndFourTimesItsVariation() {
        #expect(interval(fresh(40)) == .milliseconds(120), "40 + 4 × 20")
        #expect(interval(fresh(10)) == .milliseconds(30), "10 + 4 × 5")
        #expect(interval(RTTEstimator(initial: .milliseconds(50))) == .milliseconds(150), "50 + 4 × 25, before any sample")
    }

    @Test func twoMillisecondsAreTheLeastVariation() {
        #expect(interval(steady(40)) == .milliseconds(42))
        #expect(interval(fresh(1)) == .milliseconds(3), "4 × 0.5 ms is 2 ms too")
    }

    @Test func growsByHalfWithEachProbe() {
        let expected: [Int64] = [40_000_000, 60_000_000, 90_000_000, 135_000_000, 202_500_000, 250_000_000, 250_000_000]
        #expect((0..<7).map { interval(steady(38), $0).nanoseconds } == expected)
    }

    struct Cap: Sendable { let silent, cap: Interval }
    static let caps = [
        Cap(silent: .zero, cap: .milliseconds(250)), Cap(silent: .milliseconds(29_999), cap: .milliseconds(250)),
        Cap(silent: .seconds(30), cap: .seconds(1)), Cap(silent: .milliseconds(59_999), cap: .seconds(1)),
        Cap(silent: .seconds(60), cap: .seconds(5)), Cap(silent: .seconds(600), cap: .seconds(5)),
    ]

    @Test(arguments: caps) func theCapRisesWithTheSilence(_ example: Cap) {
        #expect(interval(steady(38), 100, silent: example.silent) == example.cap)
    }

    @Test func aLongOutageOverflowsNothing() {
        #expect(interval(steady(38), .max, silent: .max) == .seconds(5))
        #expect(interval(steady(38), 16, silent: .seconds(60)) == .seconds(5), "40 ms × 1.5^16 is 26 s")
        // 2.001 ms × 1.5^16: a very short path stops growing there.
        #expect((1_314...1_315).contains(interval(steady(0), 16, silent: .seconds(60)).milliseconds))
        #expect(interval(steady(0), 17, silent: .seconds(60)) == interval(steady(0), 16, silent: .seconds(60)))
        #expect(interval(steady(38), 11, silent: .seconds(60)) < .seconds(4), "40 ms × 1.5^11 is 3.46 s")
    }

    /// Or every packet of such a path would be probed.
    @Test func aPathSlowerThanTheCapKeepsItsRoundTrip() {
        #expect(interval(steady(600)) == .milliseconds(602))
        #expect(interval(steady(600), 8) == .milliseconds(602), "no backoff below thirty seconds of silence")
        #expect(interval(steady(600), 8, silent: .seconds(30)) == .seconds(1))
        #expect(interval(steady(600), 1, silent: .seconds(30)) == .milliseconds(903))
        #expect(interval(fresh(600)) == .milliseconds(752) && interval(fresh(600), 3, silent: .seconds(30)) == .seconds(1), "5/4 of it: its variation, 300 ms, is not counted")
    }

    /// Something that was held back for ten seconds and then came is one sample of ten seconds.
    @Test func aStallDoesNotSilenceProbes() {
        var rtt = steady(40)
        rtt.update(sample: .seconds(10), ackDelay: .zero)
        #expect(interval(rtt) < .milliseconds(1_700), "40 × 7/8 + 10,000 / 8, and a quarter")
        for _ in 0..<16 { rtt.update(sample: .milliseconds(40), ackDelay: .zero) }
        #expect(interval(rtt) <= .milliseconds(250))
    }
}
