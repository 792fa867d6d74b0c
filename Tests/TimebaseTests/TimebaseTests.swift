import MastTimebase
import Testing

@Suite("Interval histogram")
struct IntervalHistogramTests {
    @Test func quantilesAreWithinOnePartIn128() throws {
        var histogram = IntervalHistogram()
        for value in 1...100_000 { histogram.add(.microseconds(Int64(value))) }
        for share in [0.01, 0.5, 0.95, 0.99] {
            let found = try #require(histogram.quantile(share)).nanoseconds
            let exact = Int64(share * 100_000) * 1_000
            #expect(found >= exact && found - exact <= exact / 128)
        }
        #expect(histogram.quantile(1) == .milliseconds(100))
        #expect(histogram.mean == .nanoseconds(50_000_500))
    }

    @Test func smallValuesAreExactAndNegativeOnesZero() {
        var histogram = IntervalHistogram()
        for value in [-5, 3, 7, 200] as [Int64] { histogram.add(.nanoseconds(value)) }
        #expect(histogram.quantile(0.25) == .zero)
        #expect(histogram.quantile(0.5) == .nanoseconds(3))
        #expect(histogram.quantile(0.75) == .nanoseconds(7))
        #expect(histogram.maximum == .nanoseconds(200))
    }
}
