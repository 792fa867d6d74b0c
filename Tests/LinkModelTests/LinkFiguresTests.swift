import Foundation
import MastLinkModel
import MastTimebase
import Testing

/// Hand-calculated times of the server stage, and the counts beside them.
@Suite struct `Figures of a link` {
    private func run(_ profile: LinkProfile, _ packets: [(us: Int64, bytes: Int)]) -> (outcomes: [LinkOutcome], link: Link) {
        var link = Link(profile, seed: 1, direction: .down)
        var outcomes: [LinkOutcome] = []
        for (id, packet) in packets.enumerated() {
            let at = Instant.zero + .microseconds(packet.us)
            while let next = link.nextEventTime, next <= at { link.advance(to: next, &outcomes) }
            link.offer(LinkPacket(id: UInt64(id), bytes: packet.bytes), at: at)
        }
        while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
        return (outcomes, link)
    }

    private func nanoseconds(_ profile: LinkProfile, _ packets: [(us: Int64, bytes: Int)]) -> [Int64] { run(profile, packets).outcomes.map(\.at.nanoseconds) }

    private func series(_ steps: [(ms: Int64, kbit: Int64)], period: Int64? = nil) throws -> LinkProfile {
        LinkProfile(service: .series(try #require(RateSeries(
            steps: steps.map { RateSeries.Step(at: .milliseconds($0.ms), rate: .kilobitsPerSecond($0.kbit)) }, period: period.map { .milliseconds($0) }))))
    }

    @Test func `A part of a nanosecond is carried to the next packet, on a wire and in a series`() throws {
        // 100 bytes at 3 Mbit/s: 266,666.67 ns each.
        let wire = LinkProfile(service: .constant(.megabitsPerSecond(3)))
        let packets = Array(repeating: (us: Int64(0), bytes: 100), count: 3)
        #expect(nanoseconds(wire, packets) == [266_667, 533_334, 800_000])
        #expect(try nanoseconds(series([(0, 3_000)]), packets) == [266_667, 533_334, 800_000])
        // After a pause nothing is carried.
        let apart: [(us: Int64, bytes: Int)] = [(0, 100), (1_000, 100), (1_000, 100)]
        #expect(nanoseconds(wire, apart) == [266_667, 1_266_667, 1_533_334])
        #expect(try nanoseconds(series([(0, 3_000)]), apart) == [266_667, 1_266_667, 1_533_334])
    }

    @Test func `A series serves what each of its steps offers, and a packet that ends with a step is done then`() throws {
        // 1 Mbit/s for 1 ms is 125 bytes.
        #expect(try nanoseconds(series([(0, 1_000), (1, 500)]), [(0, 125), (0, 125)]) == [1_000_000, 3_000_000])
        #expect(try nanoseconds(series([(0, 1_000), (1, 500)]), [(0, 126)]) == [1_016_000])
        #expect(try nanoseconds(series([(0, 1_000), (1, 0), (4, 1_000)], period: 5), [(0, 250)]) == [5_000_000])
        #expect(try nanoseconds(series([(0, 1_000), (1, 0), (4, 1_000)], period: 5), [(500, 125), (2_000, 125)]) == [4_500_000, 5_500_000])
        // For ever silent: nothing comes.
        #expect(try run(series([(0, 1_000), (1, 0)]), [(0, 126)]).outcomes.isEmpty)
        // A hold: what the series offers meanwhile passes unused.
        var held = try series([(0, 1_000), (2, 500)])
        held.outages = [Outage(start: .microseconds(500), duration: .milliseconds(1))]
        #expect(nanoseconds(held, [(0, 125)]) == [2_000_000])
        #expect(nanoseconds(held, [(0, 126)]) == [2_016_000])
        #expect(nanoseconds(held, [(700, 62)]) == [1_996_000])
    }

    @Test func `A rate of zero never serves, and a bucket waits for its tokens`() {
        #expect(run(LinkProfile(service: .constant(.bitsPerSecond(0))), [(0, 100)]).outcomes.isEmpty)
        #expect(run(LinkProfile(service: .tokenBucket(.bitsPerSecond(0), burstBytes: 100)), [(0, 100)]).outcomes.isEmpty)
        // 1 Mbit/s fills 125 bytes a millisecond; the bucket begins full.
        let bucket = LinkProfile(service: .tokenBucket(.megabitsPerSecond(1), burstBytes: 250))
        #expect(nanoseconds(bucket, [(0, 250), (0, 125), (0, 125)]) == [0, 1_000_000, 2_000_000])
        #expect(nanoseconds(bucket, [(0, 250), (1_500, 125), (1_500, 125)]) == [0, 1_500_000, 2_000_000])
        // It holds no more than its size, and a larger packet waits for all of that.
        #expect(nanoseconds(bucket, [(0, 250), (60_000, 250), (60_000, 125)]) == [0, 60_000_000, 61_000_000])
        #expect(nanoseconds(bucket, [(0, 1_000), (0, 1_000)]) == [0, 2_000_000])
    }

    @Test func `Each reason of a drop is counted by itself, and sums add up`() throws {
        func counted(_ change: (inout LinkProfile) -> Void, offers: Int = 1, bytes: Int = 100) -> LinkStatistics {
            var profile = LinkProfile(service: .constant(.kilobitsPerSecond(8)))
            change(&profile)
            return run(profile, Array(repeating: (us: 0, bytes: bytes), count: offers)).link.statistics
        }
        let rows: [(reason: LinkDropReason, found: LinkStatistics)] = [
            (.tooBig, counted { $0.mtu = 99 }), (.preQueueLoss, counted { $0.preQueueLoss = .independent(.always) }),
            (.outage, counted { $0.outages = [Outage(start: .zero, duration: .seconds(1), mode: .drop)] }),
            (.queueFull, counted({ $0.queue = .dropTail(QueueLimit(packets: 1)) }, offers: 3)),
            (.airOutage, counted { $0.outages = [Outage(start: .zero, duration: .seconds(1), mode: .air)] }), (.radioLoss, counted { $0.radioLoss = .independent(.always) }),
        ]
        for (reason, found) in rows {
            let drops = found.dropped(reason)
            #expect(drops == 1 && found.droppedPackets == 1 && found.droppedBytes == 100, "\(reason)")
            for other in LinkDropReason.allCases where other != reason { #expect(found.dropped(other) == 0) }
        }
        // Every field has a value of its own.
        let names = [
            "offeredPackets", "offeredBytes", "deliveredPackets", "deliveredBytes", "droppedBytes", "tooBig", "preQueueLosses", "outageDrops", "queueDrops",
            "airOutageDrops", "radioLosses", "activeQueueDrops", "marks", "corrupted", "duplicates", "maxQueuePackets", "maxQueueBytes",
        ]
        func statistics(_ value: (Int) -> Int) throws -> LinkStatistics {
            let fields = names.enumerated().map { "\"\($0.element)\": \(value($0.offset))" }
            return try JSONDecoder().decode(LinkStatistics.self, from: Data("{\(fields.joined(separator: ", "))}".utf8))
        }
        var sum = try statistics { 1 << $0 }
        #expect(sum.droppedPackets == (5...11).reduce(0) { $0 + 1 << $1 })
        #expect(LinkDropReason.allCases.map(sum.dropped).sorted() == (5...11).map { 1 << $0 })
        sum.add(try statistics { 1_000_000 << $0 })
        // Of the queue's peaks the greater one stays.
        #expect(try sum == statistics { $0 < 15 ? 1_000_001 << $0 : 1_000_000 << $0 })
        sum.add(try statistics { _ in 0 })
        #expect(try sum == statistics { $0 < 15 ? 1_000_001 << $0 : 1_000_000 << $0 })
    }

    @Test func `A link is drained when nothing waits, is on its way or is untold`() {
        func drained(_ profile: LinkProfile, _ steps: (inout Link) -> Void) -> Bool {
            var link = Link(profile, seed: 1, direction: .up)
            steps(&link)
            return link.isDrained
        }
        let packet = LinkPacket(id: 1, bytes: 100)
        #expect(drained(.ideal) { _ in })
        // In the queue; in the delay stage; a drop that nobody was told of; before the queue.
        #expect(!drained(LinkProfile(service: .constant(.bitsPerSecond(1)))) { $0.offer(packet, at: .zero) })
        #expect(!drained(LinkProfile(delay: .seconds(1))) { $0.offer(packet, at: .zero); $0.settleAt(.zero) })
        #expect(!drained(LinkProfile(preQueueLoss: .independent(.always))) { $0.offer(packet, at: .zero) })
        var late = LinkProfile()
        late.trains = PacketTrains(trains: [.init(at: 0, delay: 50), .init(at: 100, delay: 50)])
        #expect(!drained(late) { $0.offer(packet, at: .zero) })
        #expect(drained(late) { $0.offer(packet, at: .zero); $0.settleAt(.zero + .seconds(1)) })
    }

    @Test func `A flush empties the queue, of packets and of bytes, but for the one in service`() {
        var profile = LinkProfile(service: .constant(.kilobitsPerSecond(800)))
        profile.changes = [LinkChange(at: .microseconds(500), .flush)]
        var link = Link(profile, seed: 1, direction: .up)
        for id in 0..<4 { link.offer(LinkPacket(id: UInt64(id), bytes: 100), at: .zero) }
        // The first is in service, and waits no more.
        #expect(link.queuedPackets == 3 && link.queuedBytes == 300)
        link.settleAt(.zero + .microseconds(600))
        #expect(link.queuedPackets == 0 && link.queuedBytes == 0 && link.statistics.outageDrops == 3 && link.statistics.maxQueuePackets == 3)
        link.settleAt(.zero + .milliseconds(1))
        #expect(link.statistics.deliveredPackets == 1 && link.isDrained)
    }

    @Test func `Both directions' rebindings are told in order of time`() {
        var scenario = LinkScenario()
        scenario.up.changes = [LinkChange(at: .seconds(9), .rebind(.port)), LinkChange(at: .seconds(1), .flush)]
        scenario.down.changes = [LinkChange(at: .seconds(3), .rebind(.address)), LinkChange(at: .seconds(12), .rebind(.port))]
        #expect(scenario.rebindings.map(\.at) == [.seconds(3), .seconds(9), .seconds(12)] && scenario.rebindings.map(\.what) == [.address, .port, .port])
        #expect(LinkDirection.up.opposite == .down && LinkDirection.down.opposite == .up)
    }

    /// Others' files and memory rest on them.
    @Test func `The bounds are what they were`() {
        #expect(RateSeries.maximumSteps == 4_194_304 && DelaySeries.maximumValues == 4_194_304 && DeliveryTrace.maximumCount == 33_554_432)
        #expect(DeliveryTrace.maximumPeriod == .seconds(3_456_000) && DeliveryTrace.opportunitySizes == 64...65_536 && LinkPacket.sizes == 1...131_072)
        #expect(PacketTrains.mostOpportunities == 4_194_304 && PacketTrains.mostSizes == 656 && LinkProfile.maximumOutages == 100_000)
        #expect(RandomOutages.shortestEvery == .milliseconds(10))
        #expect(CoDelParameters() == CoDelParameters(target: .milliseconds(5), interval: .milliseconds(100), limit: QueueLimit()))
    }

    @Test func `A distribution goes from its first quantile to its last, evenly between two`() throws {
        let hour = Interval.seconds(3_600)
        #expect(IntervalDistribution(quantiles: []) == nil && IntervalDistribution(quantiles: [.zero - .milliseconds(1)]) == nil)
        #expect(IntervalDistribution(quantiles: [hour]) != nil && IntervalDistribution(quantiles: [hour + .nanoseconds(1)]) == nil)
        #expect(IntervalDistribution(quantiles: Array(repeating: hour, count: 1_025)) != nil && IntervalDistribution(quantiles: Array(repeating: hour, count: 1_026)) == nil)
        #expect(IntervalDistribution(quantiles: [.milliseconds(2), .milliseconds(1)]) == nil && IntervalDistribution(text: "1ms/") == nil)
        let spread = try #require(IntervalDistribution(text: "10ms/20ms/20ms/60ms"))
        #expect(spread.text == "10ms/20ms/20ms/60ms")
        var chance = SeededGenerator(seed: 4)
        let draws = (0..<9_000).map { _ in spread.sample(&chance).inMilliseconds }
        #expect(draws.min() ?? 0 < 10.1 && draws.min() ?? 0 >= 10 && draws.max() ?? 0 > 59.9 && draws.max() ?? 0 < 60)
        let shares = [draws.count { $0 < 20 }, draws.count { $0 == 20 }, draws.count { $0 > 20 }, draws.count { $0 < 15 }, draws.count { $0 > 40 }]
        for (found, expected) in zip(shares, [3_000, 3_000, 3_000, 1_500, 1_500]) { #expect(abs(found - expected) < 200, "\(shares)") }
        #expect(DelaySeries(step: .zero, values: [.zero]) == nil && DelaySeries(step: .milliseconds(1), values: []) == nil)
        #expect(DelaySeries(step: .milliseconds(1), values: [hour]) != nil && DelaySeries(step: .milliseconds(1), values: [hour + .nanoseconds(1)]) == nil)
    }

    @Test func `A chain has the shares that its probabilities make`() throws {
        let half = Probability(0.5)
        let chain = GilbertElliott(enterBad: Probability(0.25), leaveBad: Probability(0.75), lossInGood: Probability(0.125), lossInBad: half)
        #expect(chain.badShare == Probability(0.25) && chain.lossShare == Probability(0.21875))
        #expect(GilbertElliott(enterBad: .never, leaveBad: .never).badShare == .never && GilbertElliott(enterBad: half, leaveBad: half).lossShare == half)
        let burst = try #require(GilbertElliott(share: Probability(0.25), meanBurst: .milliseconds(4), step: .milliseconds(1)))
        #expect(burst.leaveBad == Probability(0.25) && burst.enterBad.parts == 357_913_941 && burst.step == .milliseconds(1))
        #expect(try #require(GilbertElliott(share: Probability(0.25), meanBurst: .milliseconds(4))).step == .milliseconds(1))
        for (burst, step, isOne) in [(1, 1, true), (1, 2, false), (1, 0, false), (5, -1, false)] as [(Int64, Int64, Bool)] {
            #expect((GilbertElliott(share: Probability(0.25), meanBurst: .milliseconds(burst), step: .milliseconds(step)) != nil) == isOne)
        }
        for (packets, isOne) in [(1.0, true), (0.99, false), (4e9, false), (3.9e9, true)] {
            #expect((GilbertElliott(share: Probability(0.1), meanBurstPackets: packets) != nil) == isOne, "\(packets)")
        }
        #expect(GilbertElliott(share: .always, meanBurstPackets: 5) == nil && GilbertElliott(share: half, meanBurstPackets: 1) != nil)
        #expect(GilbertElliott(share: Probability(0.51), meanBurstPackets: 1) == nil)
    }
}

extension Link {
    fileprivate mutating func settleAt(_ instant: Instant) {
        var outcomes: [LinkOutcome] = []
        advance(to: instant, &outcomes)
    }
}
