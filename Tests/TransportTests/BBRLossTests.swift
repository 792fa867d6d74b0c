import MastLinkModel
import MastTimebase
import MastTransport
import Testing

/// What losses do to BBR (draft-ietf-ccwg-bbr sections 5.5.10 and 5.5.11), and that nothing a peer does stops it.
@Suite struct BBRLossTests {
    /// In the phase for the first time; from then on no more waits.
    private func path(in phase: BBR.Phase, queue: Double = .infinity) -> Bottleneck {
        let path = Bottleneck()
        #expect(path.run(until: { $0.control.phase == phase }), "\(phase) was never reached")
        path.queue = queue
        return path
    }

    /// lost before + x = 2 % of (in flight before + x), and three datagrams that are chance.
    @Test func theBearableIsWhereLossesReachTwoPercent() {
        let bearable = BBRModel.bearable(inFlight: 100_000, lost: 6_000, bytes: 1_200, datagramSize: 1_200)
        let lost = 4_800 + bearable - 98_800
        #expect((lost - 3_600 - bearable * 0.02).magnitude < 0.01 && (98_800...100_000).contains(bearable), "\(bearable)")
        #expect(!BBRModel.isTooMuch(lost: 5_600, of: 100_000, datagramSize: 1_200) && BBRModel.isTooMuch(lost: 5_601, of: 100_000, datagramSize: 1_200))
    }

    /// A queue of a tenth of what the path holds is overrun by a probe of a quarter more.
    @Test func aProbeThatLosesTooMuchSetsABound() {
        let path = path(in: .up, queue: 10_000)
        let started = path.now
        #expect(path.run(until: { $0.control.model.longInFlight < .infinity }))
        #expect(path.control.phase == .down && path.now - started < .milliseconds(120), "before three rounds are over")
        let bound = path.control.model.longInFlight
        #expect((0.7...1.4).contains(bound / path.product), "\(bound)")
        #expect(path.run(until: { $0.control.phase == .cruise }))
        #expect(path.run(until: { $0.now - started > .milliseconds(200) || $0.control.phase != .cruise }))
        #expect(Double(path.control.window) <= path.control.model.longInFlight * 0.85 + 1, "a share is left to others")
    }

    /// The probe after one that lost too much ends where that one lost; if it loses nothing, another follows at once.
    @Test func theNextProbeIsCautious() {
        let path = path(in: .up, queue: 10_000)
        #expect(path.run(until: { $0.control.phase == .down }))
        path.queue = .infinity
        #expect(path.run(until: { $0.control.phase == .up }))
        let begun = path.control.model.round
        #expect(path.run(until: { $0.control.phase == .down }))
        #expect(path.control.model.round - begun <= 2, "\(path.control.model.round - begun)")
        let bound = path.control.model.longInFlight
        #expect(path.run(until: { $0.control.phase == .refill }, within: .milliseconds(200)), "no cruise between")
        #expect(path.run(until: { $0.control.phase == .down }))
        #expect(path.control.model.longInFlight > bound, "what was lost once is no bound for ever")
    }

    /// By 1, 2, 4 … datagrams in a round trip.
    @Test func aBoundThatIsTooLowIsOutgrown() {
        let path = path(in: .up, queue: 10_000)
        #expect(path.run(until: { $0.control.phase == .cruise }))
        path.queue = .infinity
        path.rate *= 5
        #expect(path.run(until: { $0.control.model.maximumBandwidth > $0.rate * 0.9 }, within: .seconds(15)))
    }

    @Test func aShallowQueueIsFilledWithoutMuchLoss() {
        let path = Bottleneck()
        path.queue = 20_000
        path.run(for: .seconds(15))
        #expect(Double(path.arrived) > path.rate * 15 * 0.85 && Double(path.lost) < Double(path.arrived) * 0.02, "\(path.lost) of \(path.arrived)")
    }

    /// While nothing is probed each round trip with losses lowers what is sent to what arrived, by three tenths at most.
    @Test func lossesLowerTheShortBoundsUntilTheNextProbe() {
        let path = path(in: .cruise)
        let window = Double(path.control.window)
        path.loses = { $0 % 10 == 0 }
        #expect(path.run(until: { $0.control.model.shortBandwidth < .infinity }))
        let model = path.control.model
        #expect(model.shortInFlight >= window * 0.7 && model.shortInFlight < window)
        #expect((0.7...1.0).contains(model.shortBandwidth / model.maximumBandwidth))
        path.run(for: .milliseconds(400))
        #expect(path.control.model.shortBandwidth < model.shortBandwidth)
        #expect(path.run(until: { $0.control.phase == .refill }))
        #expect(path.control.model.shortBandwidth == .infinity && path.control.model.shortInFlight == .infinity)
    }

    @Test func aSpuriousLossRestoresWhatItLowered() {
        let path = path(in: .cruise)
        let window = path.control.window
        path.loses = { $0 % 10 == 0 }
        #expect(path.run(until: { $0.control.model.shortBandwidth < .infinity }))
        path.control.onSpuriousLoss(at: path.now)
        #expect(path.control.model.shortBandwidth == .infinity && path.control.model.shortInFlight == .infinity)
        #expect(path.control.window >= window && path.control.phase == .cruise)
    }

