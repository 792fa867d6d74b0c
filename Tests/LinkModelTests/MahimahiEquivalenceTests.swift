import Foundation
import MastLinkModel
import MastTimebase
import Testing

@Suite("mm-link equivalence")
struct MahimahiEquivalenceTests {
    private struct Case {
        var schedule: [Int]
        var arrivals: [(ms: Int, size: Int)]
        var holds: [Range<Int>] = []
        var opportunity = 1500
        var naive = NaiveMahimahi.Queue.infinite
        var queue = QueueDiscipline.infinite
    }

    /// Random traces with repeats, bursts, gaps and a first stamp of zero; arrivals in bursts with idle gaps
    /// of many laps; sizes from one byte to several opportunities.
    private func randomCase(_ chance: inout SeededGenerator, holds: Bool) -> Case {
        func draw(_ range: ClosedRange<Int>) -> Int { range.lowerBound + Int(chance.next(below: UInt64(range.count))) }
        var schedule: [Int] = []
        var time = draw(0...2) == 0 ? 0 : draw(0...5)
        for _ in 0..<draw(1...60) {
            schedule.append(time)
            switch draw(0...9) {
            case 0...3: break
            case 4...7: time += draw(1...4)
            case 8: time += draw(5...50)
            default: time += draw(0...300)
            }
        }
        if schedule.last == 0 { schedule.append(draw(1...20)) }
        var arrivals: [(ms: Int, size: Int)] = []
        var now = draw(0...3)
        for _ in 0..<draw(1...150) {
            let size =
                switch draw(0...9) {
                case 0...3: 1500
                case 4...6: draw(40...1500)
                case 7: 1504
                case 8: draw(1...64)
                default: draw(1500...9000)
                }
            arrivals.append((now, size))
            switch draw(0...9) {
            case 0...5: break
            case 6...7: now += draw(1...5)
            case 8: now += draw(1...100)
            default: now += draw(0...3000)
            }
        }
        var test = Case(schedule: schedule, arrivals: arrivals)
        test.opportunity = draw(0...1) == 0 ? 1500 : 1504
        switch draw(0...3) {
        case 0:
            let packets = draw(1...10)
            test.naive = .dropTail(packets: packets, bytes: .max)
            test.queue = .dropTail(QueueLimit(packets: packets))
        case 1:
            let (packets, bytes) = (draw(1...20), draw(1500...20_000))
            test.naive = .dropTail(packets: packets, bytes: bytes)
            test.queue = .dropTail(QueueLimit(packets: packets, bytes: bytes))
        case 2:
            let (packets, bytes) = (draw(1...20), draw(1000...20_000))
            test.naive = .dropHead(packets: packets, bytes: bytes)
            test.queue = .dropHead(QueueLimit(packets: packets, bytes: bytes))
        default: break
        }
        if holds {
            for _ in 0..<draw(1...4) {
                let start = draw(0...now + 50)
                test.holds.append(start..<start + draw(1...400))
            }
        }
        return test
    }

    private func check(_ test: Case, seed: UInt64) throws {
        var naive = NaiveMahimahi(schedule: test.schedule, opportunity: test.opportunity, discipline: test.naive)
        naive.holds = test.holds
        let trace = try DeliveryTrace(stamps: test.schedule.map { UInt32($0) }, opportunityBytes: test.opportunity)
        let outages = test.holds.map { Outage(start: .milliseconds(Int64($0.lowerBound)), duration: .milliseconds(Int64($0.count))) }
        var link = Link(
            LinkProfile(service: .trace(trace), queue: test.queue, outages: outages), seed: seed, direction: .down)
        var outcomes: [LinkOutcome] = []
        for (id, arrival) in test.arrivals.enumerated() {
            naive.arrive(.init(id: id, size: arrival.size), at: arrival.ms)
            link.offer(LinkPacket(id: UInt64(id), bytes: arrival.size), at: .zero + .milliseconds(Int64(arrival.ms)))
            // Whether the link is looked at in between must not matter.
            if id % 3 == 0 { link.advance(to: .zero + .milliseconds(Int64(arrival.ms)), &outcomes) }
        }
        while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
        let end = outcomes.map { Int($0.at.nanoseconds / 1_000_000) }.max() ?? 0
        naive.rationalize(end)

        #expect(outcomes.count == test.arrivals.count, "seed \(seed)")
        #expect(naive.departures.count + naive.drops.count == test.arrivals.count, "seed \(seed)")
        for outcome in outcomes {
            let id = Int(outcome.id)
            let expected = outcome.isDelivered ? naive.departures[id] : naive.drops[id]
            #expect(expected.map { Int64($0) * 1_000_000 } == outcome.at.nanoseconds, "seed \(seed), packet \(id): \(outcome)")
        }
    }

