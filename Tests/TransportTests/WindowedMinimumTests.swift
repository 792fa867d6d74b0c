import MastTimebase
import MastTransport
import Testing

/// The least of the last ten seconds, in halves of five.
@Suite struct WindowedMinimumTests {
    private func value(_ samples: [(second: Int64, Int64)]) -> Int64? {
        var minimum = WindowedMinimum(over: .seconds(10))
        for (second, sample) in samples { minimum.insert(.milliseconds(sample), at: .zero + .seconds(second)) }
        return minimum.value?.milliseconds
    }

    @Test func isNothingBeforeAnythingWasSeen() { #expect(value([]) == nil) }

    @Test(arguments: [
        ([(0, 40), (1, 30), (2, 50)], 30),
        // Kept for the half that follows its own, and no longer.
        ([(0, 30), (5, 50)], 30), ([(0, 30), (9, 50)], 30), ([(0, 30), (5, 50), (10, 60)], 50), ([(0, 30), (4, 20), (5, 50), (9, 40)], 20),
        // A smaller one counts at once.
        ([(0, 30), (6, 20)], 20),
        // After a silence of the whole time nothing of before holds.
        ([(0, 30), (10, 50)], 50), ([(0, 30), (3, 20), (100, 70)], 70),
    ] as [([(Int64, Int64)], Int64)])
    func theLeastOfLately(samples: [(Int64, Int64)], least: Int64) { #expect(value(samples) == least) }

    @Test func aNewBeginningForgets() {
        var minimum = WindowedMinimum(over: .seconds(10))
        minimum.insert(.milliseconds(20), at: .zero)
        minimum.reset(to: .milliseconds(35), at: .zero + .seconds(1))
        #expect(minimum.value == .milliseconds(35))
        minimum.insert(.milliseconds(50), at: .zero + .seconds(5))
        minimum.insert(.milliseconds(50), at: .zero + .seconds(7))
        #expect(minimum.value == .milliseconds(35))
    }
}
