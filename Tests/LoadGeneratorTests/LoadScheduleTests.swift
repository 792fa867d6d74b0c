import MastLoadGenerator
import MastTimebase
import Testing

@Suite struct LoadScheduleTests {
    private func starts(_ schedule: LoadSchedule, _ numbers: [Int]) -> [Double?] {
        numbers.map { schedule.start(of: $0).map { Double($0.microseconds) / 1_000 } }
    }

    @Test func aConstantRateHasEqualGapsAndNoDrift() {
        let schedule = LoadSchedule(.constant(1_000), length: .seconds(10))
        #expect(starts(schedule, [0, 1, 2, 9_999, 10_000]) == [0, 1, 2, 9_999, nil])
        #expect(schedule.start(of: -1) == nil)
        // A third of a second has no end in decimals: 3 billion calls later it is still where it belongs.
        #expect(LoadSchedule(.constant(3)).start(of: 3_000_000_000) == .seconds(1_000_000_000))
        #expect(schedule.length == .seconds(10))
    }

    @Test func aNumberOfCallsEndsItWithinItsTime() {
        let schedule = LoadSchedule(.constant(100), calls: 3)
        #expect(starts(schedule, [0, 2, 3]) == [0, 20, nil])
        #expect(schedule.length == .milliseconds(30))
        #expect(starts(LoadSchedule(.constant(100), calls: 30, length: .milliseconds(20)), [1, 2]) == [10, nil])
    }

    /// 100 to 300 calls a second within 2 s: 100 t + 50 t² calls after t seconds, 400 in all.
    @Test func aRampIsTheIntegralOfItsRate() {
        let schedule = LoadSchedule(.ramp(from: 100, to: 300, over: .seconds(2)), length: .seconds(3))
        #expect(starts(schedule, [0, 150, 400, 700, 699]) == [0, 1_000, 2_000, nil, 2_996.666])
        #expect(schedule.rate(at: .seconds(1)) == 200)
        #expect(schedule.rate(at: .seconds(5)) == 300)
        var last = Interval.zero
        for number in 1..<700 {
            let start = schedule.start(of: number) ?? .zero
            #expect(start > last)
            last = start
        }
    }

    @Test func aRampToNothingEndsThere() {
        let schedule = LoadSchedule(.ramp(from: 100, to: 0, over: .seconds(2)))
        #expect(schedule.start(of: 75) == .seconds(1))
        #expect(schedule.start(of: 99) != nil && schedule.start(of: 101) == nil)
        // From nothing the first one is due when a whole one is.
        #expect(LoadSchedule(.ramp(from: 0, to: 2, over: .seconds(1))).start(of: 1) == .seconds(1))
    }

    @Test func stepsFollowEachOtherAndTheLastStays() {
        let schedule = LoadSchedule(.steps([10, 100], each: .seconds(1)), length: .seconds(3))
        #expect(starts(schedule, [0, 9, 10, 11, 110, 111, 209, 210]) == [0, 900, 1_000, 1_010, 2_000, 2_010, 2_990, nil])
        #expect(schedule.rate(at: .milliseconds(999)) == 10)
        #expect(schedule.rate(at: .milliseconds(1_001)) == 100)
        #expect(LoadSchedule.ownLength(schedule.shape) == .seconds(2))
    }

    @Test func theWarmUpComesBeforeAtTheFirstRateAndDoesNotCount() {
        let schedule = LoadSchedule(.steps([10, 100], each: .seconds(1)), calls: 20, warmup: .milliseconds(500))
        #expect(schedule.warmupCalls == 5)
        #expect(starts(schedule, [0, 4, 5, 14, 15, 24, 25]) == [0, 400, 500, 1_400, 1_500, 1_590, nil])
        // A warm-up of a call and a half has two.
        let odd = LoadSchedule(.constant(1), calls: 1, warmup: .milliseconds(1_500))
        #expect(starts(odd, [0, 1, 2, 3]) == [0, 1_000, 1_500, nil])
    }

    @Test(arguments: [
        ("100..2000/30s", LoadSchedule.Shape.ramp(from: 100, to: 2_000, over: .seconds(30))),
        ("10..0/500ms", .ramp(from: 10, to: 0, over: .milliseconds(500))),
        ("0.5..1/1m", .ramp(from: 0.5, to: 1, over: .seconds(60))),
        ("0..0/1s", nil), ("100..2000", nil), ("100..2000/30", nil), ("100..2000/0s", nil), ("a..b/1s", nil), ("-1..5/1s", nil), ("1..2..3/1s", nil),
        ("1..1e9/1s", nil), ("1..99999999999/1s", nil), ("", nil), ("/", nil),
    ])
    func aRampIsWritten(_ text: String, _ shape: LoadSchedule.Shape?) { #expect(LoadSchedule.Shape(ramp: text) == shape) }

    @Test(arguments: [
        ("100,500,1000/10s", LoadSchedule.Shape.steps([100, 500, 1_000], each: .seconds(10))),
        ("100..400+100/1s", .steps([100, 200, 300, 400], each: .seconds(1))),
        ("100..350+100/1s", .steps([100, 200, 300], each: .seconds(1))),
        ("30..10+10/1s", .steps([30, 20, 10], each: .seconds(1))),
        ("5/1s", .steps([5], each: .seconds(1))),
        ("1..1000+1/1s", nil), ("100,0/1s", nil), ("100,/1s", nil), ("100..200+0/1s", nil), ("0..10+5/1s", nil), ("100..200/1s", nil), ("x/1s", nil),
    ])
    func stepsAreWritten(_ text: String, _ shape: LoadSchedule.Shape?) { #expect(LoadSchedule.Shape(steps: text) == shape) }

    @Test func aLoadIsSaid() {
        #expect(LoadSchedule.Shape.constant(100).text == "100/s")
        #expect(LoadSchedule.Shape.constant(0.25).text == "0.25/s")
        #expect(LoadSchedule.Shape.ramp(from: 1, to: 1_000, over: .seconds(5)).text == "1 to 1000/s within 5s")
        #expect(LoadSchedule.Shape.steps([1, 2.5], each: .seconds(5)).text == "1, 2.5/s, each for 5s")
    }
}
