import MastTimebase
import MastTransport
import Testing

/// RFC 9002 section 6.1: a packet is lost when three later ones arrived, or one that was sent 9/8 of a round trip later.
@Suite struct LossDetectorTests {
    private func rtt(smoothed: Interval, latest: Interval? = nil) -> RTTEstimator {
        var rtt = RTTEstimator(initial: smoothed)
        guard let latest else { return rtt }
        // The last of many equal samples, and one that counts for an eighth.
        for _ in 0..<400 { rtt.update(sample: smoothed, ackDelay: .zero) }
        rtt.update(sample: latest, ackDelay: .zero)
        return rtt
    }

    /// Packets 0, 1, … sent a millisecond apart from the beginning of the run.
    private func sent(_ count: Int64) -> SentPackets {
        var sent = SentPackets(firstNumber: 0)
        for number in 0..<count {
            sent.append(bytes: 100, windowLimited: true, isCopied: false, frames: [], at: .zero + .milliseconds(number))
        }
        return sent
    }

    private func detector(largest: UInt64) -> LossDetector {
        var detector = LossDetector()
        detector.onAcknowledged(largest: largest)
        return detector
    }

    // MARK: by count

    struct Count: Sendable { let acknowledged: UInt64, lost: [UInt64] }
    static let counts = [
        Count(acknowledged: 0, lost: []), Count(acknowledged: 1, lost: []), Count(acknowledged: 2, lost: []),
        Count(acknowledged: 3, lost: [0]),
        Count(acknowledged: 4, lost: [0, 1]), Count(acknowledged: 9, lost: [0, 1, 2, 3, 4, 5, 6]),
    ]

    @Test(arguments: counts) func threeLaterPacketsMakeALoss(_ example: Count) {
        let (lost, again) = detector(largest: example.acknowledged).detect(
            in: sent(10), rtt: rtt(smoothed: .milliseconds(80)), at: .zero + .milliseconds(20))
        #expect(lost == example.lost)
        // The oldest of those that are only late is looked at 90 ms after it was sent.
        let oldest = UInt64(example.lost.count)
        #expect(again == (oldest < example.acknowledged ? .zero + .milliseconds(90 + Int64(oldest)) : nil))
    }

    @Test func nothingIsLostBeforeTheFirstAcknowledgement() {
        let (lost, again) = LossDetector().detect(in: sent(10), rtt: rtt(smoothed: .milliseconds(80)), at: .zero + .seconds(60))
        #expect(lost.isEmpty && again == nil)
    }

    @Test func anOlderAcknowledgementTakesNothingBack() {
        var detector = detector(largest: 4)
        detector.onAcknowledged(largest: 2)
        #expect(detector.largestAcknowledged == 4)
        detector.onAcknowledged(largest: 7)
        #expect(detector.largestAcknowledged == 7)
    }

    @Test func onlyWhatIsOutstandingIsLost() {
        var sent = SentPackets(firstNumber: 0)
        for number in 0..<5 as Range<Int64> {
            let now = Instant.zero + .milliseconds(number)
            if number == 2 {
                sent.skip(at: now)
            } else {
                sent.append(bytes: 100, windowLimited: true, isCopied: false, frames: [], at: now)
            }
        }
        _ = sent.conclude(0, as: .acknowledged)
        _ = sent.conclude(1, as: .lost)
        let (lost, again) = detector(largest: 4).detect(in: sent, rtt: rtt(smoothed: .milliseconds(80)), at: .zero + .seconds(60))
        #expect(lost == [3])
        #expect(again == nil)
    }

    // MARK: by time

    @Test func isLostExactlyNineEighthsOfARoundTripAfterItWasSent() {
        let rtt = rtt(smoothed: .milliseconds(80))
        let due = Instant.zero + .milliseconds(90)
        let detector = detector(largest: 1)
        let early = detector.detect(in: sent(2), rtt: rtt, at: due - .nanoseconds(1))
        #expect(early.lost.isEmpty && early.again == due)
        let late = detector.detect(in: sent(2), rtt: rtt, at: due)
        #expect(late.lost == [0] && late.again == nil)
    }

    /// Section 6.1.2: the larger of the smoothed and the latest round trip.
    @Test func theLargerRoundTripCounts() {
        let slower = rtt(smoothed: .milliseconds(80), latest: .milliseconds(160))
        #expect(detector(largest: 1).detect(in: sent(2), rtt: slower, at: .zero).again == .zero + .milliseconds(180))
        let faster = rtt(smoothed: .milliseconds(80), latest: .milliseconds(16))
        #expect(faster.smoothed == .milliseconds(72))
        #expect(detector(largest: 1).detect(in: sent(2), rtt: faster, at: .zero).again == .zero + .milliseconds(81))
    }

