import Foundation
import MastLinkModel
import MastTimebase
import Testing

/// Each stage alone, against what its definition says.
@Suite struct LinkStageTests {
    private func run(
        _ profile: LinkProfile, _ packets: [(ms: Int64, bytes: Int)], until end: Int64 = 100_000, ect: Bool = false
    ) -> (outcomes: [LinkOutcome], link: Link) {
        var link = Link(profile, seed: 1, direction: .down)
        var outcomes: [LinkOutcome] = []
        for (id, packet) in packets.enumerated() {
            let at = Instant.zero + .milliseconds(packet.ms)
            while let next = link.nextEventTime, next <= at { link.advance(to: next, &outcomes) }
            link.offer(LinkPacket(id: UInt64(id), bytes: packet.bytes, isECT: ect), at: at)
        }
        while let next = link.nextEventTime, next <= .zero + .milliseconds(end) { link.advance(to: next, &outcomes) }
        return (outcomes, link)
    }

    private func milliseconds(_ outcomes: [LinkOutcome]) -> [Int64] { outcomes.map { $0.at.sinceStart.milliseconds } }

    @Test func coDelDropsAtTheIntervalOverTheRootOfItsCount() throws {
        // 12 Mbit/s, offered at twice that: a packet of 1500 bytes a millisecond leaves.
        let profile = LinkProfile(service: .constant(.megabitsPerSecond(12)), queue: try #require(QueueDiscipline(text: "codel")))
        let (outcomes, link) = run(profile, (0..<4_000).map { (Int64($0) / 2, 1_500) })
        let drops = outcomes.filter { !$0.isDelivered }.map { $0.at.sinceStart.inMilliseconds }
        try #require(drops.count > 20)
        // 5 ms of sojourn after about 10 ms, then an interval.
        #expect((105.0...125.0).contains(drops[0]))
        for n in 1...10 {
            let gap = drops[n] - drops[n - 1]
            #expect(abs(gap - 100 / Double(n).squareRoot()) <= 1.5, "drop \(n) came \(gap) ms after the one before")
        }
        #expect(link.statistics.activeQueueDrops == drops.count)
        #expect(link.isDrained)
    }

    @Test func coDelMarksInsteadWhereTheEndpointsUnderstand() throws {
        var profile = LinkProfile(service: .constant(.megabitsPerSecond(12)), queue: try #require(QueueDiscipline(text: "codel")))
        profile.ecn = true
        let (outcomes, link) = run(profile, (0..<2_000).map { (Int64($0) / 2, 1_500) }, ect: true)
        #expect(outcomes.count(where: \.isDelivered) == 2_000)
        #expect(link.statistics.droppedPackets == 0)
        #expect(link.statistics.marks > 10)
        // Each is told before its packet comes out.
        let marked = outcomes.indices.filter { if case .marked = outcomes[$0] { true } else { false } }
        #expect(marked.count == link.statistics.marks)
        #expect(marked.allSatisfy { mark in outcomes[mark...].contains { $0.isDelivered && $0.id == outcomes[mark].id } })
    }

    @Test func pieHoldsTheQueueNearItsTarget() {
        let profile = LinkProfile(service: .constant(.megabitsPerSecond(12)), queue: .pie(QueueLimit()))
        let offers = (0..<30_000).map { (ms: Int64($0) * 10 / 12, bytes: 1_500) } // a fifth too much
        let (outcomes, link) = run(profile, offers)
        let late = outcomes.filter { $0.isDelivered && $0.id > 20_000 }
        let delays = late.map { $0.at.sinceStart.milliseconds - offers[Int($0.id)].ms }.sorted()
        #expect(link.statistics.activeQueueDrops > 1_000)
        #expect((5...40).contains(delays[delays.count / 2]), "\(delays[delays.count / 2]) ms")
    }

    @Test func aTokenBucketLetsItsBurstThroughAtOnce() {
        let profile = LinkProfile(service: .tokenBucket(.megabitsPerSecond(12), burstBytes: 4_500))
        let (outcomes, _) = run(profile, Array(repeating: (0, 1_500), count: 6))
        #expect(milliseconds(outcomes) == [0, 0, 0, 1, 2, 3])
    }

    @Test func aSeriesServesAtTheRateOfEachMomentAndStartsAgain() throws {
        let series = try #require(
            RateSeries(
                steps: [.init(at: .zero, rate: .megabitsPerSecond(12)), .init(at: .milliseconds(2), rate: .megabitsPerSecond(0)),
                    .init(at: .milliseconds(5), rate: .megabitsPerSecond(6))],
                period: .milliseconds(9)))
        let (outcomes, _) = run(LinkProfile(service: .series(series)), Array(repeating: (0, 1_500), count: 5))
        #expect(milliseconds(outcomes) == [1, 2, 7, 9, 10])
    }

    @Test func aSeriesIsReadWithAnySeparatorAndRefusedWithItsLine() throws {
        for text in ["time,mbps\n0,1.5\n0.5,3\n", "0\t1.5\n0.5\t3", "10 1.5\r\n10.5 3\r\n"] {
            let series = try RateSeries(table: Array(text.utf8))
            #expect(series.steps.map(\.rate.bitsPerSecond) == [1_500_000, 3_000_000])
            #expect(series.period == .seconds(1))
        }
        #expect(throws: RateSeriesError(line: 2, text: "time does not increase")) {
            try RateSeries(table: Array("1,2\n1,3\n".utf8))
        }
        #expect(throws: RateSeriesError.self) { try RateSeries(table: []) }
        #expect(throws: RateSeriesError.self) { try RateSeries(table: Array("a,b\nc,d\n".utf8)) }
    }

