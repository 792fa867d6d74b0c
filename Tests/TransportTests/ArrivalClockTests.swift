import MastTimebase
import MastTransport
import Testing

/// Whose clock tells when packets came.
@Suite struct ArrivalClockTests {
    private typealias Reading = ArrivalClock.Reading

    /// Heard at `now` milliseconds of ours, told at `told` of the peer's.
    private func read(_ clock: inout ArrivalClock, _ told: Int64?, at now: Int64) -> Reading {
        clock.read(
            ArrivedPacket(bytes: 1_200, sentAt: .zero, receivedAt: told.map { .milliseconds($0) }), at: .zero + .milliseconds(now))
    }

    private func endRound(_ clock: inout ArrivalClock, isMeasured: Bool = true, at now: Int64) -> Bool {
        clock.endRound(isMeasured: isMeasured, at: .zero + .milliseconds(now))
    }

    @Test func oursServesUntilThePeerTells() {
        var clock = ArrivalClock()
        var readings: [Reading] = []
        for (told, now) in [(nil, 1_000), (nil, 1_001), (5, 1_002), (6, 1_003), (nil, 1_004), (7, 1_005)] as [(Int64?, Int64)] {
            readings.append(read(&clock, told, at: now))
        }
        #expect(
            readings == [
                Reading(at: .milliseconds(1_000)), Reading(at: .milliseconds(1_001)), Reading(at: .milliseconds(5), isAnother: true),
                Reading(at: .milliseconds(6)), Reading(at: nil), Reading(at: .milliseconds(7)),
            ])
    }

    /// Late packets come out of order; a clock that is a second behind is another.
    @Test(arguments: [(9_000, false), (8_999, true)] as [(Int64, Bool)]) func aClockSetBackIsAnother(told: Int64, isAnother: Bool) {
        var clock = ArrivalClock()
        _ = read(&clock, 10_000, at: 1)
        let back = read(&clock, told, at: 2)
        let after = read(&clock, told + 1, at: 3)
        #expect(back.isAnother == isAnother && !after.isAnother)
    }

    /// Five rounds and 200 ms in which they showed nothing.
    @Test(arguments: [(true, false), (false, true), (false, false)]) func timesThatShowNothingAreGivenUp(isMeasured: Bool, isTold: Bool) {
        var clock = ArrivalClock()
        _ = read(&clock, 10, at: 0)
        _ = endRound(&clock, at: 0)
        var given: [Int64] = []
        for round in 0..<12 as Range<Int64> {
            let now = round * 40
            if isTold { _ = read(&clock, 10 + round, at: now) }
            if endRound(&clock, isMeasured: isMeasured, at: now) { given.append(now) }
        }
        #expect(given == [200] && !clock.isPeers)
        let later = read(&clock, 500, at: 501)
        #expect(later == Reading(at: .milliseconds(501)), "for good")
    }

    @Test func oneRoundWithATimeKeepsThem() {
        var clock = ArrivalClock()
        for round in 0..<40 as Range<Int64> {
            if round % 4 == 0 { _ = read(&clock, 10 + round, at: round * 100) }
            let isGiven = endRound(&clock, at: round * 100)
            #expect(!isGiven)
        }
        #expect(clock.isPeers)
    }
}
