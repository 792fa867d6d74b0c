import MastLinkModel
import MastTimebase
import Testing

@Suite("The link's log")
struct LinkLogTests {
    private func events(_ profile: LinkProfile, _ packets: [(ms: Int64, bytes: Int)], until end: Int64) -> [LinkEvent] {
        var link = Link(profile, seed: 1, direction: .down)
        link.isRecording = true
        var outcomes: [LinkOutcome] = []
        var events: [LinkEvent] = []
        for (index, packet) in packets.enumerated() {
            link.offer(LinkPacket(id: UInt64(index), bytes: packet.bytes), at: .zero + .milliseconds(packet.ms))
        }
        link.advance(to: .zero + .milliseconds(end), &outcomes)
        link.takeEvents(&events)
        return events
    }

    private func text(_ events: [LinkEvent], decimals: Int = 0) -> String {
        var bytes: [UInt8] = []
        LinkLog(decimals: decimals).append(events, to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    @Test func itReadsAsMMLinkWritesIt() throws {
        let profile = LinkProfile(
            service: .trace(try DeliveryTrace(stamps: [5, 5, 9])), delay: .milliseconds(40),
            queue: .dropTail(QueueLimit(packets: 2)))
        let log = text(events(profile, [(1, 1_500), (2, 2_000), (3, 100), (5, 60)], until: 14))
        #expect(log == """
            1 + 1500
            2 + 2000
            3 + 100
            3 d 1 100
            5 # 1500
            5 # 1500
            5 - 1500 4
            5 + 60
            9 # 1500
            9 - 2000 7
            9 - 60 4
            14 # 1500
            14 # 1500

            """)
    }

    @Test func decimalsGiveTheExactTimes() {
        let profile = LinkProfile(service: .constant(.megabitsPerSecond(7)))
        #expect(text(events(profile, [(1, 1_500)], until: 10), decimals: 6) == "1.000000 + 1500\n2.714286 - 1500 1.714286\n")
    }

    @Test func nothingIsKeptUnlessAskedFor() {
        var link = Link(.ideal, seed: 1, direction: .up)
        var events: [LinkEvent] = []
        link.offer(LinkPacket(id: 1, bytes: 100), at: .zero)
        link.takeEvents(&events)
        #expect(events.isEmpty)
    }

    @Test func packetsLostOnTheAirHaveLeftTheQueue() {
        let profile = LinkProfile(service: .constant(.megabitsPerSecond(12)), radioLoss: .independent(.always))
        let all = events(profile, [(0, 1_500)], until: 10)
        #expect(text(all) == "0 + 1500\n1 - 1500 1\n")
        #expect(all.last?.kind == .drop(.radioLoss))
    }
}

@Suite("Packets as lines")
struct PacketScheduleTests {
    private func parse(_ lines: [String]) throws -> [PacketSchedule.Line] {
        var schedule = PacketSchedule()
        return try lines.compactMap { try schedule.parse(Array($0.utf8)) }
    }

    @Test(arguments: [
        ("0,1500", 0, 1_500), ("0.5,40", 500_000_000, 40), ("1.000000001, 9000\r", 1_000_000_001, 9_000),
        ("1e-05,1", 10_000, 1), ("2.5E1,7", 25_000_000_000, 7), ("0.012000000000000002,60", 12_000_000, 60),
        ("0.0119999999999999,60", 12_000_000, 60),
    ])
    func timesAreExactToTheNanosecond(_ line: String, _ nanoseconds: Int64, _ bytes: Int) throws {
        #expect(try parse([line]) == [.init(at: Instant(nanoseconds: nanoseconds), bytes: bytes)])
    }

    @Test func aHeaderAndEmptyLinesAreSkipped() throws {
        #expect(try parse(["timeS,bytes", "", "1,2"]).count == 1)
    }

    @Test(arguments: ["x", "1", "1,", "1,x", "1,0", "1,131073", ",5", "-1,5", "1e999,5", "99999999999,5", "1,5,6", "1.2.3,4", "1e,4"])
    func whatIsNoPacketNamesItsLine(_ line: String) {
        #expect { _ = try parse(["0,1", line]) } throws: { ($0 as? PacketScheduleError)?.line == 2 }
    }

    @Test func timeDoesNotGoBackwards() {
        #expect(throws: PacketScheduleError.self) { try parse(["2,10", "1,10"]) }
    }
}
