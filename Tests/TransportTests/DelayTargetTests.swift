import MastLinkModel
import MastTimebase
import MastTransport
import Testing

/// Downloads through a queue, and what a peer may tell.
@Suite struct DelayTargetTests {
    private func download(
        _ control: CongestionControl = .delayTarget, kbit: Int64 = 20_000, roundTrip: Int64 = 40, queue: QueueDiscipline = .infinite, loss: LossModel = .none,
        changes: [LinkChange] = [], seconds: Int64 = 12
    ) throws -> Download {
        try Download(control, kbit: kbit, roundTrip: roundTrip, queue: queue, loss: loss, changes: changes, seconds: seconds)
    }

    @Test(arguments: [(5_000, 40), (20_000, 20), (20_000, 40), (20_000, 100), (50_000, 40)] as [(Int64, Int64)])
    func aDeepQueueStaysShortAndTheLinkFull(kbit: Int64, roundTrip: Int64) throws {
        let result = try download(kbit: kbit, roundTrip: roundTrip)
        #expect(result.share > 0.96 && result.wait < (kbit > 5_000 ? 35 : 45), "\(result)")
    }

    /// Six datagrams are a second at 64 kbit/s, and stay that: a minute later the queue is no longer.
    @Test(arguments: [(64, 2_000), (200, 600), (500, 300)] as [(Int64, Double)]) func aSlowLinkIsFullAndItsQueueDoesNotGrow(kbit: Int64, wait: Double) throws {
        let result = try download(kbit: kbit, seconds: 90)
        #expect(result.share > 0.9 && result.wait < wait, "\(result)")
    }

    @Test func cubicFillsIt() throws {
        let result = try download(.cubic)
        #expect(result.share > 0.96 && result.wait > 150, "\(result)")
    }

    @Test(arguments: [0.001, 0.01, 0.02, 0.05]) func randomLossDoesNotSlow(share: Double) throws {
        let result = try download(loss: .independent(Probability(share)))
        #expect(result.share > 0.87 && result.wait < 35, "\(result)")
    }

    @Test(arguments: [(20_000, 50), (20_000, 20), (50_000, 50)] as [(Int64, Int)]) func aShallowQueueIsNotOverrun(kbit: Int64, packets: Int) throws {
        let result = try download(kbit: kbit, queue: .dropTail(QueueLimit(packets: packets)))
        #expect(result.share > 0.85 && result.lost < 0.03, "\(result)")
    }

    /// A satellite that is 15 ms further away is no queue of ours.
    @Test func aLongerPathIsNotTakenForAQueue() throws {
        let change = LinkChange(at: .seconds(4), .delay(.milliseconds(35)))
        let result = try download(changes: [change], seconds: 20)
        #expect(result.share > 0.8, "\(result)")
    }

    /// Nor is one that is 100 ms longer, by another mast, after two drains.
    @Test func aMuchLongerPathIsNoticed() throws {
        let change = LinkChange(at: .seconds(4), .delay(.milliseconds(120)))
        let result = try download(changes: [change], seconds: 40)
        #expect(result.share > 0.7, "\(result)")
    }

    @Test func aSlowerLinkIsNoticedWithinARoundTripOrTwo() throws {
        let change = LinkChange(at: .seconds(5), .rate(Rate(bitsPerSecond: 4_000_000)))
        let result = try download(changes: [change])
        #expect(result.wait < 120, "\(result)")
    }

    @Test func aFasterLinkIsUsed() throws {
        let change = LinkChange(at: .seconds(4), .rate(Rate(bitsPerSecond: 60_000_000)))
        let result = try download(changes: [change])
        // Two of ten seconds at a third of the speed.
        #expect(result.share > 2.3, "\(result)")
    }

    // MARK: what a peer tells

