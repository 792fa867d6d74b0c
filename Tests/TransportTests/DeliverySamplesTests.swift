import MastTimebase
import MastTransport
import Testing

/// draft-ietf-ccwg-bbr section 4.1, in packets of 1,000 bytes.
@Suite struct DeliverySamplesTests {
    private let rtt = RTTEstimator(initial: .milliseconds(100))

    private func at(_ milliseconds: Int64) -> Instant { .zero + .milliseconds(milliseconds) }

    private func take(_ samples: inout DeliverySamples, at milliseconds: Int64) -> DeliverySamples.Sample? {
        samples.take(rtt: rtt, at: at(milliseconds))
    }

    /// Sent a millisecond apart from the first on.
    private func sent(_ count: Int) -> DeliverySamples {
        var samples = DeliverySamples()
        for index in 0..<count { samples.onSent(bytes: 1_000, inFlight: (index + 1) * 1_000, at: at(Int64(index))) }
        return samples
    }

    @Test func theRateIsWhatArrivedWhileAPacketWasUnderWay() throws {
        var samples = sent(10)
        samples.onArrival(bytes: 1_000, sentAt: at(0), at: at(50))
        let one = take(&samples, at: 50)
        let first = try #require(one)
        #expect(first.rate == 20_000 && first.delivered == 1_000 && first.arrived == 1_000 && first.roundTrip == .milliseconds(50))
        samples.onSent(bytes: 1_000, inFlight: 10_000, at: at(50))
        for index in 1..<10 as Range<Int64> {
            samples.onArrival(bytes: 1_000, sentAt: at(index), at: at(50 + index * 2))
            _ = take(&samples, at: 50 + index * 2)
        }
        samples.onArrival(bytes: 1_000, sentAt: at(50), at: at(100))
        let another = take(&samples, at: 100)
        let last = try #require(another)
        #expect(last.rate == 200_000 && last.delivered == 10_000 && last.departure.inFlight == 10_000, "10,000 bytes since 50 ms")
        #expect(samples.count == 0)
    }

    /// Ten that are told of at once came no faster than they were sent.
    @Test func acknowledgementsThatComeTogetherRaiseNoRate() throws {
        var samples = sent(1)
        samples.onArrival(bytes: 1_000, sentAt: at(0), at: at(10))
        _ = take(&samples, at: 10)
        for index in 0..<10 { samples.onSent(bytes: 1_000, inFlight: (index + 2) * 1_000, at: at(10 + 4 * Int64(index))) }
        for index in 0..<10 as Range<Int64> { samples.onArrival(bytes: 1_000, sentAt: at(10 + 4 * index), at: at(47)) }
        let taken = take(&samples, at: 47)
        let sample = try #require(taken)
        #expect(sample.arrived == 10_000 && sample.delivered == 10_000)
        #expect((sample.rate - 10_000 / 0.046).magnitude < 1, "sent within 46 ms, told within 37")
    }

    @Test func silenceIsNoPartOfARate() throws {
        var samples = sent(1)
        samples.onArrival(bytes: 1_000, sentAt: at(0), at: at(50))
        _ = take(&samples, at: 50)
        samples.onSent(bytes: 1_000, inFlight: 1_000, at: at(9_000))
        samples.onArrival(bytes: 1_000, sentAt: at(9_000), at: at(9_050))
        let sample = take(&samples, at: 9_050)
        #expect(sample?.rate == 20_000)
    }

    /// What was under way when there was no more bounds the samples of what follows, until it has arrived.
    @Test func whatFollowsAPauseIsTheApplicationsUntilThePauseHasPassed() {
        var samples = sent(2)
        samples.markAppLimited(inFlight: 2_000)
        samples.onSent(bytes: 1_000, inFlight: 3_000, at: at(5))
        var limited: [Bool?] = []
        for sentAt in [0, 1, 5] as [Int64] {
            samples.onArrival(bytes: 1_000, sentAt: at(sentAt), at: at(50 + sentAt))
            limited.append(take(&samples, at: 50 + sentAt)?.departure.isAppLimited)
        }
        #expect(limited == [false, false, true] && !samples.isAppLimited)
    }

    @Test func lossesAreCountedWhileAPacketWasUnderWay() throws {
        var samples = sent(5)
        let lost = samples.onLoss(bytes: 1_000, sentAt: at(0))
        #expect(lost?.inFlight == 1_000 && lost?.lost == 0)
        samples.onArrival(bytes: 1_000, sentAt: at(4), at: at(50))
        let sample = take(&samples, at: 50)
        #expect(sample?.lost == 1_000)
    }

    @Test func whatLeavesTogetherSharesAnEntry() {
        var samples = DeliverySamples()
        for index in 1...10 { samples.onSent(bytes: 1_000, inFlight: index * 1_000, at: at(0)) }
        #expect(samples.count == 1)
        for _ in 1...9 { samples.onArrival(bytes: 1_000, sentAt: at(0), at: at(50)) }
        let sample = take(&samples, at: 50)
        #expect(sample?.departure.inFlight == 10_000 && samples.count == 1)
        samples.onArrival(bytes: 1_000, sentAt: at(0), at: at(51))
        _ = take(&samples, at: 51)
        #expect(samples.count == 0)
    }

    /// A peer that acknowledges nothing, and packets whose end nobody tells.
    @Test func theTableIsBounded() {
        var samples = sent(100_000)
        #expect(samples.count == 16_384)
        samples.onArrival(bytes: 1_000, sentAt: at(0), at: at(100_000))
        let forgotten = take(&samples, at: 100_000)
        #expect(forgotten == nil)
        samples.onArrival(bytes: 1_000, sentAt: at(99_999), at: at(100_050))
        let known = take(&samples, at: 100_050)
        #expect(known != nil && samples.count <= 801, "eight round trips")
    }

    @Test(arguments: [Int64.min, -1, 0, 7, Int64.max]) func timesOfNoPacketAreNoSample(nanoseconds: Int64) {
        var samples = DeliverySamples()
        samples.onSent(bytes: 1_000, inFlight: 1_000, at: at(1))
        samples.onArrival(bytes: 1_000, sentAt: Instant(nanoseconds: nanoseconds), at: at(50))
        let none = take(&samples, at: 50)
        #expect(none == nil && samples.delivered == 1_000)
        // At once, and before it was sent.
        samples.onArrival(bytes: 1_000, sentAt: at(1), at: Instant(nanoseconds: nanoseconds))
        let odd = samples.take(rtt: rtt, at: Instant(nanoseconds: nanoseconds))
        #expect(odd.map { $0.rate >= 0 && $0.roundTrip > .zero } == true)
    }
}