    @Test("departures and drops equal an independent model's for every packet of 3,000 random runs")
    func randomRuns() throws {
        for seed in UInt64(0)..<3_000 {
            var chance = SeededGenerator(seed: seed, stream: "mm-link")
            try check(randomCase(&chance, holds: false), seed: seed)
        }
    }

    @Test("and so they do where holds let opportunities pass unused")
    func randomRunsWithHolds() throws {
        for seed in UInt64(0)..<1_500 {
            var chance = SeededGenerator(seed: seed, stream: "mm-link.holds")
            try check(randomCase(&chance, holds: true), seed: seed)
        }
    }

    private static let traceFolder = ProcessInfo.processInfo.environment["MAST_TRACES"]

    /// `MAST_TRACES=folder swift test …`: recorded traces are not ours to carry.
    @Test("and so they do on every trace in the folder that MAST_TRACES names", .enabled(if: traceFolder != nil))
    func recordedTraces() throws {
        let folder = URL(fileURLWithPath: try #require(Self.traceFolder))
        for file in try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted() {
            let text = [UInt8](try Data(contentsOf: folder.appendingPathComponent(file)))
            guard let trace = try? DeliveryTrace(mahimahi: text) else {
                print("\(file): not a trace")
                continue
            }
            var chance = SeededGenerator(seed: FNV1a64.hash(file.utf8))
            var test = Case(schedule: trace.stamps.map { Int($0) }, arrivals: [])
            test.naive = .dropTail(packets: 100, bytes: .max)
            test.queue = .dropTail(QueueLimit(packets: 100))
            var now = 0
            let end = max(2 * (test.schedule.last ?? 0), 100_000)
            while now < end, test.arrivals.count < 500_000 {
                test.arrivals.append((now, chance.next(below: 4) == 0 ? 40 + Int(chance.next(below: 1460)) : 1500))
                if chance.next(below: 3) == 0 { now += Int(chance.next(below: chance.next(below: 500) == 0 ? 5_000 : 8)) }
            }
            try check(test, seed: 1)
            print("\(file): \(test.arrivals.count) packets equal")
        }
    }

    @Test("a packet that arrives at an opportunity's own time waits for the next")
    func strictlyAfter() throws {
        let trace = try DeliveryTrace(stamps: [5, 9])
        var link = Link(LinkProfile(service: .trace(trace)), seed: 1, direction: .up)
        link.offer(LinkPacket(id: 1, bytes: 1500), at: .zero + .milliseconds(5))
        #expect(link.nextEventTime == .zero + .milliseconds(9))
        link.offer(LinkPacket(id: 2, bytes: 1500), at: .zero + .nanoseconds(8_999_999))
        var outcomes: [LinkOutcome] = []
        while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
        // The list starts again at 9 ms: 9 + 5.
        #expect(outcomes.map(\.at.nanoseconds) == [9_000_000, 14_000_000])
    }

    @Test("an opportunity hours and thousands of laps away is found at once")
    func longIdle() throws {
        let trace = try DeliveryTrace(stamps: (0..<100_000).map { UInt32($0 / 4) })
        var link = Link(LinkProfile(service: .trace(trace)), seed: 1, direction: .up)
        var outcomes: [LinkOutcome] = []
        for hour in Int64(1)...20_000 {
            let at = Instant.zero + .seconds(hour * 3600) + .microseconds(hour % 1000)
            link.offer(LinkPacket(id: UInt64(hour), bytes: 1500), at: at)
            while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
            let expected = (at.nanoseconds / 1_000_000 + 1) * 1_000_000
            #expect(outcomes.last?.at.nanoseconds == expected)
        }
    }
}
