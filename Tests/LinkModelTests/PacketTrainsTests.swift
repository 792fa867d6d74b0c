import Foundation
import MastLinkModel
import MastTimebase
import Testing

/// CellReplay's base delays, light and heavy opportunities, as its mm-cellular has them.
@Suite struct PacketTrainsTests {
    private typealias Packet = (ms: Double, bytes: Int)

    private func trains(_ text: String, offsets: String = "") throws -> PacketTrains {
        var trains = try PacketTrains(cellReplay: Array(text.utf8))
        try trains.readSizeOffsets(Array(offsets.utf8))
        return trains
    }

    /// When each packet arrived, in ms.
    private func arrivals(_ profile: LinkProfile, _ packets: [Packet]) -> [Double] {
        var link = Link(profile, seed: 1, direction: .down)
        var outcomes: [LinkOutcome] = []
        for (number, packet) in packets.enumerated() {
            let at = Instant.zero + Interval(nanoseconds: Int64(packet.ms * 1e6))
            while let next = link.nextEventTime, next <= at { link.advance(to: next, &outcomes) }
            link.offer(LinkPacket(id: UInt64(number), bytes: packet.bytes), at: at)
        }
        while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
        #expect(link.isDrained)
        var times = Array(repeating: -1.0, count: packets.count)
        for outcome in outcomes where outcome.isDelivered { times[Int(outcome.id)] = outcome.at.sinceStart.inMilliseconds }
        return times
    }

    private func profile(_ trains: PacketTrains, heavy: [UInt32]) throws -> LinkProfile {
        var profile = LinkProfile(service: .trace(try DeliveryTrace(stamps: heavy, opportunityBytes: 1_400)))
        profile.trains = trains
        return profile
    }

    @Test func aPacketAfterARestMeetsTheBaseDelayOnly() throws {
        let profile = try profile(trains("0 20 0\n100 40 0\n200 40 0\n"), heavy: [1_000])
        // Halfway between two lines the delay is halfway, too; the last line begins the lap again.
        #expect(arrivals(profile, [(0, 500), (50, 500), (100, 500), (150, 500), (200, 500)]) == [20, 80, 140, 190, 220])
    }

    @Test func packetsCloseBehindUseLightOpportunitiesAndThenHeavyOnes() throws {
        let profile = try profile(trains("0 20 0 3 7\n1000 20 0\n"), heavy: [50, 100])
        // Two small ones share the first opportunity; what is left over when the light ones are used up waits for heavy ones.
        #expect(arrivals(profile, [(0, 700), (0, 700), (0, 1_400), (0, 1_400), (0, 1_400), (0, 1_400)]) == [20, 20, 23, 27, 50, 100])
        // An opportunity that passed before a packet came is lost to it.
        #expect(arrivals(profile, [(0, 1_400), (0, 1_400), (3, 1_400), (3, 1_400)]) == [20, 23, 27, 50])
    }

    @Test func aLightOpportunityPassesNobodyWhoWaitsForAHeavyOne() throws {
        let profile = try profile(trains("0 10 0\n1000 10 0\n"), heavy: [100, 200])
        // The third begins a train of its own, but the second still waits.
        #expect(arrivals(profile, [(0, 1_400), (0, 1_400), (40, 1_400)]) == [10, 100, 200])
    }

    @Test func restBetweenTrainsIsSettable() throws {
        var rested = try trains("0 10 0 1\n1000 10 0 1\n")
        let packets: [Packet] = [(0, 1_400), (5, 1_400)]
        #expect(arrivals(try profile(rested, heavy: [100]), packets) == [10, 15])
        rested.rest = .milliseconds(20)
        // Five milliseconds on, the train's opportunities have passed.
        #expect(arrivals(try profile(rested, heavy: [100]), packets) == [10, 100])
    }

    @Test func sizesHaveOffsetsThatNeverReorder() throws {
        let profile = try profile(trains("0 20 0 0 0\n1000 20 0\n", offsets: "100 -6\n200 -4\n300 8.4\n"), heavy: [1_000])
        // Below the smallest, between two, and above the largest size; a smaller packet does not overtake.
        #expect(arrivals(profile, [(0, 40)]) == [14])
        #expect(arrivals(profile, [(0, 150)]) == [15])
        #expect(arrivals(profile, [(0, 900)]) == [28])
        #expect(arrivals(profile, [(0, 900), (60, 100)]) == [28, 74])
        #expect(arrivals(profile, [(0, 900), (1, 100)]) == [28, 1_000])
    }

    @Test func holdsAndLossesOfTheLinkApplyToLightPacketsToo() throws {
        var profile = try profile(trains("0 20 0 1\n1000 20 0\n"), heavy: [30, 100])
        profile.outages = [Outage(start: .zero + .milliseconds(15), duration: .milliseconds(50), mode: .hold)]
        #expect(arrivals(profile, [(0, 1_400)]) == [100])
        profile.outages = [Outage(start: .zero + .milliseconds(15), duration: .milliseconds(50), mode: .air)]
        #expect(arrivals(profile, [(0, 1_400), (70, 100)]) == [-1, 90])
    }

