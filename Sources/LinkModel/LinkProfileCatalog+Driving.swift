import MastTimebase

extension LinkProfileCatalog {
    /// Links whose rates, delays and outages change as they do on a road. Where only quantiles were published, the order of
    /// their values is made up, by a fixed seed.
    static let driving: [Entry] = [
        Entry(
            name: "lte-handovers", summary: "LTE while driving: 40/12 Mbit/s, handovers by chance, every 30 s on average",
            source: "execution times: 34/62/94/887 ms at 50/95/99/100 %, US drives (SIGCOMM 2022); rates, delay, interval and the shortest time assumed",
            scenario: scenario("lte-handovers", up: 12_000, down: 40_000, ms: 25, handovers: [(0, 17), (50, 34), (95, 62), (99, 94), (100, 887)])),
        Entry(
            name: "5g-nsa-handovers", summary: "5G non-standalone while driving: 150/20 Mbit/s, anchor handovers by chance, every 30 s on average",
            source: "execution times: 52/82/99/251 ms at 50/95/99/100 %, US drives (SIGCOMM 2022); rates, delay, interval and the shortest time assumed",
            scenario: scenario("5g-nsa-handovers", up: 20_000, down: 150_000, ms: 15, handovers: [(0, 26), (50, 52), (95, 82), (99, 99), (100, 251)])),
        Entry(
            name: "5g-sa-handovers", summary: "5G standalone while driving: 150/20 Mbit/s, handovers by chance, every 30 s on average",
            source: "execution times: 66/70/74/94 ms at 50/95/99/100 %, US drives (SIGCOMM 2022); rates, delay, interval and the shortest time assumed",
            scenario: scenario("5g-sa-handovers", up: 20_000, down: 150_000, ms: 15, handovers: [(0, 60), (50, 66), (95, 70), (99, 74), (100, 94)])),
        Entry(
            name: "att-drive", summary: "AT&T while driving: 2.4 to 208 Mbit/s down, a new rate each second",
            source: "saturating UDP down at 5/50/95 %: 2.4/44/208 Mbit/s, 1 % of seconds at zero (CoNEXT 2023); up as a quarter, delay and order assumed",
            scenario: drive("att-drive", seed: 1, [(0, 500), (5, 2_400), (50, 44_000), (95, 208_000), (100, 260_000)], zeroPercent: 1, ms: 25)),
        Entry(
            name: "verizon-drive", summary: "Verizon while driving: 4.2 to 299 Mbit/s down, a new rate each second",
            source: "saturating UDP down at 5/50/95 %: 4.2/82/299 Mbit/s, 1 % of seconds at zero (CoNEXT 2023); up as a quarter, delay and order assumed",
            scenario: drive("verizon-drive", seed: 2, [(0, 800), (5, 4_200), (50, 82_000), (95, 299_000), (100, 370_000)], zeroPercent: 1, ms: 25)),
        Entry(
            name: "tmobile-drive", summary: "T-Mobile while driving: 1.2 to 335 Mbit/s down, a new rate each second",
            source: "saturating UDP down at 5/50/95 %: 1.2/64/335 Mbit/s, 1 % of seconds at zero (CoNEXT 2023); up as a quarter, delay and order assumed",
            scenario: drive("tmobile-drive", seed: 3, [(0, 300), (5, 1_200), (50, 64_000), (95, 335_000), (100, 420_000)], zeroPercent: 1, ms: 25)),
        Entry(
            name: "starlink-steps", summary: "Starlink Mobility while driving: 134 Mbit/s in the median, 16 % of seconds at zero, another delay every 15 s",
            source: "134 Mbit/s (50 %) and 265 (95 %), 16 % of seconds at zero, up 6/18/48, one way 7 to 19 ms (CoNEXT 2023); 15 s steps from memory; order and low quantiles assumed",
            scenario: starlink),
        Entry(
            name: "4g-idle", summary: "4G that sleeps: after 5 s of silence the next packet waits 0.95 s for the radio",
            source: "first round trip after idle 0.7 to 1.2 s on T-Mobile 4G (SIGCOMM 2021); rates and delay assumed",
            scenario: sleepy("4g-idle", up: 12_000, down: 40_000, ms: 25, after: 5)),
        Entry(
            name: "5g-idle", summary: "5G that sleeps: after 11 s of silence the next packet waits 0.95 s for the radio",
            source: "first round trip after idle 0.7 to 1.2 s, standalone included (SIGCOMM 2021); rates and delay assumed",
            scenario: sleepy("5g-idle", up: 20_000, down: 150_000, ms: 15, after: 11)),
    ]

