import MastLinkModel
import MastTimebase
import Testing

@Suite("Reading a link's log")
struct LinkLogReaderTests {
    private func parse(_ lines: [String]) throws -> [LinkLogReader.Entry] {
        var reader = LinkLogReader()
        return try lines.compactMap { try reader.parse(Array($0.utf8)) }
    }

    @Test("mm-link's own lines are read, their times counted from the base")
    func linesOfMMLink() throws {
        let entries = try parse([
            "# mahimahi mm-link (uplink) [trace] > log", "# queue: infinite", "# init timestamp: 1700000000000",
            "# base timestamp: 13", "15 + 1504", "16 # 1504", "16 - 1504 1\r", "17 d 2 3008", "",
        ])
        #expect(entries == [
            .init(at: 2_000_000, bytes: 1_504, kind: .arrival), .init(at: 3_000_000, bytes: 1_504, kind: .opportunity),
            .init(at: 3_000_000, bytes: 1_504, kind: .departure(waited: 1_000_000)),
            .init(at: 4_000_000, bytes: 3_008, kind: .drop(packets: 2)),
        ])
    }

    @Test("what the writer writes comes back, to its last digit", arguments: [0, 3, 6])
    func roundTrip(decimals: Int) throws {
        let profile = LinkProfile(
            service: .trace(try DeliveryTrace(stamps: [3, 3, 7, 20])), queue: .dropTail(QueueLimit(packets: 3)))
        var link = Link(profile, seed: 1, direction: .up)
        link.isRecording = true
        var chance = SeededGenerator(seed: 5)
        var (outcomes, events, now) = ([LinkOutcome](), [LinkEvent](), Instant.zero)
        for id in 0..<500 as Range<UInt64> {
            link.offer(LinkPacket(id: id, bytes: 100 + Int(chance.next(below: 1_400))), at: now)
            now += .nanoseconds(Int64(chance.next(below: 7_000_000)))
        }
        while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
        link.takeEvents(&events)
        let log = LinkLog(decimals: decimals)
        var text = log.header(profile, direction: .up, seed: 1)
        log.append(events, to: &text)
        var reader = LinkLogReader()
        let entries = try text.split(separator: 10).compactMap { try reader.parse($0) }
        let unit: Int64 = decimals == 0 ? 1_000_000 : decimals == 3 ? 1_000 : 1
        let expected = events.compactMap { event -> LinkLogReader.Entry? in
            let at = event.at.nanoseconds / unit * unit
            return switch event.kind {
            case .arrival: .init(at: at, bytes: event.bytes, kind: .arrival)
            case .opportunity: .init(at: at, bytes: event.bytes, kind: .opportunity)
            case .departure(let waited):
                .init(at: at, bytes: event.bytes, kind: .departure(waited: at - (event.at.nanoseconds - waited.nanoseconds) / unit * unit))
            case .drop: .init(at: at, bytes: event.bytes, kind: .drop(packets: 1))
            default: nil
            }
        }
        #expect(entries == expected)
        #expect(entries.contains { $0.kind == .drop(packets: 1) })
    }

    @Test(
        "a line that is no event is named",
        arguments: ["x", "1 +", "1 + x", "1 ? 5", "-1 + 5", "1 - 5", "1 d 1", "1 + 5 6", "1..2 + 5", "99999999999999999999 + 1", "1 + 9999999999"])
    func badLines(_ line: String) {
        #expect(throws: LinkLogError(line: 2)) { try parse(["1 + 5", line]) }
    }
}
