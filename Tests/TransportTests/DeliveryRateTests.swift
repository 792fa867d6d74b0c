import MastTimebase
import MastTransport
import Testing

/// Bytes by the peer's receive times. Milliseconds in, megabytes a second out.
@Suite struct DeliveryRateTests {
    private struct Path {
        var rate = DeliveryRate()
        var at = 0.0

        /// So many packets of 1,200 bytes, so far apart, each told at once or at `heard`.
        mutating func receive(_ count: Int, every gap: Double, transit: Double = 10, heard: Double? = nil) {
            for _ in 0..<count {
                at += gap
                rate.onArrival(bytes: 1_200, at: at * 1e6, heardAt: (heard ?? at) * 1e6, transit: transit * 1e6)
            }
        }

        mutating func measure(roundTrip: Double = 40, busyAbove: Double = 5, isLimited: Bool = true) -> Double? {
            rate.measure(roundTrip: roundTrip * 1e6, busyAbove: busyAbove * 1e6, isLimited: isLimited)
            return rate.value.map { ($0 * 1_000 * 100).rounded() / 100 }
        }
    }

    @Test func needsThreeQuartersOfFortyMilliseconds() {
        var path = Path()
        path.receive(30, every: 1)
        let told1 = path.measure()
        #expect(told1 == nil)
        path.receive(1, every: 1)
        let told2 = path.measure()
        #expect(told2 == 1.2)
    }

    @Test func aLongPathIsMeasuredOverHalfItsRoundTrip() {
        var path = Path()
        path.receive(100, every: 1)
        let told3 = path.measure(roundTrip: 400)
        #expect(told3 == nil)
        path.receive(60, every: 1)
        let told4 = path.measure(roundTrip: 400)
        #expect(told4 == 1.2)
    }

    /// Of the last 40 ms and the last 100 ms the larger counts: a lull is not yet a slower path.
    @Test func theLargerOfTwoSpansCounts() {
        var path = Path()
        path.receive(101, every: 1)
        _ = path.measure()
        path.receive(20, every: 2)
        let lull = path.measure()
        #expect(lull.map { $0 > 0.9 && $0 < 1.0 } == true)
        path.receive(50, every: 2)
        let told5 = path.measure()
        #expect(told5 == 0.6)
        path.receive(80, every: 0.6)
        let told6 = path.measure()
        #expect(told6 == 2)
    }

    @Test func withAnEmptyQueueItIsABoundFromBelow() {
        var path = Path()
        path.receive(101, every: 1)
        let told7 = path.measure()
        #expect(told7 == 1.2)
        path.receive(60, every: 4, transit: 1)
        let told8 = path.measure()
        #expect(told8 == 1.2, "what came is what was sent")
        path.receive(60, every: 4)
        let told9 = path.measure(isLimited: false)
        #expect(told9 == 1.2, "nor does an application's pace say anything")
        path.receive(60, every: 4)
        let told10 = path.measure()
        #expect(told10 == 0.3)
    }

    /// A policer has no queue: what it lets through is the rate.
    @Test func whereMuchIsLostWhatCameIsTheRate() {
        var path = Path()
        path.receive(101, every: 1)
        _ = path.measure()
        path.receive(60, every: 4, transit: 1)
        path.rate.measure(roundTrip: 40e6, busyAbove: 5e6, isLimited: true, isLosing: true)
        #expect(path.rate.value.map { ($0 * 1_000 * 100).rounded() / 100 } == 0.3)
    }

    /// A radio that is away for a while is as fast as before when it is back.
    @Test func aPauseIsNoPace() {
        var path = Path()
        path.receive(60, every: 1)
        let told11 = path.measure()
        #expect(told11 == 1.2)
        path.receive(1, every: 500)
        path.receive(10, every: 1)
        let told12 = path.measure()
        #expect(told12 == 1.2)
        path.receive(60, every: 1)
        let told13 = path.measure()
        #expect(told13 == 1.2)
    }

    /// 64 kbit/s: every packet takes longer than what else is a pause.
    @Test func aSlowPathIsOnlyPauses() {
        var path = Path()
        var told: [Double?] = []
        for _ in 0..<6 {
            path.receive(1, every: 150)
            told.append(path.measure())
        }
        #expect(told.contains(0.01) && told.allSatisfy { $0 == nil || $0 == 0.01 }, "8 kB a second")
    }

    /// A satellite at a gigabit: more packets a round trip than are remembered.
    @Test func aLongFastPathIsMeasuredOverAQuarterOfASecond() {
        var path = Path()
        path.receive(3_000, every: 0.1)
        let told = path.measure(roundTrip: 900)
        #expect(told.map { abs($0 - 12) < 0.02 } == true)
    }

    /// Nor is the time in which there was nothing to send.
    @Test func anApplicationsPauseIsNoPace() {
        var path = Path()
        path.receive(60, every: 1)
        let before = path.measure()
        path.rate.restart()
        path.receive(1, every: 60)
        path.receive(45, every: 1)
        let after = path.measure()
        #expect(before == 1.2 && after == 1.2)
    }

    /// A peer that says that what took 100 ms came within 40 is believed no more than four times what we heard.
    @Test func aPeersTimesAreBoundedByOurs() {
        var path = Path()
        for step in 0..<61 {
            path.receive(1, every: 1, heard: Double(step) * 10)
        }
        let told14 = path.measure()
        #expect(told14 == 0.48)
    }

    @Test func timesThatStandStillOrGoBackGiveNone() {
        var path = Path()
        path.receive(100, every: 0)
        let told15 = path.measure()
        #expect(told15 == nil)
        path.receive(100, every: -1)
        let told16 = path.measure()
        #expect(told16 == nil)
    }

    @Test func theGapFollowsNineOfTenArrivals() {
        var path = Path()
        path.receive(2_000, every: 1)
        #expect((0.9...1.1).contains(path.rate.gap / 1e6))
        for _ in 0..<400 {
            path.receive(8, every: 1)
            path.receive(2, every: 20)
        }
        #expect((15...20).contains(path.rate.gap / 1e6), "two in ten are of 20 ms")
    }
}
