import MastLinkModel
import MastTimebase

/// A link to try controllers on, and who shares it.
struct Road: Sendable {
    enum Share: Sendable {
        /// One flow, with calls beside it.
        case alone
        /// Two of the same, the second five seconds later.
        case twins
        /// One of the controller's, and one of CUBIC's.
        case cubic
        /// Two of the same, with round trips of 1 : 4.
        case near
        /// Two of the same, each with answers of 200 kB one after the other.
        case answers
    }

    var name: String
    var group: String
    /// Whether it was used to choose constants; the others only report.
    var isTuned: Bool
    var scenario: LinkScenario
    var seconds = 30
    var share = Share.alone
}

extension Road {
    private static func profile(_ service: LinkService, _ delay: Interval, _ queue: QueueDiscipline, _ loss: LossModel = .none) -> LinkProfile {
        LinkProfile(service: service, delay: delay, queue: queue, radioLoss: loss)
    }

    private static func steady(
        _ name: String, _ group: String, mbit: Int64, rtt: Int64, queue: QueueDiscipline, loss: LossModel = .none, isTuned: Bool = false,
        seconds: Int = 30, share: Share = .alone
    ) -> Road {
        let rate = Rate(bitsPerSecond: mbit * 1_000_000)
        let half = Interval.milliseconds(rtt) / 2
        return Road(
            name: name, group: group, isTuned: isTuned,
            scenario: LinkScenario(
                name: name, up: profile(.constant(rate), half, .infinite, loss), down: profile(.constant(rate), half, queue, loss), seed: 7),
            seconds: seconds, share: share)
    }

    private static func bytes(_ count: Int) -> QueueDiscipline { .dropTail(QueueLimit(bytes: count)) }
    private static func packets(_ count: Int) -> QueueDiscipline { .dropTail(QueueLimit(packets: count)) }
    /// Bytes that `mbit` carries in `rtt` milliseconds.
    private static func product(_ mbit: Int64, _ rtt: Int64) -> Int { Int(mbit * rtt * 125) }
    private static func random(_ share: Double) -> LossModel { .independent(Probability(share)) }
    private static func bursts(_ share: Double) -> LossModel {
        GilbertElliott(share: Probability(share), meanBurst: .milliseconds(10)).map { .gilbertElliott($0) } ?? .none
    }

    /// What needs no recording.
    static var synthetic: [Road] {
        var roads: [Road] = []
        for (mbit, rtt) in [(5, 40), (20, 20), (20, 40), (20, 100), (20, 200), (100, 40)] as [(Int64, Int64)] {
            let product = product(mbit, rtt)
            for (name, queue) in [("50p", packets(50)), ("1bdp", bytes(max(product, 15_000))), ("4bdp", bytes(4 * product)), ("inf", .infinite)] {
                roads.append(steady("\(mbit)mbit-\(rtt)ms-\(name)", "steady", mbit: mbit, rtt: rtt, queue: queue, isTuned: rtt == 40))
            }
        }
        for (name, loss) in [
            ("0.1%", random(0.001)), ("1%", random(0.01)), ("2%", random(0.02)), ("5%", random(0.05)), ("1%bursts", bursts(0.01)), ("2%bursts", bursts(0.02)), ("5%bursts", bursts(0.05)),
        ] {
            for rtt in [50, 100] as [Int64] {
                roads.append(steady("loss-\(name)-\(rtt)ms", "loss", mbit: 20, rtt: rtt, queue: bytes(250_000), loss: loss, isTuned: rtt == 50))
            }
        }
        for (share, name) in [(Share.twins, "twins"), (.cubic, "cubic"), (.near, "rtt1:4"), (.answers, "answers")] {
            for (mbit, rtt) in [(20, 40), (20, 100), (100, 40), (5, 40)] as [(Int64, Int64)] {
                for (size, times) in [("1bdp", 1), ("4bdp", 4)] {
                    roads.append(
                        steady(
                            "\(name)-\(mbit)mbit-\(rtt)ms-\(size)", "share \(name)", mbit: mbit, rtt: rtt, queue: bytes(times * product(mbit, rtt)),
                            isTuned: mbit == 20 && rtt == 40, seconds: 45, share: share))
                }
            }
        }
        return roads
    }

