import MastLinkModel
import MastTimebase
import Testing

/// What a scenario file may ask for, at its edges.
@Suite struct LinkBoundsTests {
    private func outcomes(_ link: inout Link) -> [LinkOutcome] {
        var outcomes: [LinkOutcome] = []
        while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
        return outcomes
    }

    @Test func theLargestRatesServeAtOnce() throws {
        let fastest = Rate(bitsPerSecond: .max)
        let series = try #require(RateSeries(steps: [.init(at: .zero, rate: fastest)], period: .seconds(1)))
        for service in [LinkService.series(series), .tokenBucket(fastest, burstBytes: 1), .constant(fastest)] {
            var link = Link(LinkProfile(service: service), seed: 1, direction: .up)
            for id in 0..<20 { link.offer(LinkPacket(id: UInt64(id), bytes: 131_072), at: .zero) }
            let times = outcomes(&link).map(\.at)
            #expect(times.count == 20)
            #expect(times.allSatisfy { $0 <= Instant(nanoseconds: 20) })
        }
    }

    @Test func aRadioFallsIdleAnyNumberOfTimes() {
        var profile = LinkProfile()
        (profile.idleAfter, profile.promotion) = (.seconds(5), .seconds(1))
        var link = Link(profile, seed: 1, direction: .up)
        for id in 1...5_000 {
            let time = Instant.zero + .seconds(Int64(id) * 10)
            link.offer(LinkPacket(id: UInt64(id), bytes: 100), at: time)
            // Within the promotion, and after it while the radio is awake.
            link.offer(LinkPacket(id: UInt64(id) << 32, bytes: 100), at: time + .milliseconds(400))
            #expect(outcomes(&link).map(\.at) == [time + .seconds(1), time + .seconds(1)])
            link.offer(LinkPacket(id: 0, bytes: 100), at: time + .seconds(2))
            #expect(outcomes(&link).map(\.at) == [time + .seconds(2)])
        }
    }

    /// However rarely they are taken, and with packets that overtake and come twice.
    @Test(arguments: ["infinite", "codel", "pie", "drophead:5p"]) func eventsAreInOrderOfTimeAndComplete(_ queue: String) throws {
        var profile = LinkProfile(
            service: .trace(try DeliveryTrace(stamps: [1, 1, 4, 5, 9])), delay: .milliseconds(30), jitter: .milliseconds(3),
            queue: try #require(QueueDiscipline(text: queue)), radioLoss: .independent(Probability(0.1)))
        (profile.reordering, profile.duplication) = (Probability(0.2), Probability(0.1))
        profile.changes = [LinkChange(at: .milliseconds(300), .delay(.milliseconds(2))), LinkChange(at: .milliseconds(350), .flush)]
        var link = Link(profile, seed: 7, direction: .down)
        link.isRecording = true
        var chance = SeededGenerator(seed: 5, stream: "test")
        var events: [LinkEvent] = []
        var all: [LinkOutcome] = []
        var now = Instant.zero
        for id in 0..<600 {
            link.offer(LinkPacket(id: UInt64(id), bytes: 1 + Int(chance.next(below: 1_500))), at: now)
            now += .microseconds(Int64(chance.next(below: 2_000)))
            if chance.next(below: 7) == 0 {
                link.advance(to: now, &all)
                link.takeEvents(&events)
            }
        }
        all += outcomes(&link)
        link.takeEvents(&events)
        #expect(zip(events, events.dropFirst()).allSatisfy { $0.at <= $1.at })
        let came = all.count { if case .dropped = $0 { false } else { true } }
        #expect(events.count { $0.kind == .delivery || $0.kind == .copy } == came)
        #expect(events.count { $0.kind == .arrival } == 600)
        #expect(events.count { if case .drop = $0.kind { true } else { false } } == all.count - came)
    }
}