    /// Written from the paper's section 4 and the tool's behaviour, a millisecond at a time.
    private func naive(_ trains: PacketTrains, heavy: [Int], _ packets: [(ms: Int, bytes: Int)]) -> [Int] {
        let lines = trains.trains
        let lap = Int(lines[lines.count - 1].at)
        var arrivals = Array(repeating: -1, count: packets.count)
        var ready: [(at: Int, number: Int, isLight: Bool)] = []
        var (start, base, last, release, slot, room) = (0, -1, 0, 0, 0, 0)
        var slots: [Int] = []
        for (number, packet) in packets.enumerated() {
            var at: Int
            var isLight = true
            if base < 0 || packet.ms + base > last {
                let time = packet.ms % lap
                let line = lines.lastIndex { $0.at <= time }!
                let (from, to) = (lines[line], lines[line + 1])
                base = Int(from.delay) + Int((Double(time - Int(from.at)) * Double(to.delay - from.delay) / Double(to.at - from.at)).rounded(.down))
                (start, slots, slot, room) = (packet.ms, from.opportunities.map(Int.init), 0, 1_400 - packet.bytes)
                at = packet.ms + base
            } else {
                while slot < slots.count, slots[slot] < packet.ms - start { (slot, room) = (slot + 1, 1_400) }
                if room < packet.bytes { (slot, room) = (slot + 1, 1_400) }
                room -= packet.bytes
                isLight = slot < slots.count
                at = isLight ? start + base + slots[slot] : max(packet.ms + base, packet.ms + (slots.last ?? 0))
            }
            last = at
            if at < release { (at, isLight) = (release, false) }
            release = at
            ready.append((at, number, isLight))
        }
        // The queue, one heavy opportunity after the other.
        var queue: [(number: Int, bytes: Int)] = []
        var next = 0
        let period = heavy[heavy.count - 1]
        for ms in 0..<10 * (lap + period) {
            let count = heavy.count { $0 == (ms % period == 0 && ms > 0 ? period : ms % period) }
            for _ in 0..<count {
                var bytes = 1_400
                while bytes > 0, !queue.isEmpty {
                    let used = min(bytes, queue[0].bytes)
                    (bytes, queue[0].bytes) = (bytes - used, queue[0].bytes - used)
                    if queue[0].bytes == 0 { arrivals[queue.removeFirst().number] = ms }
                }
            }
            while next < ready.count, ready[next].at <= ms {
                if ready[next].isLight, queue.isEmpty { arrivals[ready[next].number] = ms } else { queue.append((ready[next].number, packets[ready[next].number].bytes)) }
                next += 1
            }
        }
        return arrivals
    }

    @Test func agreesWithANaiveModelPacketForPacket() throws {
        let trains = try trains("0 12 0 0 4 5 9\n40 30 0 2\n90 7 0 8 8 8 20\n130 18 0\n170 18\n")
        let heavy: [UInt32] = [3, 3, 11, 12, 12, 26, 40]
        for seed in 1...40 as ClosedRange<UInt64> {
            var chance = SeededGenerator(seed: seed)
            var at = 0
            let packets = (0..<120).map { _ -> (ms: Int, bytes: Int) in
                at += chance.next(below: 3) == 0 ? Int(chance.next(below: 40)) : Int(chance.next(below: 2))
                return (at, 40 + Int(chance.next(below: 1_361)))
            }
            let expected = naive(trains, heavy: heavy.map(Int.init), packets)
            #expect(arrivals(try profile(trains, heavy: heavy), packets.map { (Double($0.ms), $0.bytes) }) == expected.map(Double.init), "seed \(seed)")
        }
    }

    @Test func brokenFilesAreRefused() throws {
        for broken in ["", "5 20\n", "5 20\n5 30\n", "5\n9 1\n", "9 1\n5 1\n", "1 -2\n3 4\n", "x 1\n2 3\n", "0 1\n99999999999 1\n", "0 1 5 3\n9 1\n", "0 9999999\n5 1\n", "0 1.5\n5 1\n"] {
            #expect(throws: RateSeriesError.self, "\(broken)") { try PacketTrains(cellReplay: Array(broken.utf8)) }
        }
        var trains = try trains("0 1\n9 1\n")
        for broken in ["200 1\n", "100 1\n300 1\n", "100\n", "100 x\n", "100 99999999\n", "100 1 2\n"] {
            #expect(throws: RateSeriesError.self, "\(broken)") { try trains.readSizeOffsets(Array(broken.utf8)) }
        }
    }

    @Test func aScenarioHoldsThemAsTheyWere() throws {
        var trains = try trains("0 20 0 3\n100 40\n", offsets: "100 -1.5\n200 2\n")
        (trains.rest, trains.opportunityBytes) = (.milliseconds(5), 1_500)
        var scenario = LinkScenario()
        scenario.down.trains = trains
        let again = try JSONDecoder().decode(LinkScenario.self, from: JSONEncoder().encode(scenario))
        #expect(again == scenario)
        let text = #"{"down": {"trains": {"lines": ["0 20 0 3", "100 40"], "offsets": [-1.5, 2], "rest": "5ms", "opportunityBytes": 1500}}}"#
        #expect(try JSONDecoder().decode(LinkScenario.self, from: Data(text.utf8)) == scenario)
        for broken in [#""lines": ["0 20"]"#, #""lines": ["0 20", "5 1"], "offsets": [1e300]"#, #""file": "a""#, #""lines": ["0 20", "5 1"], "rest": "2h""#] {
            #expect(throws: DecodingError.self, "\(broken)") { try JSONDecoder().decode(LinkScenario.self, from: Data(#"{"down": {"trains": {\#(broken)}}}"#.utf8)) }
        }
    }
}