    private static func wire(_ kilobits: Int64, ms: Int64) -> LinkProfile {
        LinkProfile(service: .constant(.kilobitsPerSecond(kilobits)), delay: .milliseconds(ms), queue: .dropTail(QueueLimit(packets: 100)))
    }

    private static func scenario(
        _ name: String, up: Int64, down: Int64, ms: Int64, handovers points: [(percent: Int, value: Int64)]
    ) -> LinkScenario {
        var result = LinkScenario(name: name, up: wire(up, ms: ms), down: wire(down, ms: ms))
        if let length = IntervalDistribution(quantiles: percentiles(points).map { .milliseconds($0) }),
            let outages = RandomOutages(every: .seconds(30), length: length)
        {
            (result.up.randomOutages, result.down.randomOutages) = ([outages], [outages])
        }
        return result
    }

    private static func sleepy(_ name: String, up: Int64, down: Int64, ms: Int64, after seconds: Int64) -> LinkScenario {
        var result = LinkScenario(name: name, up: wire(up, ms: ms), down: wire(down, ms: ms))
        // A phone's radio sleeps as one; what wakes it is nearly always its own packet.
        (result.up.idleAfter, result.up.promotion) = (.seconds(seconds), .milliseconds(950))
        return result
    }

    /// 101 values on straight lines between the points.
    private static func percentiles(_ points: [(percent: Int, value: Int64)]) -> [Int64] {
        (0...100).map { percent in
            guard let next = points.firstIndex(where: { $0.percent >= percent }), next > 0 else { return points[0].value }
            let (a, b) = (points[next - 1], points[next])
            return a.value + (b.value - a.value) * Int64(percent - a.percent) / Int64(max(1, b.percent - a.percent))
        }
    }

    /// A rate each second for five minutes, then again.
    private static func rates(
        _ points: [(percent: Int, value: Int64)], zeroPercent: UInt64, share: Int64, chance: inout SeededGenerator
    ) -> LinkService {
        let values = percentiles(points)
        let steps = (0..<300).map { second -> RateSeries.Step in
            let isZero = chance.next(below: 100) < zeroPercent
            let value = values[Int(chance.next(below: 101))]
            return RateSeries.Step(at: .seconds(Int64(second)), rate: .kilobitsPerSecond(isZero ? 0 : value / share))
        }
        return RateSeries(steps: steps, period: .seconds(300)).map { .series($0) } ?? .unlimited
    }

    private static func drive(
        _ name: String, seed: UInt64, _ points: [(percent: Int, value: Int64)], zeroPercent: UInt64, ms: Int64
    ) -> LinkScenario {
        var result = LinkScenario(name: name, up: wire(0, ms: ms), down: wire(0, ms: ms))
        // Both directions fade together: the same draws, another scale.
        for (direction, share) in [(LinkDirection.up, Int64(4)), (.down, 1)] {
            var chance = SeededGenerator(seed: seed, stream: "profile.drive")
            result[direction].service = rates(points, zeroPercent: zeroPercent, share: share, chance: &chance)
        }
        return result
    }

    private static let starlink: LinkScenario = {
        var result = LinkScenario(name: "starlink-steps", up: wire(0, ms: 0), down: wire(0, ms: 0))
        let up: [(percent: Int, value: Int64)] = [(0, 2_000), (5, 6_000), (50, 18_000), (95, 48_000), (100, 60_000)]
        let down: [(percent: Int, value: Int64)] = [(0, 10_000), (5, 30_000), (50, 134_000), (95, 265_000), (100, 320_000)]
        for direction in LinkDirection.allCases {
            var chance = SeededGenerator(seed: 4, stream: "profile.drive")
            result[direction].service = rates(direction == .up ? up : down, zeroPercent: 16, share: 1, chance: &chance)
            // 20 reconfigurations.
            var delays = SeededGenerator(seed: 4, stream: "profile.delays")
            result[direction].delaySeries = DelaySeries(
                step: .seconds(15), values: (0..<20).map { _ in .milliseconds(7 + Int64(delays.next(below: 13))) })
        }
        return result
    }()
}
