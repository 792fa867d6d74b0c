import MastTimebase
import MastTransport
import Testing

/// Token buckets by source: a burst, then a rate to the nanosecond.
@Suite struct SourceBudgetTests {
    private static let salt: (UInt64, UInt64) = (11, 22)
    private let source = TrafficSource(NetworkAddress(ipv4: 0x0A00_0001, port: 1))

    private func budget(_ perSecond: Int, _ burst: Int, salt: (UInt64, UInt64) = Self.salt) -> SourceBudget {
        SourceBudget(perSecond: perSecond, burst: burst, salt: salt)
    }

    /// How often it may at one instant.
    private func taken(_ budget: inout SourceBudget, at time: Interval, _ source: TrafficSource? = nil) -> Int {
        var count = 0
        while count < 1_000, budget.take(source ?? self.source, at: .zero + time) { count += 1 }
        return count
    }

    @Test(arguments: [(4, 1), (4, 10), (1, 5), (0, 1), (-3, 1)]) func aBurstAtOnceAndNoMore(perSecond: Int, burst: Int) {
        var budget = budget(perSecond, burst)
        #expect(taken(&budget, at: .seconds(9)) == burst)
        #expect(taken(&budget, at: .seconds(9)) == 0)
    }

    @Test func aBudgetOfNothingIsOne() {
        var budget = budget(0, 0)
        #expect(taken(&budget, at: .zero) == 1)
        #expect(taken(&budget, at: .nanoseconds(999_999_999)) == 0)
        #expect(taken(&budget, at: .seconds(1)) == 1)
    }

    @Test func aTokenComesBackWhenItsTimeIsOver() {
        var budget = budget(4, 10)
        #expect(taken(&budget, at: .zero) == 10)
        for (time, expected) in [
            (.nanoseconds(249_999_999), 0), (.milliseconds(250), 1), (.nanoseconds(499_999_999), 0), (.milliseconds(500), 1),
            (.milliseconds(1_499), 3), (.milliseconds(1_500), 1), (.milliseconds(3_999), 9), (.milliseconds(4_000), 1), (.seconds(100), 10),
        ] as [(Interval, Int)] { #expect(taken(&budget, at: time) == expected, "at \(time.milliseconds) ms") }
    }

    /// What did not make a whole token is not lost, however often it is asked.
    @Test func askingOftenCostsNothing() {
        var budget = budget(3, 2)
        var count = taken(&budget, at: .zero)
        for step in 1...10_000 as ClosedRange<Int64> { count += taken(&budget, at: .milliseconds(step)) }
        #expect(count == 2 + 30)
    }

    @Test func aFullBucketDoesNotSaveUp() {
        var budget = budget(4, 2)
        #expect(taken(&budget, at: .zero) == 2)
        // Full again since half a second; the time since then makes nothing.
        #expect(budget.take(source, at: .zero + .milliseconds(740)) == true)
        #expect(taken(&budget, at: .milliseconds(740)) == 1)
        #expect(taken(&budget, at: .milliseconds(989)) == 0)
        #expect(taken(&budget, at: .milliseconds(990)) == 1)
    }

    @Test func timeThatStandsStillOrRunsBackMakesNothing() {
        var budget = budget(4, 2)
        #expect(taken(&budget, at: .seconds(5)) == 2)
        #expect(taken(&budget, at: .zero) == 0)
        #expect(taken(&budget, at: .seconds(5)) == 0)
    }

    @Test func sourcesDoNotDisturbEachOther() {
        var budget = budget(1, 3)
        let others = (0..<50 as Range<UInt32>).map { TrafficSource(NetworkAddress(ipv4: 0x0B00_0000 + $0, port: 1)) }
        #expect(taken(&budget, at: .zero) == 3)
        // Fifty in 4,096 buckets: with this salt two of them share one.
        let sum = others.reduce(0) { $0 + taken(&budget, at: .zero, $1) }
        #expect((3 * 48...3 * 50).contains(sum), "\(sum)")
    }

    /// Which sources share a bucket, the salt decides: over many salts, one pair in 4,096.
    @Test func whoSharesABucketNobodyOutsideCanTell() {
        let other = TrafficSource(NetworkAddress(ipv4: 0x0A00_0002, port: 1))
        var chance = SeededGenerator(seed: 1)
        var shared = 0
        for _ in 0..<300 {
            // Tables are large: a few sources at once stand for many salts.
            var budget = budget(1, 1, salt: (chance.next(), chance.next()))
            _ = budget.take(source, at: .zero)
            if !budget.take(other, at: .zero) { shared += 1 }
        }
        #expect(shared <= 2)
        // And so that none is always free: of 20,000 sources, about e^(−20,000 / 4,096) of the buckets have none.
        var budget = budget(1, 1)
        let served = (0..<20_000 as Range<UInt32>).count { budget.take(TrafficSource(NetworkAddress(ipv4: 0x0B00_0000 + $0, port: 1)), at: .zero) }
        #expect((4_040...SourceBudget.buckets).contains(served), "\(served) buckets of \(SourceBudget.buckets) were found")
    }

    @Test func eachHalfOfTheSaltDecides() {
        // With one half fixed, two sources that share a bucket under one salt part under another.
        let sources = (0..<2_000 as Range<UInt32>).map { TrafficSource(NetworkAddress(ipv4: 0x0C00_0000 + $0, port: 1)) }
        let pattern = { (salt: (UInt64, UInt64)) -> [Bool] in
            var budget = self.budget(1, 1, salt: salt)
            return sources.map { budget.take($0, at: .zero) }
        }
        let base = pattern((5, 6))
        #expect(pattern((5, 6)) == base)
        #expect(pattern((7, 6)) != base)
        #expect(pattern((5, 8)) != base)
    }
}