    private func run(
        from start: Instant = .zero, maximumWindow: Int = 1 << 20, times: (Int) -> Interval?, losing: (Int) -> Bool = { _ in false }
    ) -> DelayTarget {
        var control = DelayTarget(datagramSize: 1_200, maximumWindow: maximumWindow)
        var rtt = RTTEstimator(initial: .milliseconds(100))
        for index in 0..<4_000 {
            let sent = start + .milliseconds(Int64(index))
            let now = sent + .milliseconds(40)
            rtt.update(sample: .milliseconds(40), ackDelay: .zero)
            control.onArrival(ArrivedPacket(bytes: 1_200, sentAt: sent, receivedAt: times(index)), rtt: rtt, at: now)
            if losing(index) { control.onLoss(bytes: 1_200, latestSentAt: sent, at: now) }
            control.onAcknowledgement(FlightState(rtt: rtt, inFlight: 48_000, arrivedBytes: 1_200, lostBytes: 0), at: now)
        }
        return control
    }

    /// 1.2 MB a second, whatever clock it is told by, or by none.
    @Test(arguments: [0, 123_456_789, nil] as [Int64?]) func theRateIsMeasured(clock: Int64?) {
        let control = run(times: { index in clock.map { .milliseconds(Int64(index) + 20 + $0) } })
        #expect(control.deliveryRate.map { (1.15e6...1.25e6).contains($0) } == true)
    }

    /// What a peer may tell of a packet that comes a millisecond after the one before.
    enum Telling: String, CaseIterable {
        case standingStill, notTheFirstThree, none, untilTheFirstSecond, oneInTen, setBackByAnHour, setForwardByAnHour

        func time(_ index: Int) -> Interval? {
            let right = Interval.milliseconds(Int64(index))
            switch self {
            case .standingStill: return .milliseconds(5)
            case .notTheFirstThree: return index < 3 ? nil : right
            case .none: return nil
            case .untilTheFirstSecond: return index < 1_000 ? right : nil
            case .oneInTen: return index % 10 == 0 ? right : nil
            case .setBackByAnHour: return right + (index < 2_000 ? .seconds(3_600) : .zero)
            case .setForwardByAnHour: return right + (index < 2_000 ? .zero : .seconds(3_600))
            }
        }
    }

    /// The rate is known in the end, and the window is no more than eight times what the path holds with the longest target (104 kB).
    @Test(arguments: Telling.allCases) func aPeersTimesMayBeMissingOrWrong(telling: Telling) {
        // A host that has run for ten hours.
        let control = run(from: .zero + .seconds(36_000), maximumWindow: 1 << 24, times: telling.time)
        #expect(control.deliveryRate.map { (1.1e6...1.3e6).contains($0) } == true, "\(String(describing: control.deliveryRate))")
        #expect(control.window < 835_000, "\(control.window)")
    }

    @Test(arguments: [0, 1, 7, Int64.max]) func absurdTimesNeitherTrapNorPassTheMaximum(step: Int64) {
        let control = run(times: { index in .nanoseconds(step &* Int64(index)) }, losing: { $0 % 3 == 0 })
        #expect(control.window >= 2 * 1_200 && control.window <= 1 << 20)
        #expect(control.pacing(RTTEstimator(initial: .milliseconds(100))) == nil, "no round trip, no pace")
    }

    /// Times that leap for longer than a drain waits for: nothing traps, and the base is what our own clock saw.
    @Test(arguments: [Int64.max, 1 << 60, 90_000_000_000_000]) func timesThatLeapNeitherTrapNorFillThePath(leap: Int64) {
        var control = DelayTarget(datagramSize: 1_200, maximumWindow: 1 << 24)
        var rtt = RTTEstimator(initial: .milliseconds(100))
        for index in 0..<20_000 {
            let sent = Instant.zero + .milliseconds(Int64(index))
            rtt.update(sample: .milliseconds(40), ackDelay: .zero)
            let told = Interval.milliseconds(Int64(index)) + (index > 300 ? .nanoseconds(leap) : .zero)
            control.onArrival(ArrivedPacket(bytes: 1_200, sentAt: sent, receivedAt: told), rtt: rtt, at: sent + .milliseconds(40))
            control.onAcknowledgement(FlightState(rtt: rtt, inFlight: 48_000, arrivedBytes: 1_200, lostBytes: 0), at: sent + .milliseconds(40))
        }
        #expect(control.window < 1 << 20, "\(control.window)")
    }

    @Test func anotherNetworkStartsOver() {
        var control = run(times: { .milliseconds(Int64($0) + 20) })
        control.onPathChange(at: .zero + .seconds(10))
        #expect(control.window == 12_000 && control.isInSlowStart && control.deliveryRate == nil)
    }
}
