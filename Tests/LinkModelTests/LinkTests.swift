import MastLinkModel
import MastTimebase
import Testing

/// Offers and looks, and keeps the outcomes.
private struct Bench {
    var link: Link
    var outcomes: [LinkOutcome] = []

    init(_ profile: LinkProfile, seed: UInt64 = 1, direction: LinkDirection = .up) {
        link = Link(profile, seed: seed, direction: direction)
    }

    mutating func offer(_ id: UInt64, bytes: Int = 1500, atMilliseconds at: Int64) {
        link.offer(LinkPacket(id: id, bytes: bytes), at: .zero + .milliseconds(at))
    }

    mutating func drain() {
        while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
    }

    var delivered: [(id: UInt64, ms: Double)] {
        outcomes.compactMap { if case .delivered(let id, let at) = $0 { (id, at.sinceStart.inMilliseconds) } else { nil } }
    }

    func dropped(_ reason: LinkDropReason) -> [UInt64] {
        outcomes.compactMap { if case .dropped(let id, _, reason) = $0 { id } else { nil } }
    }
}

@Suite("Link")
struct LinkTests {
    private static let wire = LinkService.constant(.megabitsPerSecond(12)) // a 1500-byte packet a millisecond

    @Test("an ideal link delivers at once, a delay alone delays")
    func ideal() {
        var bench = Bench(.ideal)
        bench.offer(1, atMilliseconds: 3)
        bench.drain()
        #expect(bench.delivered.map(\.ms) == [3])
        var far = Bench(LinkProfile(delay: .milliseconds(60)))
        far.offer(1, atMilliseconds: 3)
        #expect(far.link.nextEventTime == .zero + .milliseconds(63))
        far.drain()
        #expect(far.delivered.map(\.ms) == [63])
    }

    @Test("a constant rate serves one packet after the other")
    func constantRate() {
        var bench = Bench(LinkProfile(service: Self.wire, delay: .milliseconds(10)))
        for id in UInt64(0)..<3 { bench.offer(id, atMilliseconds: 0) }
        bench.offer(3, bytes: 750, atMilliseconds: 20)
        bench.drain()
        #expect(bench.delivered.map(\.ms) == [11, 12, 13, 30.5])
    }

    @Test("rounding to nanoseconds does not add up: a million packets take what their bits take")
    func exactRate() {
        let rate = Rate.bitsPerSecond(7_777_777)
        var link = Link(LinkProfile(service: .constant(rate)), seed: 1, direction: .up)
        for id in UInt64(0)..<1_000_000 { link.offer(LinkPacket(id: id, bytes: 1237), at: .zero) }
        var outcomes: [LinkOutcome] = []
        link.advance(to: .zero + .seconds(3600), &outcomes)
        #expect(outcomes.last?.at.sinceStart == rate.time(forBytes: 1_237_000_000))
    }

    @Test("a hold lets the server pause, also in the middle of a packet, and afterwards drain at its rate")
    func hold() {
        let outage = Outage(start: .nanoseconds(1_500_000), duration: .milliseconds(300))
        var bench = Bench(LinkProfile(service: Self.wire, outages: [outage]))
        for id in UInt64(0)..<4 { bench.offer(id, atMilliseconds: 0) }
        bench.offer(4, atMilliseconds: 100)
        bench.drain()
        #expect(bench.delivered.map(\.ms) == [1, 302, 303, 304, 305])
    }

    @Test("during a hold the queue's limit applies")
    func holdWithLimit() {
        let outage = Outage(start: .milliseconds(0), duration: .milliseconds(50))
        var bench = Bench(
            LinkProfile(service: Self.wire, queue: .dropTail(QueueLimit(packets: 3)), outages: [outage]))
        for id in UInt64(0)..<10 { bench.offer(id, atMilliseconds: Int64(id)) }
        bench.drain()
        #expect(bench.delivered.map(\.id) == [0, 1, 2])
        #expect(bench.dropped(.queueFull) == [3, 4, 5, 6, 7, 8, 9])
        #expect(bench.link.statistics.maxQueuePackets == 3)
    }

    @Test("a hold delays an unlimited link's packets to its end")
    func holdUnlimited() {
        var bench = Bench(LinkProfile(delay: .milliseconds(5), outages: [Outage(start: .milliseconds(10), duration: .milliseconds(20))]))
        for (id, at) in [Int64(9), 10, 29, 30].enumerated() { bench.offer(UInt64(id), atMilliseconds: at) }
        bench.drain()
        #expect(bench.delivered.map(\.ms) == [14, 35, 35, 35])
    }

    @Test("a drop outage discards what arrives in it, and still serves what waited")
    func dropOutage() {
        let outage = Outage(start: .milliseconds(1), duration: .milliseconds(2), mode: .drop)
        var bench = Bench(LinkProfile(service: Self.wire, outages: [outage]))
        for id in UInt64(0)..<3 { bench.offer(id, atMilliseconds: 0) }
        bench.offer(3, atMilliseconds: 1)
        bench.offer(4, atMilliseconds: 2)
        bench.offer(5, atMilliseconds: 3)
        bench.drain()
        #expect(bench.dropped(.outage) == [3, 4])
        #expect(bench.delivered.map(\.ms) == [1, 2, 3, 4])
    }

