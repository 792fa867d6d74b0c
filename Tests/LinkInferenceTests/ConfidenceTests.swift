import CaptureKit
import Foundation
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// A confidence is the share of right answers that the same evidence gave on links whose truth is known. `MAST_TRIALS=300` makes so many
/// links and prints the table that `OutageEvidence.trials` and the module's documentation hold.
@Suite struct ConfidenceTests {
    private struct Link {
        var scenario: LinkScenario
        var outages: [(direction: FlowDirection, outage: Outage)] = []
        var pauses: [Range<Instant>] = []
        var isMedia = false
        var isStamped = true
        var window = 100

        init(_ seed: UInt64) {
            var chance = SeededGenerator(seed: seed &* 7_919 &+ 3)
            func pick<Value>(_ values: [Value]) -> Value { values[Int(chance.next(below: UInt64(values.count)))] }
            isMedia = pick([false, false, true])
            isStamped = pick([true, true, true, false])
            window = pick([30, 60, 120])
            let rate = Rate.kilobitsPerSecond(pick([2_000, 4_000, 6_000]))
            let delay = Interval.milliseconds(pick([8, 20, 40, 70]))
            let loss: LossModel = pick([.none, .none, .independent(Probability(0.002)), .independent(Probability(0.01)), .independent(Probability(0.03))])
            var up = LinkProfile(service: .constant(rate), delay: delay)
            var down = LinkProfile(service: .constant(rate), delay: delay, queue: .dropTail(QueueLimit(bytes: pick([30_000, 90_000, 300_000]))), radioLoss: loss)
            if isMedia { up.radioLoss = loss }
            if pick([true, true, false]) {
                let outage = Outage(
                    start: .milliseconds(3_000 + Int64(chance.next(below: 1_500))), duration: .milliseconds(pick([120, 250, 400, 700, 1_200, 2_000])), mode: pick([.hold, .drop]))
                switch pick([0, 1, 2]) {
                case 0: outages = [(.down, outage)]
                case 1: outages = [(.up, outage)]
                default: outages = [(.down, outage), (.up, outage)]
                }
                up.outages = outages.filter { $0.direction == .up }.map(\.outage)
                down.outages = outages.filter { $0.direction == .down }.map(\.outage)
            }
            if pick([true, false]) {
                let begin = Int64(5_500) + Int64(chance.next(below: 800))
                pauses = [.zero + .milliseconds(begin) ..< .zero + .milliseconds(begin + pick([300, 700, 1_300]))]
            }
            scenario = LinkScenario(up: up, down: down, seed: seed)
        }

        func world(_ end: RecordedWorld.End) -> RecordedWorld {
            let stop = Instant.zero + .seconds(8)
            return isMedia
                ? .media(scenario, until: stop, recordedAt: end, isPaused: { now in pauses.contains { $0.contains(now) } })
                : .repairedDownload(scenario, window: window, until: stop, recordedAt: end, isStamped: isStamped, pauses: pauses)
        }

        /// Of an outage that is told rightly, edges within what is stated, of all.
        func edges(_ said: LinkFit.Outage, in fit: LinkFit) -> (held: Int, of: Int) {
            let from = said.start + fit.window.start.sinceStart
            let real = outages.first {
                ($0.outage.mode == .hold) == (said.kind == .hold) && said.direction ?? $0.direction == $0.direction && $0.outage.start < from + said.length && from < $0.outage.start + $0.outage.duration
            }
            guard let real, said.kind != .senderIdle else { return (0, 0) }
            let slack = Interval.milliseconds(3)
            let held = ((from - real.outage.start).magnitude <= said.startUncertainty + slack ? 1 : 0)
                + ((from + said.length - real.outage.start - real.outage.duration).magnitude <= said.endUncertainty + slack ? 1 : 0)
            return (held, 2)
        }

        /// Whether what is said of a stretch is so.
        func isRight(_ said: LinkFit.Outage, in fit: LinkFit) -> Bool {
            let from = said.start + fit.window.start.sinceStart
            let to = from + said.length
            let real = outages.filter { $0.outage.start - .milliseconds(150) < to && from < $0.outage.start + $0.outage.duration + .milliseconds(150) }
            guard said.kind == .senderIdle else {
                return real.contains { ($0.outage.mode == .hold) == (said.kind == .hold) && said.direction ?? $0.direction == $0.direction }
            }
            return !real.contains { outage in
                let shared = min(to, outage.outage.start + outage.outage.duration) - max(from, outage.outage.start)
                return outage.direction == said.direction && outage.outage.duration >= .milliseconds(200) && shared * 5 > outage.outage.duration * 3
                    && !pauses.contains { $0.overlaps(.zero + outage.outage.start ..< .zero + outage.outage.start + outage.outage.duration) }
            }
        }
    }

    private static let ends: [RecordedWorld.End] = [.client, .server]
    private static let asked = ProcessInfo.processInfo.environment["MAST_TRIALS"].flatMap(UInt64.init)

    private func trials(_ seeds: Range<UInt64>) throws -> (of: [OutageEvidence: OutageEvidence.Trials], edges: (held: Int, of: Int)) {
        var trials: [OutageEvidence: OutageEvidence.Trials] = [:] // lookup only
        var edges = (held: 0, of: 0)
        for seed in seeds {
            let link = Link(seed)
            for end in Self.ends {
                let fit = try LinkFit(link.world(end).timeline)
                for outage in fit.outages {
                    let isRight = link.isRight(outage, in: fit)
                    trials[outage.evidence, default: OutageEvidence.Trials(right: 0, of: 0)].of += 1
                    if isRight { trials[outage.evidence]?.right += 1 }
                    let own = link.edges(outage, in: fit)
                    edges = (edges.held + own.held, edges.of + own.of)
                    if own.held < own.of, Self.asked != nil { print("edge: \(seed) \(end) \(outage) of \(link.outages)") }
                    if !isRight, Self.asked != nil { print("wrong: \(seed) \(end) \(outage.evidence) \(outage) of \(link.outages) \(link.pauses)") }
                }
            }
        }
        return (trials, edges)
    }

    @Test("of what is said with a confidence so many answers are right")
    func confidencesAreShares() throws {
        let (found, edges) = try trials(0..<(Self.asked ?? 16))
        if Self.asked != nil {
            for evidence in OutageEvidence.allCases { if let own = found[evidence] { print("| `\(evidence.rawValue)` | \(own.right) | \(own.of) |") } }
        }
        let (right, of) = found.values.reduce((0, 0)) { ($0.0 + $1.right, $0.1 + $1.of) }
        #expect(of >= 12 && right * 100 >= of * 95, "\(found)")
        #expect(edges.of >= 8 && edges.held * 100 >= edges.of * 90, "\(edges)")
        if Self.asked != nil { print("edges within what is stated: \(edges.held) of \(edges.of); right: \(right) of \(of)") }
        for (evidence, own) in found {
            guard let stated = evidence.confidence, own.of >= OutageEvidence.fewestTrials else { continue }
            #expect(abs(Double(own.right) / Double(own.of) - stated) <= 0.1, "\(evidence): \(own), stated \(stated)")
        }
    }

    @Test("what was measured too seldom, or never, has no confidence")
    func aConfidenceIsMeasured() {
        for evidence in OutageEvidence.allCases {
            let trials = evidence.trials
            if let trials { #expect(trials.right <= trials.of && trials.of > 0) }
            #expect((evidence.confidence != nil) == (trials.map { $0.of >= OutageEvidence.fewestTrials } ?? false))
        }
    }
}