    /// Recorded links in `folder`, which has `links` and `rates`; what is not there is left out, and named.
    static func recorded(_ folder: Folder) throws -> (roads: [Road], missing: [String]) {
        var roads: [Road] = []
        var missing: [String] = []
        func add(
            _ file: String, up: String? = nil, upRate: Int64 = 48, delay: Int64, queue: QueueDiscipline, phases: Int, every: Int64, isTuned: Bool
        ) throws {
            guard let text = folder.read("links/\(file)") else { return missing.append("links/\(file)") }
            let trace = try DeliveryTrace(mahimahi: text)
            let upTrace = try up.flatMap { folder.read("links/\($0)") }.map { try DeliveryTrace(mahimahi: $0) }
            for phase in 0..<phases {
                let from = Interval.seconds(Int64(phase) * every)
                guard from + .seconds(15) < trace.period else { break }
                func cut(_ trace: DeliveryTrace) throws -> LinkService { .trace(try trace.window(from..<trace.period)) }
                let upService = try upTrace.map(cut) ?? .constant(Rate(bitsPerSecond: upRate * 1_000_000))
                let half = Interval.milliseconds(delay)
                roads.append(
                    Road(
                        name: "\(file)+\(Int64(phase) * every)", group: file, isTuned: isTuned,
                        scenario: LinkScenario(name: file, up: profile(upService, half, queue), down: profile(try cut(trace), half, queue), seed: 7)))
            }
        }
        try add("ATT-LTE-driving.down", up: "ATT-LTE-driving.up", delay: 20, queue: bytes(250_000), phases: 6, every: 61, isTuned: true)
        try add("TMobile-LTE-short.down", up: "TMobile-LTE-short.up", delay: 20, queue: bytes(250_000), phases: 6, every: 20, isTuned: false)
        try add("nyc-bus-3114405.down", delay: 10, queue: packets(100), phases: 6, every: 45, isTuned: false)
        try add("nyc-walk-3201711.down", delay: 10, queue: packets(100), phases: 3, every: 31, isTuned: true)
        try add("verus-city-drive.down", delay: 20, queue: bytes(250_000), phases: 4, every: 81, isTuned: false)
        try add("TMobile-UMTS-driving.down", delay: 40, queue: .infinite, phases: 4, every: 151, isTuned: true)
        if let rates = folder.read("links/starlink-leocc.bw"), let delays = folder.read("links/starlink-leocc.delay") {
            let trace = try DeliveryTrace(mahimahi: rates)
            let series = try DelaySeries(milliseconds: delays)
            for phase in 0..<4 {
                let from = Interval.seconds(Int64(phase) * 24)
                var down = profile(.trace(try trace.window(from..<trace.period)), .zero, bytes(500_000))
                var up = profile(.constant(Rate(bitsPerSecond: 18_000_000)), .zero, bytes(500_000))
                let skipped = Int(from.nanoseconds / series.step.nanoseconds)
                let shifted = DelaySeries(step: series.step, values: Array(series.values[skipped...] + series.values[..<skipped]))
                (down.delaySeries, up.delaySeries) = (shifted, shifted)
                roads.append(
                    Road(name: "starlink+\(phase * 24)", group: "starlink", isTuned: false, scenario: LinkScenario(name: "starlink", up: up, down: down, seed: 7)))
            }
        } else {
            missing.append("links/starlink-leocc.*")
        }
        for (file, column, phases, isTuned) in [
            ("lumos5g-5g_trace_100_walking.tsv", nil, 2, true), ("lumos5g-5g_trace_103_driving.tsv", nil, 2, false),
            ("lumos5g-4g_trace_driving_50015_dr.tsv", nil, 2, false), ("5g-m2ho-bw-1.csv", nil, 2, false),
        ] as [(String, String?, Int64, Bool)] {
            guard let text = folder.read("rates/\(file)") else { missing.append("rates/\(file)"); continue }
            let series = try RateSeries(table: text, column: column)
            for phase in 0..<phases {
                let from = Interval.seconds(phase * 60)
                let before = series.steps.last { $0.at <= from }
                var steps = series.steps.filter { $0.at > from }.map { RateSeries.Step(at: $0.at - from, rate: Rate(bitsPerSecond: min($0.rate.bitsPerSecond, 200_000_000))) }
                if let before { steps.insert(RateSeries.Step(at: .zero, rate: Rate(bitsPerSecond: min(before.rate.bitsPerSecond, 200_000_000))), at: 0) }
                guard let cut = RateSeries(steps: steps) else { continue }
                roads.append(
                    Road(
                        name: "\(file)+\(phase * 60)", group: file, isTuned: isTuned,
                        scenario: LinkScenario(
                            name: file, up: profile(.constant(Rate(bitsPerSecond: 20_000_000)), .milliseconds(15), bytes(500_000)),
                            down: profile(.series(cut), .milliseconds(15), bytes(1_000_000)), seed: 7),
                        seconds: 20))
            }
        }
        return (roads, missing)
    }
}
