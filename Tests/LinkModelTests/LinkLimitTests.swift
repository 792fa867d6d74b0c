import MastLinkModel
import MastTimebase
import Testing

@Suite("Link limit")
struct LinkLimitTests {
    private static func scenario(_ profile: LinkProfile, seed: UInt64 = 1) -> LinkScenario {
        LinkScenario(up: profile, down: profile, seed: seed)
    }

    private static func milliseconds(_ instant: Instant?) -> Double? { instant?.sinceStart.inMilliseconds }

    @Test("an exchange takes its bytes' time and the delay, each way")
    func constantRate() {
        // 1472 bytes are one packet of 1500: a millisecond at 12 Mbit/s.
        var limit = LinkLimit(Self.scenario(LinkProfile(service: .constant(.megabitsPerSecond(12)), delay: .milliseconds(10))))
        #expect(Self.milliseconds(limit.exchange(at: .zero, request: 1472, answer: 1472)) == 22)
        #expect(Self.milliseconds(limit.exchange(at: .zero + .milliseconds(100), request: 0, answer: 14_720)) == 120)
        #expect(Self.milliseconds(limit.exchange(at: .zero + .milliseconds(100), request: 0, answer: 0)) == 100)
    }

    @Test("outages are sat out to the instant, losses do not happen, chance adds no delay")
    func undisturbed() {
        for mode in Outage.Mode.allCases {
            var profile = LinkProfile(
                service: .unlimited, delay: .milliseconds(5), jitter: .milliseconds(50), radioLoss: .independent(Probability(0.5)),
                outages: [Outage(start: .milliseconds(100), duration: .milliseconds(300), mode: mode)])
            (profile.idleAfter, profile.promotion) = (.milliseconds(1), .seconds(1))
            var limit = LinkLimit(Self.scenario(profile))
            #expect(Self.milliseconds(limit.exchange(at: .zero, request: 64, answer: 64)) == 10)
            #expect(Self.milliseconds(limit.exchange(at: .zero + .milliseconds(200), request: 64, answer: 64)) == 410)
        }
    }

    @Test("packets fit the smallest MTU, and nothing waits in a queue that is flushed")
    func changes() {
        var profile = LinkProfile(service: .constant(.megabitsPerSecond(12)))
        profile.changes = [LinkChange(at: .seconds(1), .mtu(528)), LinkChange(at: .milliseconds(1), .flush)]
        var limit = LinkLimit(Self.scenario(profile))
        // 3 packets of 528 bytes.
        #expect(Self.milliseconds(limit.exchange(at: .zero, request: 1_500, answer: 0)) == 1.056)
        #expect(LinkLimit.series(profile, seed: 1, direction: .up, step: .seconds(1), count: 3).allSatisfy { abs($0 - 12) < 0.02 })
        profile.mtu = 20
        #expect(LinkLimit.series(profile, seed: 1, direction: .up, step: .seconds(1), count: 2) == [0, 0])
        var none = LinkLimit(Self.scenario(profile))
        #expect(none.exchange(at: .zero, request: 64, answer: 0) == nil)
    }

    @Test("what is never served has no limit")
    func never() {
        var limit = LinkLimit(Self.scenario(LinkProfile(service: .constant(.bitsPerSecond(0)))))
        #expect(limit.exchange(at: .zero, request: 64, answer: 64) == nil)
    }

    @Test("nothing that is sent over the link itself is sooner", arguments: UInt64(1)...50)
    func isABound(seed: UInt64) throws {
        var chance = SeededGenerator(seed: seed, stream: 7)
        let stamps = (0..<200).map { _ in UInt32(chance.next() % 1000) }.sorted()
        let trace = try DeliveryTrace(stamps: stamps, periodTicks: 1_000)
        var profile = LinkProfile(
            service: .trace(trace), delay: .milliseconds(Int64(chance.next() % 50)), jitter: .milliseconds(3), queue: .dropTail(QueueLimit(packets: 20)),
            radioLoss: .independent(Probability(Double(chance.next() % 20) / 100)))
        profile.outages = [Outage(start: .milliseconds(Int64(chance.next() % 3000)), duration: .milliseconds(Int64(chance.next() % 500) + 1), mode: .hold)]
        let scenario = Self.scenario(profile, seed: seed)
        var limit = LinkLimit(scenario)
        var link = scenario.link(.down)
        var sent: [UInt64: (at: Instant, bytes: Int)] = [:]
        var outcomes: [LinkOutcome] = []
        var now = Instant.zero
        for id in UInt64(0)..<300 {
            now += .milliseconds(Int64(chance.next() % 30))
            let bytes = 29 + Int(chance.next() % 1472)
            sent[id] = (now, bytes)
            link.offer(LinkPacket(id: id, bytes: bytes), at: now)
        }
        while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
        var arrivals: [UInt64: Instant] = [:]
        for case .delivered(let id, let at) in outcomes { arrivals[id] = at }
        #expect(arrivals.count > 20)
        for (id, arrival) in arrivals.sorted(by: { $0.key < $1.key }) {
            let packet = try #require(sent[id])
            let soonest = limit.exchange(at: packet.at, request: 0, answer: packet.bytes - 28)
            #expect(soonest.map { $0 <= arrival } == true, "packet \(id), seed \(seed)")
        }
    }

    @Test("the series is what the link serves: the trace's own opportunities, and nothing in a hold")
    func series() throws {
        let trace = try DeliveryTrace(stamps: [100, 200, 300, 1_000])
        let busy = LinkLimit.series(LinkProfile(service: .trace(trace)), seed: 1, direction: .down, step: .milliseconds(500), count: 4)
        #expect(busy.map { ($0 * 500_000 / 8 / 1500).rounded() } == [3, 0, 4, 0])
        let held = LinkProfile(
            service: .constant(.megabitsPerSecond(12)), delay: .seconds(5), outages: [Outage(start: .seconds(1), duration: .seconds(1), mode: .drop)])
        let rates = LinkLimit.series(held, seed: 1, direction: .up, step: .seconds(1), count: 3)
        #expect(abs(rates[0] - 12) < 0.02 && rates[1] < 0.02 && abs(rates[2] - 12) < 0.02)
        #expect(LinkLimit.series(.ideal, seed: 1, direction: .up, step: .seconds(1), count: 3).isEmpty)
    }
}
