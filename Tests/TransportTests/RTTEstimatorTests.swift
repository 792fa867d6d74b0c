import MastTimebase
import MastTransport
import Testing

/// RFC 9002 section 5.
@Suite struct RTTEstimatorTests {
    private func estimator(_ samples: [(rtt: Int64, delay: Int64)], initial: Int64 = 100) -> RTTEstimator {
        var estimator = RTTEstimator(initial: .milliseconds(initial))
        for sample in samples { estimator.update(sample: .milliseconds(sample.rtt), ackDelay: .milliseconds(sample.delay)) }
        return estimator
    }

    @Test func beforeTheFirstSampleTheInitialValueStands() {
        let estimator = estimator([], initial: 80)
        #expect(!estimator.hasSample)
        #expect(estimator.smoothed == .milliseconds(80) && estimator.variation == .milliseconds(40))
        #expect(estimator.latest == nil && estimator.minimum == nil)
    }

    /// Section 5.3: the first sample sets everything, its acknowledgement delay counts for nothing.
    @Test func theFirstSampleSetsEverything() {
        let estimator = estimator([(60, 30)])
        #expect(estimator.hasSample)
        #expect(estimator.smoothed == .milliseconds(60) && estimator.variation == .milliseconds(30))
        #expect(estimator.latest == .milliseconds(60) && estimator.minimum == .milliseconds(60))
    }

    struct Case: CustomTestStringConvertible, Sendable {
        let samples: [(rtt: Int64, delay: Int64)]
        /// Microseconds.
        let smoothed: Int64
        let variation: Int64
        let minimum: Int64
        let why: String
        var testDescription: String { why }
    }

    static let cases = [
        Case(
            samples: [(100, 0), (200, 0)], smoothed: 112_500, variation: 62_500, minimum: 100_000,
            why: "(700 + 200) / 8; (3 × 50 + 100) / 4"),
        Case(
            samples: [(100, 0), (200, 20)], smoothed: 110_000, variation: 57_500, minimum: 100_000, why: "200 − 20 = 180; (150 + 80) / 4"),
        Case(
            samples: [(100, 0), (120, 20)], smoothed: 100_000, variation: 37_500, minimum: 100_000, why: "120 − 20 is not below the minimum"
        ),
        Case(
            samples: [(100, 0), (120, 21)], smoothed: 102_500, variation: 42_500, minimum: 100_000,
            why: "120 − 21 is: no delay is taken off"),
        Case(
            samples: [(100, 0), (60, 0)], smoothed: 95_000, variation: 47_500, minimum: 60_000,
            why: "the difference counts without its sign"),
        Case(samples: [(100, 0), (60, 30)], smoothed: 95_000, variation: 47_500, minimum: 60_000, why: "the minimum takes no delay off"),
        Case(
            samples: [(100, 0), (60, 0), (76, 10)], smoothed: 91_375, variation: 42_875, minimum: 60_000,
            why: "(7 × 95 + 66) / 8; (3 × 47.5 + 29) / 4; the minimum stays"),
    ]

    @Test(arguments: cases) func followsSection5(_ example: Case) {
        let estimator = estimator(example.samples)
        #expect(estimator.smoothed == .microseconds(example.smoothed))
        #expect(estimator.variation == .microseconds(example.variation))
        #expect(estimator.minimum == .microseconds(example.minimum))
        #expect(estimator.latest == example.samples.last.map { .milliseconds($0.rtt) })
    }

    /// A clock that stands still or goes back gives no round trip of zero.
    @Test(arguments: [0, -5]) func noSampleIsBelowAMicrosecond(milliseconds: Int64) {
        let estimator = estimator([(milliseconds, 0)])
        #expect(estimator.smoothed == .microseconds(1) && estimator.minimum == .microseconds(1) && estimator.latest == .microseconds(1))
    }

    /// Against the formulas in floating point.
    @Test(arguments: [UInt64](1...20)) func agreesWithTheFormulas(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var estimator = RTTEstimator(initial: .milliseconds(100))
        var (smoothed, variation, minimum) = (0.0, 0.0, Double.infinity)
        for round in 0..<500 {
            let sample = Double(10_000_000 + random.next(below: 200_000_000))
            let delay = Double(random.next(below: 60_000_000))
            estimator.update(sample: .nanoseconds(Int64(sample)), ackDelay: .nanoseconds(Int64(delay)))
            minimum = min(minimum, sample)
            if round == 0 {
                (smoothed, variation) = (sample, sample / 2)
            } else {
                let adjusted = sample >= minimum + delay ? sample - delay : sample
                variation = 0.75 * variation + 0.25 * abs(smoothed - adjusted)
                smoothed = 0.875 * smoothed + 0.125 * adjusted
            }
            // Whole nanoseconds lose less than ten over all rounds, since each forgets the errors before it.
            #expect(abs(Double(estimator.smoothed.nanoseconds) - smoothed) < 10)
            #expect(abs(Double(estimator.variation.nanoseconds) - variation) < 20)
            #expect(estimator.minimum == .nanoseconds(Int64(minimum)))
        }
    }
}