    /// Steps as Mbit/s, a second apart unless the table says otherwise.
    private func rates(_ text: String, column: String? = nil) throws -> [Double] {
        try RateSeries(table: Array(text.utf8), column: column).steps.map(\.rate.inMegabitsPerSecond)
    }

    @Test(arguments: [
        ("t_s,rsrp_dbm,mbps\n0,-90,1.5\n1,-91,3\n", [1.5, 3.0]), ("mbps,elapsed_ms\n1.5,0\n3,1000\n", [1.5, 3.0]),
        ("Time (s);Rate (kbit/s)\n0;1500\n1;3000\n", [1.5, 3.0]), ("\"time\",\"bits_per_second\"\n0,1.5e6\n1,3E+06\n", [1.5, 3.0]),
        ("# seconds Mbit/s\n0 1.5\n# half\n1 3\n", [1.5, 3.0]), ("\u{FEFF}s\tMB/s\n0\t1\n1\t2\n", [8.0, 16.0]), ("t,x\n0,2.5e-01\n", [0.25]),
        ("t,throughput_mbits_per_second\n0,1.5\n1,3\n", [1.5, 3.0]), ("t,kbits_per_second\n0,1500\n", [1.5]), ("s,GB/s\n0,1\n", [8_000]), ("s,GBps\n0,2\n", [16_000]),
        ("timeMs,downKbps\n0,1500\n1000,3000\n", [1.5, 3.0]), ("usec,mbps\n0,1.5\n1000000,3\n", [1.5, 3.0]), ("timeS,rateKBps\n0,1000\n", [8]),
    ])
    func aTablesColumnsAreFoundByTheirNamesAndUnits(_ text: String, _ expected: [Double]) throws {
        #expect(try rates(text) == expected)
    }

    @Test func whichOfSeveralRatesIsMeantIsNeverGuessed() throws {
        let table = "t_s,a_mbps,b_mbps\n0,1,2\n1,3,4\n"
        let open = #expect(throws: RateSeriesError.self) { try self.rates(table) }
        #expect(open?.columns == ["a_mbps", "b_mbps"] && open?.description.contains("a_mbps, b_mbps") == true)
        #expect(try rates(table, column: "b_mbps") == [2, 4])
        #expect(try rates(table, column: "A_MBPS") == [1, 3])
        #expect(try rates(table, column: "3") == [2, 4])
        #expect(throws: RateSeriesError.self) { try self.rates(table, column: "c") }
        #expect(throws: RateSeriesError.self) { try self.rates(table, column: "t_s") }
        let bare = #expect(throws: RateSeriesError.self) { try self.rates("0,1,2\n1,3,4\n") }
        #expect(bare?.columns == ["2", "3"])
        #expect(try rates("0,1,2\n1,3,4\n", column: "2") == [1, 3])
    }

    @Test func aCellThatIsNoNumberIsNamedWithItsLine() throws {
        for text in ["t,mbps\n0,1\n1,\n", "t,mbps\n0,1\n1,-2\n", "t,mbps\n0,1\n2020.02.14,3\n", "t,mbps\n0,1\n1,1e99\n"] {
            #expect(#expect(throws: RateSeriesError.self) { try self.rates(text) }?.line == 3, "\(text)")
        }
    }

