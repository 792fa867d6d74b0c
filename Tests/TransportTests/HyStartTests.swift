import MastTimebase
import MastTransport
import Testing

/// RFC 9406 section 4.2 and 4.3.
@Suite struct HyStartTests {
    private struct Run {
        var start = HyStart()
        var now = Instant.zero + .seconds(1)

        /// A round of so many packets with this round trip; whether slow start ended in it.
        mutating func round(_ milliseconds: Double, packets: Int = 10) -> Bool {
            let sent = now
            now += .milliseconds(100)
            var isOver = false
            for _ in 0..<packets {
                now += .milliseconds(1)
                start.onArrival(sentAt: sent + .nanoseconds(1))
                isOver = start.onAcknowledgement(.microseconds(Int64(milliseconds * 1_000)), at: now) || isOver
            }
            return isOver
        }
    }

    /// The round trip may grow by an eighth of itself, but by no less than 4 and no more than 16 ms.
    @Test(arguments: [(40, 44.9, false), (40, 45, true), (16, 19.9, false), (16, 20, true), (400, 415.9, false), (400, 416, true)] as [(Double, Double, Bool)])
    func aLongerRoundTripSlowsGrowth(first: Double, second: Double, slows: Bool) {
        var run = Run()
        let isOver = [run.round(first), run.round(second)]
        #expect(isOver == [false, false])
        #expect(run.start.divisor == (slows ? 4 : 1))
    }

    @Test(arguments: [(7, 1), (8, 1), (9, 4)]) func eightPacketsOfARoundAreNeeded(packets: Int, divisor: Int) {
        var run = Run()
        _ = run.round(40)
        _ = run.round(60, packets: packets)
        // The first of a round begins it.
        #expect(run.start.divisor == divisor)
    }

    @Test func endsAfterFiveSlowRounds() {
        var run = Run()
        var isOver = [40, 60, 60, 60, 60, 60].map { run.round($0) }
        #expect(isOver == [false, false, false, false, false, false])
        isOver = [run.round(60)]
        #expect(isOver == [true])
    }

    @Test func goesOnWhenItWasNoGrowth() {
        var run = Run()
        _ = run.round(40)
        _ = run.round(60)
        #expect(run.start.divisor == 4)
        _ = run.round(41)
        #expect(run.start.divisor == 1)
    }
}
