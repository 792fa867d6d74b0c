import MastTimebase

/// How a stage loses packets.
package enum LossModel: Hashable, Sendable {
    case none
    /// Each packet on its own.
    case independent(Probability)
    /// In bursts.
    case gilbertElliott(GilbertElliott)
}

/// The two-state loss model of Gilbert (1960) and Elliott (1963), in the letters that netem uses: `p` from
/// good to bad, `r` back, a loss probability in each state.
///
/// The chain steps once a packet, or once every `step` of time. By time suits a radio, whose fades do not
/// wait for packets; by packet a burst lasts longer the slower one sends.
package struct GilbertElliott: Hashable, Sendable {
    /// `p`: from good to bad, in one step.
    package var enterBad: Probability
    /// `r`: from bad to good, in one step.
    package var leaveBad: Probability
    package var lossInGood: Probability
    package var lossInBad: Probability
    /// Nil: one step a packet.
    package var step: Interval?

    package init(
        enterBad: Probability, leaveBad: Probability, lossInGood: Probability = .never, lossInBad: Probability = .always,
        step: Interval? = nil
    ) {
        (self.enterBad, self.leaveBad, self.lossInGood, self.lossInBad, self.step) =
            (enterBad, leaveBad, lossInGood, lossInBad, step)
    }

    /// Everything lost in bad and nothing in good, so that `share` of the packets is lost in bursts of
    /// `meanBurstPackets` on average: r = 1/B, p = πr/(1−π). Nil when no such chain exists (B < 1, π = 1, p > 1).
    package init?(share: Probability, meanBurstPackets: Double) {
        guard meanBurstPackets >= 1, meanBurstPackets < 4e9 else { return nil }
        self.init(share: share, leaveBad: Probability(1 / meanBurstPackets), step: nil)
    }

    /// The same by time: bad for `share` of the time, `meanBurst` at a stretch on average.
    package init?(share: Probability, meanBurst: Interval, step: Interval = .milliseconds(1)) {
        guard step > .zero, meanBurst >= step else { return nil }
        let parts = (Int128(step.nanoseconds) << 32) / Int128(meanBurst.nanoseconds)
        self.init(share: share, leaveBad: Probability(parts: UInt64(parts)), step: step)
    }

    private init?(share: Probability, leaveBad: Probability, step: Interval?) {
        guard share < .always, leaveBad > .never else { return nil }
        let enter = share.parts * leaveBad.parts / ((1 << 32) - share.parts)
        guard enter <= 1 << 32 else { return nil }
        self.init(enterBad: Probability(parts: enter), leaveBad: leaveBad, step: step)
    }

    /// The share of steps spent in bad, in the long run.
    package var badShare: Probability {
        let sum = enterBad.parts + leaveBad.parts
        guard sum > 0 else { return .never }
        return Probability(parts: UInt64(Int128(enterBad.parts) * (1 << 32) / Int128(sum)))
    }

    /// The share of packets lost in the long run.
    package var lossShare: Probability {
        let bad = badShare.parts
        let parts = (Int128(bad) * Int128(lossInBad.parts) + Int128((1 << 32) - bad) * Int128(lossInGood.parts)) >> 32
        return Probability(parts: UInt64(parts))
    }
}

/// A loss model at work, with its own stream of chance.
struct LossProcess: Sendable {
    private enum Kind: Sendable { case none, independent, byPacket, byTime }
    private let kind: Kind
    private var chance: SeededGenerator
    private let probability: Probability
    private let chain: GilbertElliott
    private let badShare: Probability
    private var bad = false
    private var started = false
    private var slot: Int64 = 0
    private let stepLength: Int64
    /// |1 − p − r|^(2^i) as fractions of 2^63.
    private let memory: [UInt64]
    private let memoryAlternates: Bool

    var canLose: Bool { kind != .none }

    init(_ model: LossModel, chance: SeededGenerator) {
        self.chance = chance
        var chain = GilbertElliott(enterBad: .never, leaveBad: .always)
        var probability = Probability.never
        switch model {
        case .none: kind = .none
        case .independent(let each):
            kind = each > .never ? .independent : .none
            probability = each
        case .gilbertElliott(let given):
            kind = (given.step ?? .zero) > .zero ? .byTime : .byPacket
            chain = given
        }
        self.chain = chain
        self.probability = probability
        badShare = chain.badShare
        stepLength = max(1, (chain.step ?? .zero).nanoseconds)
        let sum = Int64(chain.enterBad.parts + chain.leaveBad.parts)
        memoryAlternates = sum > 1 << 32
        var power = UInt64(((1 << 32) - sum).magnitude) << 31
        var powers: [UInt64] = []
        if kind == .byTime {
            for _ in 0..<63 {
                powers.append(power)
                power = Self.multiply(power, power)
            }
        }
        memory = powers
    }

    /// Decides on a packet at `time`; times never decrease.
    @inline(__always) mutating func loses(at time: Int64) -> Bool {
        switch kind {
        case .none: return false
        case .independent: return chance.chance(probability)
        case .byPacket:
            if started {
                if chance.chance(bad ? chain.leaveBad : chain.enterBad) { bad.toggle() }
            } else {
                start(slot: 0)
            }
        case .byTime:
            let now = time / stepLength
            if started { walk(to: now) } else { start(slot: now) }
        }
        let loss = bad ? chain.lossInBad : chain.lossInGood
        return loss == .always || (loss > .never && chance.chance(loss))
    }

    /// The chain's long past lies before the run: it starts in its stationary distribution.
    private mutating func start(slot: Int64) {
        bad = chance.chance(badShare)
        started = true
        self.slot = slot
    }

    /// Any number of steps with one draw: after m steps, P(bad) = π + ([bad now] − π)·(1 − p − r)^m.
    private mutating func walk(to now: Int64) {
        var steps = now - slot
        guard steps > 0 else { return }
        slot = now
        if steps == 1 {
            if chance.chance(bad ? chain.leaveBad : chain.enterBad) { bad.toggle() }
            return
        }
        let negative = memoryAlternates && steps % 2 == 1
        var fraction: UInt64 = 1 << 63
        var bit = 0
        while steps > 0, fraction > 0, bit < memory.count {
            if steps & 1 == 1 { fraction = Self.multiply(fraction, memory[bit]) }
            steps >>= 1
            bit += 1
        }
        let kept = Int64(fraction >> 31) * (negative ? -1 : 1)
        let share = Int64(badShare.parts)
        let distance = (bad ? 1 << 32 : 0) - share
        let parts = share + Int64((Int128(distance) * Int128(kept)) >> 32)
        bad = chance.chance(Probability(parts: UInt64(max(0, parts))))
    }

    /// A product of fractions of 2^63.
    private static func multiply(_ a: UInt64, _ b: UInt64) -> UInt64 {
        let product = a.multipliedFullWidth(by: b)
        return product.high << 1 | product.low >> 63
    }
}
