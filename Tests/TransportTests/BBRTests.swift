import MastTimebase
import MastTransport
import Testing

/// draft-ietf-ccwg-bbr, and the cases of its appendix A, over one bottleneck.
@Suite struct BBRTests {
    /// In the phase for the first time, or wherever the time ended.
    private func path(in phase: BBR.Phase, mbit: Double = 20, roundTrip: Int64 = 40, queue: Double = .infinity) -> Bottleneck {
        let path = Bottleneck(mbit: mbit, roundTrip: roundTrip)
        path.queue = queue
        #expect(path.run(until: { $0.control.phase == phase }), "\(phase) was never reached")
        return path
    }

    // MARK: startup and drain

    @Test func threeRoundsWithoutAQuarterMoreAreAFullPipe() {
        var pipe = FullPipe()
        for rate in [100.0, 125, 156.25, 195, 195] { pipe.endRound(rate: rate) }
        #expect(!pipe.isFull, "195 is less than a quarter more than 156.25")
        pipe.endRound(rate: 195)
        #expect(pipe.isFull && pipe.wasFull)
        pipe.restart(from: 195)
        #expect(!pipe.isFull && pipe.wasFull)
        for rate in [200.0, 250, 250, 250] { pipe.endRound(rate: rate) }
        #expect(!pipe.isFull, "250 is more than a quarter more")
        pipe.endRound(rate: 250)
        #expect(pipe.isFull)
    }

    @Test(arguments: [(20, 40), (100, 40), (5, 200), (50, 20)] as [(Double, Int64)]) func startupFindsTheRate(mbit: Double, roundTrip: Int64) {
        let path = path(in: .drain, mbit: mbit, roundTrip: roundTrip)
        let model = path.control.model
        #expect((0.98...1.02).contains(model.maximumBandwidth / path.rate), "\(model.maximumBandwidth)")
        #expect(path.control.pacingGain == 0.5 && path.control.windowGain == 2 && !path.control.isInSlowStart)
        let drained = path.run(until: { $0.control.phase != .drain })
        #expect(drained && path.control.phase == .cruise, "what is drained need not be drained again")
        #expect(Double(path.inFlight) <= max(path.product * 1.02, 4_800), "\(path.inFlight)")
        #expect(path.control.model.round - model.round <= 3)
    }

    /// The path is half as fast from then on: at half the pace the queue does not empty.
    @Test func drainingEndsAfterThreeRoundsAtTheLatest() {
        let path = path(in: .drain)
        let round = path.control.model.round
        path.rate /= 2
        #expect(path.run(until: { $0.control.phase == .down }))
        #expect(path.control.model.round == round + 4 && Double(path.inFlight) > path.product * 1.5, "\(path.control.model.round - round), \(path.inFlight)")
    }

    @Test func startupLastsWhileTheApplicationBoundsIt() {
        let path = Bottleneck()
        path.application = path.rate / 10
        path.run(for: .milliseconds(4_900))
        #expect(path.control.phase == .startup && path.control.model.round > 50)
        // The probe of the round trip leads back to it.
        #expect(path.run(until: { $0.control.phase == .probeRTT }))
        #expect(path.run(until: { $0.control.phase != .probeRTT }, within: .seconds(1)))
        #expect(path.control.phase == .startup)
        path.application = nil
        #expect(path.run(until: { $0.control.phase == .drain }, within: .seconds(2)))
        #expect(path.control.model.maximumBandwidth > path.rate * 0.98)
    }

    /// One in five, of what the application bounds: no plateau would end it.
    @Test(arguments: [(5, true), (100, false)] as [(UInt64, Bool)]) func manyLossesInARoundEndStartup(every: UInt64, ends: Bool) {
        let path = Bottleneck()
        path.application = path.rate / 2
        path.loses = { $0 > 200 && $0 % every == 0 }
        #expect(path.run(until: { $0.control.phase != .startup }, within: .milliseconds(4_900)) == ends)
        guard ends else { return }
        #expect(path.control.phase == .drain && path.control.fullPipe.isFull)
        #expect(path.control.model.longInFlight < path.product * 1.1, "\(path.control.model.longInFlight)")
        path.control.onSpuriousLoss(at: path.now)
        #expect(path.control.phase == .startup && path.control.model.longInFlight == .infinity && !path.control.fullPipe.wasFull)
    }

