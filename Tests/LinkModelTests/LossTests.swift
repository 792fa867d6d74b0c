import MastLinkModel
import MastTimebase
import Testing

@Suite("Loss")
struct LossTests {
    /// The lost packets among `count` sent every `spacing`.
    private func losses(_ model: LossModel, count: Int, spacing: Interval, seed: UInt64 = 11) -> [Bool] {
        var link = Link(LinkProfile(radioLoss: model), seed: seed, direction: .down)
        var outcomes: [LinkOutcome] = []
        for id in 0..<count { link.offer(LinkPacket(id: UInt64(id), bytes: 200), at: .zero + spacing * Int64(id)) }
        link.advance(to: .zero + spacing * Int64(count), &outcomes)
        return outcomes.map { !$0.isDelivered }
    }

    private func shareAndBurst(_ lost: [Bool]) -> (share: Double, burst: Double) {
        var bursts = 0
        for index in lost.indices where lost[index] && (index == 0 || !lost[index - 1]) { bursts += 1 }
        let count = lost.count { $0 }
        return (Double(count) / Double(lost.count), Double(count) / Double(max(1, bursts)))
    }

    @Test("independent loss has its share and bursts of 1/(1-p)")
    func independent() {
        let (share, burst) = shareAndBurst(losses(.independent(Probability(0.02)), count: 400_000, spacing: .microseconds(10)))
        #expect(abs(share - 0.02) < 0.001)
        #expect(abs(burst - 1 / 0.98) < 0.01)
        #expect(losses(.independent(.always), count: 100, spacing: .zero).allSatisfy { $0 })
        #expect(losses(.independent(.never), count: 100, spacing: .zero).allSatisfy { !$0 })
    }

    @Test("bursts by packet have their share and mean length, whatever the spacing", arguments: [Int64(1), 50_000])
    func byPacket(spacing: Int64) throws {
        let chain = try #require(GilbertElliott(share: Probability(0.05), meanBurstPackets: 5.4))
        #expect(abs(chain.lossShare.asDouble - 0.05) < 1e-6)
        let (share, burst) = shareAndBurst(losses(.gilbertElliott(chain), count: 600_000, spacing: .microseconds(spacing)))
        #expect(abs(share - 0.05) < 0.002)
        #expect(abs(burst - 5.4) < 0.15)
    }

    @Test("bursts by time last as long as they do, however often one sends", arguments: [Int64(500), 1_000, 5_000])
    func byTime(spacing: Int64) throws {
        let chain = try #require(GilbertElliott(share: Probability(0.1), meanBurst: .milliseconds(50)))
        let (share, burst) = shareAndBurst(
            losses(.gilbertElliott(chain), count: 2_000_000, spacing: .microseconds(spacing)))
        #expect(abs(share - 0.1) < 0.005)
        // Runs of the sampled chain: the chance to have left bad at the next sample, seen at this spacing.
        let steps = Double(spacing) / 1_000
        let memory = 1 - chain.enterBad.asDouble - chain.leaveBad.asDouble
        var kept = 1.0
        for _ in 0..<max(1, Int(steps)) { kept *= memory }
        let leave = (1 - chain.badShare.asDouble) * (1 - kept) * min(1, steps)
        #expect(abs(burst * leave - 1) < 0.06)
    }

    @Test("far apart, packets meet the chain's long-run share independently")
    func farApart() throws {
        let chain = try #require(GilbertElliott(share: Probability(0.3), meanBurst: .milliseconds(20)))
        let (share, burst) = shareAndBurst(losses(.gilbertElliott(chain), count: 200_000, spacing: .seconds(3600)))
        #expect(abs(share - 0.3) < 0.005)
        #expect(abs(burst - 1 / 0.7) < 0.02)
    }

    @Test("both states can lose a part")
    func partialLoss() {
        let chain = GilbertElliott(
            enterBad: Probability(0.01), leaveBad: Probability(0.04), lossInGood: Probability(0.001), lossInBad: Probability(0.5))
        let (share, _) = shareAndBurst(losses(.gilbertElliott(chain), count: 1_000_000, spacing: .zero))
        #expect(abs(share - chain.lossShare.asDouble) < 0.004)
    }

    @Test("a share and burst that no chain has are refused")
    func impossible() {
        #expect(GilbertElliott(share: .always, meanBurstPackets: 5) == nil)
        #expect(GilbertElliott(share: Probability(0.9), meanBurstPackets: 2) == nil)
        #expect(GilbertElliott(share: Probability(0.1), meanBurstPackets: 0.5) == nil)
        #expect(GilbertElliott(share: Probability(0.1), meanBurstPackets: .nan) == nil)
        #expect(GilbertElliott(share: Probability(0.1), meanBurst: .microseconds(10)) == nil)
    }

    @Test("each stage and direction has its own chance")
    func streams() {
        func ids(_ profile: LinkProfile, _ direction: LinkDirection, _ reason: LinkDropReason, instance: UInt64 = 0) -> [UInt64] {
            var link = Link(profile, seed: 5, direction: direction, instance: instance)
            var outcomes: [LinkOutcome] = []
            for id in UInt64(0)..<2_000 { link.offer(LinkPacket(id: id, bytes: 100), at: Instant(nanoseconds: Int64(id))) }
            link.advance(to: .zero + .seconds(1), &outcomes)
            return outcomes.compactMap { if case .dropped(let id, _, reason) = $0 { id } else { nil } }.sorted()
        }
        let loss = LossModel.independent(Probability(0.1))
        let before = ids(LinkProfile(preQueueLoss: loss), .up, .preQueueLoss)
        // Another stage, and jitter, shift nothing.
        #expect(ids(LinkProfile(jitter: .milliseconds(1), preQueueLoss: loss, radioLoss: loss), .up, .preQueueLoss) == before)
        #expect(ids(LinkProfile(preQueueLoss: loss), .down, .preQueueLoss) != before)
        #expect(ids(LinkProfile(radioLoss: loss), .up, .radioLoss) != before)
        #expect(ids(LinkProfile(preQueueLoss: loss), .up, .preQueueLoss, instance: 1) != before)
    }
}