    @Test("an air outage discards what leaves the server in it")
    func airOutage() {
        let outage = Outage(start: .milliseconds(2), duration: .milliseconds(1), mode: .air)
        var bench = Bench(LinkProfile(service: Self.wire, delay: .milliseconds(9), outages: [outage]))
        for id in UInt64(0)..<3 { bench.offer(id, atMilliseconds: 0) }
        bench.drain()
        #expect(bench.dropped(.airOutage) == [1])
        #expect(bench.delivered.map(\.ms) == [10, 12])
    }

    @Test("an outage added by hand acts from then on, and can be ended early")
    func outageByHand() {
        var bench = Bench(LinkProfile(service: Self.wire))
        for id in UInt64(0)..<4 { bench.offer(id, atMilliseconds: 0) }
        bench.link.add(Outage(start: .zero, duration: .seconds(10)), at: .zero + .nanoseconds(1_500_000))
        #expect(bench.link.nextEventTime == .zero + .milliseconds(1))
        bench.link.advance(to: .zero + .milliseconds(100), &bench.outcomes)
        #expect(bench.delivered.map(\.ms) == [1])
        bench.link.clearOutages(at: .zero + .milliseconds(100))
        bench.drain()
        // Half of packet 1 had been served when the hold began.
        #expect(bench.delivered.map(\.ms) == [1, 100.5, 101.5, 102.5])
    }

    @Test("outages that touch or overlap are one")
    func joinedOutages() {
        let outages = [(10, 5), (15, 5), (0, 2), (12, 20), (1, 3)].map {
            Outage(start: .milliseconds($0.0), duration: .milliseconds($0.1))
        }
        var bench = Bench(LinkProfile(outages: outages))
        for at in Int64(0)..<40 { bench.offer(UInt64(at), atMilliseconds: at) }
        bench.drain()
        let expected = (0..<40).map { $0 < 4 ? 4.0 : (10..<32).contains($0) ? 32.0 : Double($0) }
        #expect(bench.delivered.map(\.ms) == expected)
    }

    @Test("drop-tail refuses the newest by packets and by bytes; drop-head the oldest that waits")
    func queueLimits() {
        func ids(_ queue: QueueDiscipline) -> [UInt64] {
            var bench = Bench(LinkProfile(service: Self.wire, queue: queue))
            for id in UInt64(0)..<6 { bench.offer(id, atMilliseconds: 0) }
            bench.drain()
            return bench.delivered.map(\.id)
        }
        // The first is in service at once, and does not wait; but only from its first instant's end on.
        #expect(ids(.infinite) == [0, 1, 2, 3, 4, 5])
        #expect(ids(.dropTail(QueueLimit(packets: 2))) == [0, 1, 2])
        #expect(ids(.dropTail(QueueLimit(bytes: 4500))) == [0, 1, 2, 3])
        #expect(ids(.dropTail(QueueLimit(packets: 5, bytes: 1500))) == [0, 1])
        #expect(ids(.dropHead(QueueLimit(packets: 2))) == [0, 4, 5])
    }

    @Test("jitter keeps the order and stays in its bounds")
    func jitter() {
        var bench = Bench(LinkProfile(delay: .milliseconds(40), jitter: .milliseconds(10)))
        for id in UInt64(0)..<2_000 { bench.offer(id, atMilliseconds: Int64(id) * 2) }
        bench.drain()
        #expect(bench.delivered.map(\.id) == Array(0..<2_000))
        for (id, ms) in bench.delivered { #expect((40...50).contains(ms - Double(id) * 2)) }
        #expect(bench.delivered.contains { $0.ms - Double($0.id) * 2 > 49 })
    }

    @Test("sizes and times out of bounds are clamped, never a trap")
    func extremes() throws {
        let trace = try DeliveryTrace(stamps: [UInt32(40 * 86_400_000)], opportunityBytes: 64)
        let services: [LinkService] = [.unlimited, .constant(.bitsPerSecond(1)), .constant(.bitsPerSecond(0)), .constant(.bitsPerSecond(.max)), .trace(trace)]
        for service in services {
            let profile = LinkProfile(
                service: service, delay: .max, jitter: .max, queue: .dropHead(QueueLimit(packets: 1_000, bytes: .max)),
                outages: [Outage(start: .max, duration: .max), Outage(start: .zero - .seconds(5), duration: .seconds(9))])
            var link = Link(profile, seed: 1, direction: .up)
            var outcomes: [LinkOutcome] = []
            for (index, at) in [Int64.min, -1, 0, 5, .max / 2, 7, .max].enumerated() {
                link.offer(LinkPacket(id: UInt64(index), bytes: index % 2 == 0 ? .max : .min), at: Instant(nanoseconds: at))
                link.advance(to: Instant(nanoseconds: at), &outcomes)
            }
            while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
            link.add(Outage(start: .max, duration: .max), at: .distantFuture)
            link.clearOutages(at: .distantFuture)
            link.advance(to: .distantFuture, &outcomes)
        }
    }
}