    // MARK: the cycle

    @Test func everyPhaseHasItsGains() {
        var seen: [BBR.Phase: (pacing: Double, window: Double)] = [:]
        let path = Bottleneck()
        path.run(for: .seconds(12)) { path in
            let control = path.control
            seen[control.phase] = (control.pacingGain, control.windowGain)
            guard control.fullPipe.wasFull, let pace = control.pacing(path.rtt) else { return true }
            let expected = control.model.bandwidth * control.pacingGain * 0.99
            #expect((Double(pace.bytes) / pace.per.inSeconds - expected).magnitude < expected / 1e4, "\(control.phase)")
            return true
        }
        let phases: [BBR.Phase] = [.startup, .drain, .down, .cruise, .refill, .up, .probeRTT]
        #expect(phases.map { seen[$0]?.pacing } == [2.77, 0.5, 0.9, 1, 1, 1.25, 1])
        #expect(phases.map { seen[$0]?.window } == [2, 2, 2, 2, 2, 2.25, 0.5])
    }

    @Test func thePhasesFollowEachOther() {
        let path = Bottleneck(roundTrip: 100)
        var order: [BBR.Phase] = []
        var starts: [Instant] = []
        path.run(for: .milliseconds(4_500)) { path in
            guard path.control.phase != order.last else { return true }
            order.append(path.control.phase)
            starts.append(path.now)
            return true
        }
        #expect(order.starts(with: [.startup, .drain, .cruise, .refill, .up, .down]), "\(order)")
        guard order.count > 5 else { return }
        #expect((Interval.seconds(2)...Interval.seconds(3)).contains(starts[3] - starts[2]), "two to three seconds between probes")
        #expect(starts[4] - starts[3] >= .milliseconds(100), "a round trip to fill the pipe")
        #expect(starts[5] - starts[4] >= .milliseconds(300), "three rounds that grew by less than a quarter")
    }

    /// On a short path as soon as Reno would have grown by as much: 63 round trips, or a datagram each.
    @Test(arguments: [(100, 20, 63), (5, 20, 10)] as [(Double, Int64, Int)]) func shortPathsAreProbedByRounds(mbit: Double, roundTrip: Int64, rounds: Int) {
        let path = path(in: .down, mbit: mbit, roundTrip: roundTrip)
        let round = path.control.model.round
        #expect(path.run(until: { $0.control.phase == .refill }))
        #expect((rounds - 2...rounds + 2).contains(path.control.model.round - round), "\(path.control.model.round - round)")
    }

    @Test func aFasterPathIsFound() {
        let path = path(in: .cruise, mbit: 10)
        path.rate *= 10
        #expect(path.run(until: { $0.control.model.maximumBandwidth > $0.rate * 0.95 }, within: .seconds(8)))
    }

    @Test func aSlowerPathIsBelievedAfterTwoCycles() {
        let path = path(in: .cruise, mbit: 100, queue: 100_000)
        path.rate /= 10
        path.run(for: .seconds(1))
        #expect(path.control.model.bandwidth < path.rate * 2, "losses have lowered it, \(path.control.model.bandwidth)")
        path.run(for: .seconds(8))
        #expect(path.control.model.maximumBandwidth < path.rate * 1.1, "\(path.control.model.maximumBandwidth)")
    }

    // MARK: the round trip

