import MastLinkModel
import MastTimebase
import Testing

@Suite("Link runs")
struct LinkRunTests {
    /// A profile with every stage at work.
    private func profile(_ chance: inout SeededGenerator) throws -> LinkProfile {
        func draw(_ bound: UInt64) -> Int64 { Int64(chance.next(below: bound)) }
        let services: [LinkService] = [
            .unlimited, .constant(.kilobitsPerSecond(500 + draw(20_000))),
            .trace(try DeliveryTrace(rates: (0...draw(20)).map { _ in .kilobitsPerSecond(draw(8_000) + 1) }, step: .milliseconds(250))),
        ]
        let limit = QueueLimit(packets: Int(1 + draw(50)), bytes: Int(2_000 + draw(60_000)))
        let chain = GilbertElliott(share: Probability(0.05), meanBurst: .milliseconds(20))
        return LinkProfile(
            service: services[Int(draw(3))], delay: .milliseconds(draw(80)), jitter: .microseconds(draw(9_000)),
            queue: [.infinite, .dropTail(limit), .dropHead(limit)][Int(draw(3))],
            preQueueLoss: .independent(Probability(0.01)), radioLoss: chain.map { .gilbertElliott($0) } ?? .none,
            outages: (0..<draw(6)).map { index in
                Outage(start: .milliseconds(draw(3_000)), duration: .milliseconds(1 + draw(400)), mode: Outage.Mode.allCases[Int(index % 3)])
            })
    }

    /// One run; `looks` is how often the driver advances in between, which must not matter.
    private func run(seed: UInt64, looks: UInt64) throws -> (log: [LinkOutcome], offered: Int, statistics: LinkStatistics) {
        var chance = SeededGenerator(seed: seed, stream: "run")
        var link = Link(try profile(&chance), seed: seed, direction: .up)
        var looking = SeededGenerator(seed: seed, stream: "looks")
        var log: [LinkOutcome] = []
        var now = Instant.zero
        for id in UInt64(0)..<1_000 {
            if chance.next(below: 3) == 0 { now += .microseconds(Int64(chance.next(below: 20_000))) }
            if looks > 0, looking.next(below: looks) == 0 {
                while let next = link.nextEventTime, next < now { link.advance(to: next, &log) }
            }
            link.offer(LinkPacket(id: id, bytes: Int(1 + chance.next(below: 1500))), at: now)
        }
        while let next = link.nextEventTime { link.advance(to: next, &log) }
        #expect(link.isDrained)
        return (log, 1_000, link.statistics)
    }

    @Test("every packet has exactly one outcome, in order of time, and the counts agree")
    func conservation() throws {
        for seed in UInt64(0)..<300 {
            let (log, offered, statistics) = try run(seed: seed, looks: 2)
            #expect(log.map(\.id).sorted() == (0..<UInt64(offered)).map { $0 }, "seed \(seed)")
            #expect(zip(log, log.dropFirst()).allSatisfy { $0.at <= $1.at }, "seed \(seed)")
            let delivered = log.filter(\.isDelivered)
            #expect(zip(delivered, delivered.dropFirst()).allSatisfy { $0.id < $1.id }, "seed \(seed): order kept")
            #expect(statistics.offeredPackets == offered)
            #expect(statistics.deliveredPackets == delivered.count)
            #expect(statistics.deliveredPackets + statistics.droppedPackets == offered)
            #expect(statistics.offeredBytes == statistics.deliveredBytes + statistics.droppedBytes)
            for reason in LinkDropReason.allCases {
                let count = log.count { if case .dropped(_, _, reason) = $0 { true } else { false } }
                #expect(statistics.dropped(reason) == count)
            }
        }
    }

    @Test("the same seed gives the same outcomes, however often the driver looks")
    func determinism() throws {
        for seed in UInt64(0)..<300 {
            let log = try run(seed: seed, looks: 0).log
            #expect(try run(seed: seed, looks: 0).log == log)
            #expect(try run(seed: seed, looks: 1).log == log, "seed \(seed)")
            #expect(try run(seed: seed, looks: 7).log == log, "seed \(seed)")
        }
    }

    @Test("a known run has the digest it always had")
    func digest() throws {
        var hash = FNV1a64()
        for outcome in try run(seed: 42, looks: 3).log {
            hash.combine(outcome.id)
            hash.combine(outcome.at.nanoseconds)
            hash.combine(outcome.isDelivered ? UInt64(1) : 0)
        }
        #expect(hash.value == 7_012_456_297_768_443_396)
    }

    @Test("packets pass quickly: a trace link at full load, two million of them")
    func speed() throws {
        let trace = try DeliveryTrace(rates: (0..<3_600).map { .megabitsPerSecond(1 + $0 % 40) }, step: .milliseconds(100))
        let chain = GilbertElliott(share: Probability(0.01), meanBurst: .milliseconds(20))
        var link = Link(
            LinkProfile(
                service: .trace(trace), delay: .milliseconds(30), queue: .dropTail(QueueLimit(packets: 100)),
                radioLoss: chain.map { .gilbertElliott($0) } ?? .none),
            seed: 1, direction: .down)
        var outcomes: [LinkOutcome] = []
        outcomes.reserveCapacity(1_024)
        var reported = 0
        let count = 2_000_000
        let clock = ContinuousClock()
        let elapsed = clock.measure {
            for id in 0..<count {
                let now = Instant(nanoseconds: Int64(id) * 600_000)
                link.advance(to: now, &outcomes)
                reported += outcomes.count
                outcomes.removeAll(keepingCapacity: true)
                link.offer(LinkPacket(id: UInt64(id), bytes: 1400), at: now)
            }
        }
        link.advance(to: .zero + .seconds(10_000), &outcomes)
        #expect(reported + outcomes.count == count)
        // A figure to read, not a gate: wall-clock time depends on the machine's other work.
        print("link packets per second: \(Int(Double(count) / (elapsed / .seconds(1))))")
    }
}