    @Test func largePacketsAreDroppedWithTheirReason() {
        var profile = LinkProfile()
        profile.mtu = 1_400
        let (outcomes, _) = run(profile, [(0, 1_400), (1, 1_401)])
        #expect(outcomes.map(\.isDelivered) == [true, false])
        if case .dropped(_, _, let reason) = outcomes[1] { #expect(reason == .tooBig) }
    }

    @Test func copiesAndTurnedBitsAndOvertakingFollowTheirShares() {
        var profile = LinkProfile(delay: .milliseconds(20))
        (profile.corruption, profile.duplication, profile.reordering) = (Probability(0.1), Probability(0.1), Probability(0.1))
        let (outcomes, link) = run(profile, (0..<5_000).map { (Int64($0), 100) })
        let copies = outcomes.filter { if case .copied = $0 { true } else { false } }.count
        let corrupted = outcomes.filter { if case .corrupted = $0 { true } else { false } }.count
        #expect((400...600).contains(copies) && (400...600).contains(corrupted))
        #expect(outcomes.count == 5_000 + copies)
        #expect((link.statistics.duplicates, link.statistics.corrupted) == (copies, corrupted))
        let early = outcomes.filter { $0.at.sinceStart.milliseconds == Int64($0.id) }.count
        #expect((400...700).contains(early))
        #expect(zip(outcomes, outcomes.dropFirst()).allSatisfy { $0.at <= $1.at })
    }

    @Test func aHandoverForwardsOrFlushesAndThenHasItsNewRate() throws {
        func handover(_ text: String) throws -> [LinkOutcome] {
            var profile = LinkProfile(service: .constant(.megabitsPerSecond(12)))
            let (hold, changes) = try #require(LinkChange.handover(text: text))
            (profile.outages, profile.changes) = ([hold], changes)
            return run(profile, Array(repeating: (8, 1_500), count: 5)).outcomes
        }
        #expect(milliseconds(try handover("10s+50ms")) == [9, 10, 11, 12, 13])
        #expect(milliseconds(try handover("10ms+50ms,rate=6mbit")) == [9, 10, 62, 64, 66])
        let flushed = try handover("10ms+50ms,flush")
        #expect(flushed.filter(\.isDelivered).count == 2)
        #expect(milliseconds(flushed).max() == 10)
    }

    @Test func thePacketAfterASilenceWaitsForTheRadio() {
        var profile = LinkProfile()
        (profile.idleAfter, profile.promotion) = (.seconds(5), .seconds(1))
        let (outcomes, _) = run(profile, [(0, 100), (1_000, 100), (7_000, 100), (7_500, 100), (8_100, 100)])
        #expect(milliseconds(outcomes) == [0, 1_000, 8_000, 8_000, 8_100])
    }

    @Test func eventsComeInOrderAndNameEveryOpportunity() throws {
        let trace = try DeliveryTrace(mahimahi: Array("2\n4\n5\n".utf8))
        var link = Link(LinkProfile(service: .trace(trace), delay: .milliseconds(3)), seed: 1, direction: .up)
        link.isRecording = true
        var outcomes: [LinkOutcome] = []
        link.offer(LinkPacket(id: 7, bytes: 1_500), at: .zero + .milliseconds(2))
        link.advance(to: .zero + .milliseconds(10), &outcomes)
        var events: [LinkEvent] = []
        link.takeEvents(&events)
        #expect(zip(events, events.dropFirst()).allSatisfy { $0.at <= $1.at })
        #expect(events.filter { $0.kind == .opportunity }.map { $0.at.sinceStart.milliseconds } == [2, 4, 5, 7, 9, 10])
        #expect(events.contains { $0.kind == .departure(waited: .milliseconds(2)) && $0.at == .zero + .milliseconds(4) })
        #expect(events.contains { $0.kind == .delivery && $0.at == .zero + .milliseconds(7) })
    }

    @Test func everyStageComesBackFromItsJSON() throws {
        let text = """
            {"up": {"series": {"steps": ["0s=5mbit", "1500ms=2mbit"], "period": "10s"}, "queue": "codel:5ms,50ms,100p", "mtu": 1400,
              "ecn": true, "corrupt": "1%", "duplicate": "2%", "reorder": "3%", "idleAfter": "5s", "promotion": "1s",
              "changes": ["12s:rate=5mbit", "13s:delay=30ms", "14s:mtu=1280", "15s:flush"], "handovers": ["30s+80ms,flush,rate=5mbit"]},
             "down": {"tokenBucket": {"rate": "5mbit", "burstBytes": 15000}, "queue": "pie:100p"}}
            """
        let scenario = try JSONDecoder().decode(LinkScenario.self, from: Data(text.utf8))
        #expect(scenario.up.changes.count == 6)
        #expect(scenario.up.outages == [Outage(start: .seconds(30), duration: .milliseconds(80))])
        #expect(try JSONDecoder().decode(LinkScenario.self, from: try JSONEncoder().encode(scenario)) == scenario)
    }

    @Test(arguments: [
        #"{"up": {"rate": "1mbit", "series": {"steps": ["0s=1mbit"]}}}"#, #"{"up": {"series": {"steps": []}}}"#,
        #"{"up": {"series": {"steps": ["1s=1mbit"]}}}"#, #"{"up": {"tokenBucket": {"rate": "1mbit", "burstBytes": 0}}}"#,
        #"{"up": {"mtu": 0}}"#, #"{"up": {"changes": ["12s"]}}"#, #"{"up": {"handovers": ["drop:1s+1s"]}}"#,
        #"{"up": {"queue": "codel:5ms"}}"#, #"{"up": {"reorder": 2}}"#,
    ])
    func malformedStagesAreRefused(_ text: String) {
        #expect(throws: DecodingError.self) { try JSONDecoder().decode(LinkScenario.self, from: Data(text.utf8)) }
    }
}