    /// Section 6.1.2: the granularity of timers.
    @Test func waitsAMillisecondAtLeast() {
        let near = rtt(smoothed: .microseconds(100))
        #expect(detector(largest: 1).detect(in: sent(2), rtt: near, at: .zero).again == .zero + .milliseconds(1))
        let border = rtt(smoothed: .microseconds(1_600))
        #expect(detector(largest: 1).detect(in: sent(2), rtt: border, at: .zero).again == .zero + .microseconds(1_800))
    }

    // MARK: losses that were none

    @Test func aSpuriousLossWidensBothThresholds() {
        var detector = detector(largest: 0)
        #expect(detector.packetThreshold == 3 && detector.timeThresholdEighths == 9)
        detector.onSpuriousLoss(distance: 1)
        #expect(detector.packetThreshold == 3 && detector.timeThresholdEighths == 10)
        detector.onSpuriousLoss(distance: 5)
        #expect(detector.packetThreshold == 6 && detector.timeThresholdEighths == 11)
        detector.onSpuriousLoss(distance: 4)
        #expect(detector.packetThreshold == 6, "it shrinks for nothing")
        detector.onAcknowledged(largest: 6)
        let (lost, again) = detector.detect(in: sent(10), rtt: rtt(smoothed: .milliseconds(80)), at: .zero + .milliseconds(20))
        #expect(lost == [0])
        #expect(again == .zero + .milliseconds(121), "twelve eighths of 80 ms after packet 1")
    }

    @Test func theThresholdsHaveTheirLimits() {
        var detector = LossDetector()
        detector.onSpuriousLoss(distance: 18)
        #expect(detector.packetThreshold == 19)
        detector.onSpuriousLoss(distance: 19)
        #expect(detector.packetThreshold == 20)
        for distance in 20...40 as ClosedRange<UInt64> { detector.onSpuriousLoss(distance: distance) }
        #expect(detector.packetThreshold == 20 && detector.timeThresholdEighths == 16)
    }

    // MARK: against the rule in its plainest form

    /// Packets with gaps in time and numbers, acknowledged, lost and skipped by chance: each is asked for itself.
    @Test(arguments: [UInt64](1...40)) func agreesWithAPlainReading(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var sent = SentPackets(firstNumber: random.next(below: 1_000))
        var detector = LossDetector()
        var rtt = RTTEstimator(initial: .milliseconds(50))
        var model: [(number: UInt64, at: Instant, isOutstanding: Bool)] = []
        var largest: UInt64?
        var now = Instant.zero
        for _ in 0..<600 {
            now += .microseconds(Int64(random.next(below: 8_000)))
            switch random.next(below: 10) {
            case 0: sent.passOver()
            case 1: sent.skip(at: now)
            case 2...6:
                model.append((sent.nextNumber, now, true))
                sent.append(bytes: 100, windowLimited: false, isCopied: false, frames: [], at: now)
            default:
                guard let index = model.indices.randomElement(using: &random), model[index].isOutstanding else { continue }
                rtt.update(sample: .microseconds(Int64(20_000 + random.next(below: 60_000))), ackDelay: .zero)
                model[index].isOutstanding = false
                _ = sent.conclude(model[index].number, as: .acknowledged)
                largest = max(largest ?? 0, model[index].number)
                detector.onAcknowledged(largest: model[index].number)
                if random.next(below: 40) == 0 { detector.onSpuriousLoss(distance: random.next(below: 8)) }
            }
            let patience = Interval.nanoseconds(
                max(max(rtt.smoothed, rtt.latest ?? .zero).nanoseconds * detector.timeThresholdEighths / 8, 1_000_000))
            let candidates = model.filter { packet in packet.isOutstanding && largest.map { packet.number < $0 } ?? false }
            let late = candidates.filter { now - $0.at >= patience || (largest ?? 0) - $0.number >= detector.packetThreshold }
            let waiting = candidates.filter { packet in !late.contains { $0.number == packet.number } }
            let found = detector.detect(in: sent, rtt: rtt, at: now)
            #expect(found.lost == late.map(\.number))
            #expect(found.again == waiting.map { $0.at + patience }.min())
            for number in found.lost {
                _ = sent.conclude(number, as: .lost)
                if let index = model.firstIndex(where: { $0.number == number }) { model[index].isOutstanding = false }
            }
            if random.next(below: 20) == 0 { sent.prune(lostBefore: now - .milliseconds(100)) }
        }
    }
}