    @Test func everyFiveSecondsTheQueueIsEmptied() {
        let path = path(in: .probeRTT)
        let begun = path.now
        #expect(begun.sinceStart > .seconds(5) && begun.sinceStart < .seconds(6))
        #expect(path.control.window <= Int(path.product * 0.51), "\(path.control.window)")
        #expect(path.run(until: { Double($0.inFlight) <= $0.product / 2 }))
        let emptied = path.now
        #expect(path.run(until: { $0.control.phase != .probeRTT }))
        #expect((Interval.milliseconds(200)...Interval.milliseconds(260)).contains(path.now - emptied), "\(path.now - emptied)")
        #expect(path.control.phase == .cruise && Double(path.control.window) > path.product)
        #expect(path.control.model.roundTrip.map { $0 < .milliseconds(42) } == true)
        #expect(path.run(until: { $0.control.phase == .probeRTT }))
        #expect((Interval.milliseconds(5_000)...Interval.milliseconds(5_600)).contains(path.now - emptied))
    }

    @Test func aLongerPathIsBelievedAfterTenSeconds() {
        let path = path(in: .cruise)
        path.roundTrip = .milliseconds(80)
        path.run(for: .seconds(16))
        #expect(path.control.model.roundTrip.map { $0 >= .milliseconds(80) && $0 < .milliseconds(84) } == true)
    }

    /// What is silent has emptied the queue.
    @Test func afterASilenceNothingIsProbed() {
        let path = path(in: .cruise)
        let bandwidth = path.control.model.maximumBandwidth
        path.pause(for: .seconds(6))
        #expect(path.inFlight == 0)
        var isProbed = false
        path.run(for: .seconds(1)) { path in
            isProbed = isProbed || path.control.phase == .probeRTT
            return true
        }
        #expect(!isProbed && path.control.model.maximumBandwidth >= bandwidth * 0.99)
    }

    // MARK: what the application bounds

    @Test func theApplicationsPauseLowersNoEstimate() {
        let path = path(in: .cruise)
        let bandwidth = path.control.model.maximumBandwidth
        path.application = path.rate / 10
        path.run(for: .seconds(8)) { path in
            #expect(path.control.model.maximumBandwidth >= bandwidth)
            return true
        }
        path.application = nil
        let before = path.arrived
        path.run(for: .seconds(2))
        #expect(Double(path.arrived - before) > path.rate * 2 * 0.9)
    }

    // MARK: lumps

    @Test func anExcessOfAcknowledgementsIsRememberedForSomeRounds() {
        var aggregation = AckAggregation()
        func acknowledge(_ bytes: Int, _ milliseconds: Int64, round: Int, rounds: Int = 3) -> Double {
            aggregation.onAcknowledgement(
                arrived: bytes, bandwidth: 1e6, most: 50_000, round: round, rounds: rounds, at: .zero + .milliseconds(milliseconds))
            return aggregation.extra
        }
        #expect(acknowledge(10_000, 0, round: 1) == 10_000)
        #expect(acknowledge(10_000, 5, round: 1) == 15_000, "20,000 where 5,000 were expected")
        #expect(acknowledge(1_000, 30, round: 2) == 15_000, "fewer than expected: another begins")
        #expect(acknowledge(1_000, 60, round: 3) == 15_000)
        #expect(acknowledge(1_000, 90, round: 4) == 1_000, "three rounds later")
        #expect(acknowledge(90_000, 120, round: 5) == 50_000)
    }

    @Test func aPathThatDeliversInLumpsIsKeptFull() {
        let path = Bottleneck()
        path.hold = .milliseconds(25)
        path.run(for: .seconds(2))
        let before = path.arrived
        path.run(for: .seconds(3))
        #expect(Double(path.arrived - before) > path.rate * 3 * 0.93, "\(Double(path.arrived - before) / path.rate / 3)")
        #expect(Double(path.control.window) > path.product * 2)
    }

    /// A path that holds less than a packet.
    @Test func fourDatagramsAreTheLeast() {
        let path = Bottleneck(mbit: 0.2, roundTrip: 10)
        path.run(for: .seconds(20))
        #expect((4_800...14_400).contains(path.control.window), "\(path.control.window)")
        #expect((0.9...1.1).contains(path.control.model.maximumBandwidth / path.rate))
        #expect(Double(path.arrived) > path.rate * 20 * 0.85)
    }
}
