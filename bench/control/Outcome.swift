import MastLinkModel
import MastTimebase
import MastTransport

/// What a controller did on a road.
struct Outcome: Codable, Sendable {
    var road: String
    var group: String
    var isTuned: Bool
    var controller: String
    /// Of what the link could carry from second 1 on; all flows together.
    var utilisation: Double
    /// The same over the first second and a half.
    var start: Double
    var mbit: Double
    /// Milliseconds of a packet, less the link's constant delay.
    var delayP50: Double
    var delayP95: Double
    var delayP99: Double
    /// Milliseconds of a call beside it; nil where none was made.
    var callP50: Double?
    var callP99: Double?
    var callLimitP50: Double?
    var callLimitP99: Double?
    var lostShare: Double
    /// Jain's index over the last 20 s, and the share of the first flow.
    var jain: Double?
    var firstShare: Double?

    static func of(_ road: Road, _ controller: CongestionControl) -> Outcome {
        let plans: [FlowPlan] =
            switch road.share {
            case .alone: [FlowPlan(controller: controller, calls: 20)]
            case .twins: [FlowPlan(controller: controller), FlowPlan(controller: controller, start: .seconds(5))]
            case .cubic: [FlowPlan(controller: controller), FlowPlan(controller: .cubic, start: .seconds(1))]
            case .answers: [FlowPlan](repeating: FlowPlan(controller: controller, answers: 200_000), count: 2)
            case .near:
                [FlowPlan(controller: controller), FlowPlan(controller: controller, further: Interval.nanoseconds(road.scenario.down.delay.nanoseconds * 3))]
            }
        let trial = Trial(road.scenario, plans, seconds: road.seconds, seed: 11)
        trial.run()
        let capacity = LinkLimit.series(
            road.scenario.down, seed: road.scenario.seed, direction: .down, step: Trial.step, count: road.seconds * 10)
        func carried(_ range: Range<Int>) -> Double { Double(trial.delivered.reduce(0) { $0 + $1[range].reduce(0, +) }) * 8 / 1e6 }
        func possible(_ range: Range<Int>) -> Double { capacity[range].reduce(0, +) / 10 }
        let all = 10..<(road.seconds * 10)
        let delays = trial.delays.flatMap { $0.lazy.filter { $0.at.sinceStart > .seconds(1) }.map { $0.took.nanoseconds } }.sorted()
        let ended = Instant.zero + .seconds(Int64(road.seconds))
        let calls = trial.flows.flatMap { flow in flow.latencies.map(\.took.nanoseconds) + flow.waiting.map { (ended - $0).nanoseconds } }.sorted()
        var limits: [Int64] = []
        if !calls.isEmpty {
            var limit = LinkLimit(road.scenario)
            for at in (trial.flows[0].latencies.map(\.at) + trial.flows[0].waiting).sorted() {
                if let there = limit.exchange(at: at, request: 140, answer: 140) { limits.append((there - at).nanoseconds) }
            }
            limits.sort()
        }
        let last = max(10, road.seconds * 10 - 200)..<(road.seconds * 10)
        let shares = trial.delivered.map { Double($0[last].reduce(0, +)) }
        let total = shares.reduce(0, +)
        let isShared = trial.flows.count > 1
        let packets = trial.delays.reduce(0) { $0 + $1.count }
        return Outcome(
            road: road.name, group: road.group, isTuned: road.isTuned, controller: controller.rawValue,
            utilisation: carried(all) / max(possible(all), 1e-9), start: carried(0..<15) / max(possible(0..<15), 1e-9),
            mbit: carried(all) / Double(road.seconds - 1), delayP50: Self.quantile(delays, 0.5) ?? 0, delayP95: Self.quantile(delays, 0.95) ?? 0,
            delayP99: Self.quantile(delays, 0.99) ?? 0, callP50: Self.quantile(calls, 0.5), callP99: Self.quantile(calls, 0.99),
            callLimitP50: Self.quantile(limits, 0.5), callLimitP99: Self.quantile(limits, 0.99),
            lostShare: Double(trial.lost.reduce(0, +)) / Double(max(1, packets + trial.lost.reduce(0, +))),
            jain: isShared ? total * total / max(Double(shares.count) * shares.reduce(0) { $0 + $1 * $1 }, 1e-9) : nil,
            firstShare: isShared ? shares[0] / max(total, 1e-9) : nil)
    }

    /// Milliseconds.
    private static func quantile(_ sorted: [Int64], _ share: Double) -> Double? {
        sorted.isEmpty ? nil : Double(sorted[min(sorted.count - 1, Int(share * Double(sorted.count)))]) / 1e6
    }
}