    @Test func aProbeThatLostNothingAfterAllIsRepeated() {
        let path = path(in: .up, queue: 10_000)
        #expect(path.run(until: { $0.control.phase == .down }))
        path.control.onSpuriousLoss(at: path.now)
        #expect(path.control.phase == .refill && path.control.model.longInFlight == .infinity)
        let again = path.control
        path.control.onSpuriousLoss(at: path.now)
        #expect(path.control.window == again.window && path.control.phase == .refill, "once")
    }

    /// Without a queue to blame, up to what is tolerated.
    @Test(arguments: [0.001, 0.01, 0.02]) func randomLossHardlySlows(share: Double) {
        let path = Bottleneck()
        var chance = SeededGenerator(seed: 5)
        path.loses = { _ in Double(chance.next() >> 11) / 9_007_199_254_740_992 < share }
        path.run(for: .seconds(2))
        let before = path.arrived
        path.run(for: .seconds(12))
        let used = Double(path.arrived - before) / path.rate / 12
        #expect(used > 0.8, "\(used)")
    }

    // MARK: whatever a peer does

    @Test func theSameHappeningsAreTheSameDecisions() {
        func trace() -> [Int] {
            let path = Bottleneck()
            path.queue = 30_000
            path.loses = { $0 % 97 == 0 }
            var windows: [Int] = []
            path.run(for: .seconds(8)) { path in
                windows.append(path.control.window)
                return true
            }
            return windows
        }
        let first = trace()
        #expect(first.count > 5_000 && first == trace())
    }

    /// Acknowledgements of what it pleases, at once or never, of packets that nobody remembers, late losses and undone ones.
    @Test(arguments: 0..<20 as Range<UInt64>) func noAcknowledgementStopsOrUnboundsIt(seed: UInt64) {
        var chance = SeededGenerator(seed: seed, stream: "bbr")
        let maximum = 1 << 20
        var control = BBR(datagramSize: 1_200, maximumWindow: maximum)
        var rtt = RTTEstimator(initial: .milliseconds(100))
        var now = Instant.zero
        var (inFlight, number): (Int, UInt64) = (0, 0)
        var sent: [Instant] = []
        for _ in 0..<20_000 {
            let draw = chance.next()
            now = now + .nanoseconds(Int64(draw >> 40) * (draw % 5_000 == 0 ? 10_000 : 1))
            let sentAt = sent.isEmpty || draw % 11 == 0 ? Instant(nanoseconds: Int64(truncatingIfNeeded: chance.next())) : sent[Int(draw >> 8) % sent.count]
            let bytes = draw % 13 == 0 ? 1 : 1_200
            switch draw % 8 {
            case 0...2:
                inFlight = inFlight + 1_200 > control.window ? 1_200 : inFlight + 1_200
                sent.append(now)
                if sent.count > 500 { sent.removeFirst() }
                control.onSent(bytes: 1_200, inFlight: inFlight, at: now)
            case 3: control.onNothingToSend(inFlight: inFlight)
            case 4:
                number = draw % 3 == 0 ? draw : number &+ 1
                control.onPacketLoss(LostPacket(number: number, bytes: bytes, sentAt: sentAt), at: now)
            case 5 where draw % 7 == 0: control.onSpuriousLoss(at: now)
            default:
                inFlight = max(0, inFlight - bytes)
                rtt.update(sample: now - sentAt, ackDelay: .zero)
                control.onArrival(ArrivedPacket(bytes: bytes, sentAt: sentAt), rtt: rtt, at: now)
                control.onAcknowledgement(FlightState(rtt: rtt, inFlight: inFlight, arrivedBytes: bytes, lostBytes: 0), at: now)
            }
            #expect(control.window > 0 && control.window <= maximum)
            #expect(control.pacing(rtt).map { $0.bytes > 0 && $0.per == .seconds(1) } ?? true)
        }
        #expect(control.samples.count <= 16_384)
    }

    @Test func anotherNetworkStartsOver() {
        let path = path(in: .cruise)
        path.control.onPathChange(at: path.now)
        #expect(path.control.window == 12_000 && path.control.isInSlowStart && path.control.model.maximumBandwidth == 0)
        #expect(path.control.pacing(RTTEstimator(initial: .milliseconds(100))) == nil, "no round trip, no pace")
    }

    // MARK: under the transport

    @Test(arguments: [(5_000, 40), (20_000, 20), (20_000, 40), (20_000, 100), (50_000, 40)] as [(Int64, Int64)])
    func aDownloadFillsTheLink(kbit: Int64, roundTrip: Int64) throws {
        let result = try Download(.bbr, kbit: kbit, roundTrip: roundTrip)
        #expect(result.share > 0.9, "\(result)")
    }

    @Test(arguments: [0.001, 0.01, 0.02]) func randomLossHardlySlowsADownload(share: Double) throws {
        let result = try Download(.bbr, loss: .independent(Probability(share)))
        #expect(result.share > 0.8, "\(result)")
    }

    @Test func aDownloadThroughAShallowQueueLosesLittle() throws {
        let result = try Download(.bbr, queue: .dropTail(QueueLimit(packets: 50)))
        #expect(result.share > 0.85 && result.lost < 0.02, "\(result)")
    }
}
