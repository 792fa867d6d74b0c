import MastTimebase
import MastTransport
import Testing

/// Whose turn it is, what the application hears of, what is held, and how streams end.
@Suite struct StreamTableOrderTests {
    private typealias Table = StreamTableTests

    private func open(_ table: inout StreamTable, _ count: Int, deadline: Instant? = nil) throws -> [StreamID] {
        try (0..<count).map { _ in
            let id = table.open(deadline: deadline)
            return try #require(id)
        }
    }

    private func write(_ count: Int, fin: Bool = true, on id: StreamID, _ table: inout StreamTable) {
        let accepted = table.write(id, [UInt8](repeating: 3, count: count)[...], fin: fin)
        #expect(accepted == count)
    }

    private func numbers(_ frames: [Frame]) -> [UInt64] {
        frames.compactMap { if case .stream(let frame) = $0 { frame.id.rawValue } else { nil } }
    }

    // MARK: sending

    @Test func streamsTakeTurnsPacketByPacket() throws {
        var table = Table.table()
        for id in try open(&table, 3) { write(1_000, on: id, &table) }
        // 300 bytes a packet, of which a stream fills all: nine packets before one ends.
        let order = try (0..<9).flatMap { _ in numbers(try Table.fill(&table, limit: 300).frames) }
        #expect(order == [0, 2, 4, 0, 2, 4, 0, 2, 4])
        let rest = numbers(try Table.fill(&table).frames)
        #expect(rest == [0, 2, 4] && !table.hasSendable)
    }

    @Test func aStreamThatCannotSendHoldsNobodyUp() throws {
        var table = Table.table(maxStreamData: 100)
        let ids = try open(&table, 2)
        write(500, on: ids[0], &table)
        write(50, on: ids[1], &table)
        let first = numbers(try Table.fill(&table).frames)
        #expect(first == [0, 2] && !table.hasSendable)
    }

    @Test func aProbeGoesFirst() throws {
        var table = Table.table()
        let ids = try open(&table, 3)
        write(100, on: ids[2], &table)
        _ = try Table.fill(&table)
        for id in ids.prefix(2) { write(2_000, on: id, &table) }
        let isProbed = table.probe(ids[2])
        let frames = try Table.fill(&table, limit: 500)
        #expect(isProbed && numbers(frames.frames) == [4, 0] && frames.repairs)
        let unknown = table.probe(StreamID(rawValue: 8))
        #expect(!unknown)
        // One that waits for its turn already comes before the others, and is asked once.
        table.onLost(.stream(ids[2], 0..<100, fin: true))
        _ = table.probe(ids[2])
        let again = numbers(try Table.fill(&table, limit: 500).frames)
        let next = numbers(try Table.fill(&table, limit: 500).frames)
        #expect(again == [4, 2] && next == [0])
    }

    /// The frame at offset 0 says how much time is left when it is written, each time anew; when none is, it is not written.
    @Test func aDeadlineIsWhatIsLeftOfIt() throws {
        var table = Table.table()
        let id = try open(&table, 1, deadline: .zero + .milliseconds(500))[0]
        write(1_000, on: id, &table)
        func remaining(_ frames: [Frame]) -> [UInt64?] {
            frames.map { if case .stream(let frame) = $0 { frame.deadlineMicroseconds } else { nil } }
        }
        let first = try Table.fill(&table, limit: 600, at: .zero + .milliseconds(100))
        let second = try Table.fill(&table, at: .zero + .milliseconds(100))
        table.onLost(first.sent[0])
        let third = try Table.fill(&table, at: .zero + .milliseconds(350))
        table.onLost(first.sent[0])
        let late = try Table.fill(&table, at: .zero + .seconds(2))
        #expect(remaining(first.frames) == [400_000] && remaining(second.frames) == [nil])
        #expect(remaining(third.frames) == [150_000] && late.frames == [.resetStream(id, code: 4, finalSize: 1_000)])
    }

    // MARK: what the application hears

    @Test func aStreamIsAnnouncedWithItsFirstByteWhateverCameBefore() throws {
        var table = Table.table(initiator: false)
        let before = try table.receive(Table.data(0, 10, 5))
        let first = try table.receive(Table.data(0, 0, 10, deadline: 77))
        let same = try table.receive(Table.data(0, 0, 10, deadline: 78))
        #expect(before == .nothing && first == .opened(deadlineMicroseconds: 77, stopped: nil) && same == .nothing)
        let empty = try table.receive(Table.data(2, 0, 0))
        #expect(empty == .opened(deadlineMicroseconds: nil, stopped: nil))
    }

    @Test func onlyTheChangeFromNothingToSomethingIsReported() throws {
        var table = Table.table(initiator: false)
        let id = StreamID(rawValue: 0)
        _ = try table.receive(Table.data(0, 0, 0))
        let gap = try table.receive(Table.data(0, 20, 5))
        let some = try table.receive(Table.data(0, 0, 10))
        let more = try table.receive(Table.data(0, 10, 10))
        #expect(gap == .nothing && some == .readable && more == .nothing)
        var bytes: [UInt8] = []
        _ = table.take(id, into: &bytes)
        #expect(bytes.count == 25)
        let next = try table.receive(Table.data(0, 25, 1))
        let end = try table.receive(Table.data(0, 26, 0, fin: true))
        #expect(next == .readable && end == .readable)
    }

    /// Section 2.1 and 3.2: all below are open, as numbers.
    @Test func aHigherNumberOpensTheLowerAndEachOnce() throws {
        var table = Table.table(initiator: false)
        _ = try table.receive(Table.data(4, 0, 0, fin: true))
        #expect(table.count == 1)
        let low = try table.receive(Table.data(0, 0, 1))
        #expect(low == .opened(deadlineMicroseconds: nil, stopped: nil) && table.count == 2)
        end(StreamID(rawValue: 0), &table, length: 1)
        let over = try table.receive(Table.data(0, 0, 1))
        #expect(over == .nothing && table.count == 1)
        let middle = try table.receive(Table.data(2, 0, 1))
        #expect(middle == .opened(deadlineMicroseconds: nil, stopped: nil) && table.count == 2)
    }

    /// Both halves over: the peer's end is read, and ours acknowledged.
    private func end(_ id: StreamID, _ table: inout StreamTable, length: UInt64) {
        _ = try? table.receive(Table.data(id.rawValue, length, 0, fin: true))
        var bytes: [UInt8] = []
        _ = table.take(id, into: &bytes)
        table.release(id, bytes.count, overhead: 0)
        _ = table.write(id, [], fin: true)
        _ = try? Table.fill(&table)
        _ = table.onAcknowledged(stream: id, 0..<0, fin: true)
    }

    // MARK: resets and stops

    /// Sections 3.1, 3.5 and 19.5.
    @Test func aStopIsNewsUntilOurHalfIsOver() throws {
        var table = Table.table()
        let ids = try open(&table, 2)
        write(10, on: ids[0], &table)
        let told = try table.receiveStop(ids[0], code: 4)
        table.reset(ids[0], code: 4)
        let again = try table.receiveStop(ids[0], code: 4)
        write(10, on: ids[1], &table)
        _ = try Table.fill(&table)
        _ = table.onAcknowledged(stream: ids[1], 0..<10, fin: true)
        let late = try table.receiveStop(ids[1], code: 4)
        #expect(told && !again && !late)
    }

    @Test func aResetIsSentRepairedAndEndsOurHalf() throws {
        var table = Table.table()
        let id = try open(&table, 1)[0]
        write(2_000, fin: false, on: id, &table)
        _ = try Table.fill(&table, limit: 1_000)
        let sent = table.connectionCredit
        table.reset(id, code: 5)
        #expect(table.unacknowledged == 0)
        let first = try Table.fill(&table)
        let expected = Frame.resetStream(id, code: 5, finalSize: (1 << 20) - sent)
        #expect(first.frames == [expected])
        table.onLost(first.sent[0])
        let second = try Table.fill(&table).frames
        #expect(second == [expected])
        table.onResetAcknowledged(id)
        let heard = try table.receiveReset(id, code: 5, finalSize: 0)
        #expect(heard && table.count == 1)
        var bytes: [UInt8] = []
        let state = table.take(id, into: &bytes)
        #expect(state == .reset(code: 5) && table.count == 0)
    }

    @Test func whatIsResetBeforeAnybodyHeardOfItIsAnsweredAndForgotten() throws {
        var table = Table.table(initiator: false)
        let id = StreamID(rawValue: 0)
        _ = try table.receive(Table.data(0, 10, 5))
        let heard = try table.receiveReset(id, code: 6, finalSize: 20)
        #expect(!heard && table.incoming.held == 0 && table.held == StreamTable.streamOverhead)
        let frames = try Table.fill(&table).frames
        #expect(frames == [.resetStream(id, code: 6, finalSize: 0)])
        table.onResetAcknowledged(id)
        #expect(table.count == 0 && table.held == 0)
    }

    @Test func aStopGivesAllItsCreditBackAndIsRepeated() throws {
        var table = Table.table(initiator: false)
        let id = StreamID(rawValue: 0)
        _ = try table.receive(Table.data(0, 0, 100))
        _ = try table.receive(Table.data(0, 200, 100))
        table.stopSending(id, code: 3)
        #expect(table.incoming.held == 0 && table.held == StreamTable.streamOverhead)
        let first = try Table.fill(&table)
        #expect(first.frames == [.stopSending(id, code: 3)])
        table.onLost(first.sent[0])
        let second = try Table.fill(&table).frames
        #expect(second == [.stopSending(id, code: 3)])
        // What comes after all is charged and released in one.
        let silent = try table.receive(Table.data(0, 300, 600))
        #expect(silent == .nothing && table.incoming.held == 0 && table.incoming.received == 900)
        table.reset(id, code: 3)
        _ = try Table.fill(&table)
        table.onResetAcknowledged(id)
        #expect(table.count == 1)
        _ = try table.receive(Table.data(0, 900, 0, fin: true))
        #expect(table.count == 0)
    }

    // MARK: what is held

    @Test func heldIsBytesStreamsAndWhatGoesWithThem() throws {
        var table = Table.table(initiator: false)
        #expect(table.held == 0 && StreamTable.streamOverhead == 1_024)
        _ = try table.receive(Table.data(0, 0, 100))
        #expect(table.held == 1_124)
        _ = try table.receive(Table.data(0, 200, 1))
        #expect(table.held == 201 + 1_024 + 64)
        _ = try table.receive(Table.data(0, 202, 1))
        #expect(table.held == 203 + 1_024 + 128 && table.lastGrown == StreamID(rawValue: 0))
        _ = try table.receive(Table.data(2, 0, 50))
        #expect(table.lastGrown == StreamID(rawValue: 2))
        // A byte in a gap is no new byte, but one more piece.
        _ = try table.receive(Table.data(0, 150, 1))
        #expect(table.held == 253 + 2 * 1_024 + 3 * 64 && table.lastGrown == StreamID(rawValue: 0))
        _ = try table.receive(Table.data(0, 100, 103))
        #expect(table.held == 253 + 2 * 1_024)
        let id = StreamID(rawValue: 0)
        var bytes: [UInt8] = []
        _ = table.take(id, into: &bytes)
        table.complete(id, 100, overhead: 40)
        #expect(table.held == 253 + 2 * 1_024 + 40)
        table.release(id, 100, overhead: 30)
        #expect(table.held == 153 + 2 * 1_024 + 10)
        table.stopSending(id, code: 0)
        #expect(table.held == 50 + 2 * 1_024)
    }

    @Test func unacknowledgedIsWhatWasAcceptedAndNotYetCutOff() throws {
        var table = Table.table()
        let ids = try open(&table, 2)
        write(100, on: ids[0], &table)
        write(50, on: ids[1], &table)
        #expect(table.unacknowledged == 150)
        _ = try Table.fill(&table)
        let writable = table.onAcknowledged(stream: ids[0], 0..<100, fin: true)
        #expect(!writable && table.unacknowledged == 50)
        table.reset(ids[1], code: 0)
        #expect(table.unacknowledged == 0)
        table.reset(ids[1], code: 0)
        #expect(table.unacknowledged == 0)
    }

    @Test func stalledStreamsAreNamedInOrderOnceTheyHaveWaited() throws {
        var table = Table.table()
        let at = { (seconds: Int64) in Instant.zero + .seconds(seconds) }
        let ids = try open(&table, 3)
        for id in ids.reversed() { write(10, on: id, &table) }
        _ = try Table.fill(&table)
        let none = table.stalled(for: .seconds(5), at: at(1))
        _ = table.onAcknowledged(stream: ids[1], 0..<10, fin: true)
        let early = table.stalled(for: .seconds(5), at: at(5))
        let late = table.stalled(for: .seconds(5), at: at(6))
        #expect(none.isEmpty && early.isEmpty && late == [ids[0], ids[2]])
    }

    /// A message larger than every window is granted to its end and a little, whole or not at all.
    @Test func aLargeMessageIsGrantedItsLength() throws {
        var table = Table.table(initiator: false) { $0.assemblyWindow = 20_000 }
        let id = StreamID(rawValue: 0)
        _ = try table.receive(Table.data(0, 0, 1_000))
        var bytes: [UInt8] = []
        _ = table.take(id, into: &bytes)
        table.expect(id, more: 9_000)
        let frames = try Table.fill(&table).frames
        // 10,000 bytes of message, and 4,096 for what says that it was the last.
        let expected: [Frame] = [.maxData(14_096), .maxStreamData(id, 14_096)]
        #expect(frames == expected)
        // A second one has to wait for it: its part fits no more.
        _ = try table.receive(Table.data(2, 0, 1_000))
        _ = table.take(StreamID(rawValue: 2), into: &bytes)
        table.expect(StreamID(rawValue: 2), more: 9_000)
        let second = try Table.fill(&table).frames
        #expect(!second.contains { if case .maxStreamData(StreamID(rawValue: 2), _) = $0 { true } else { false } })
        _ = try table.receive(Table.data(0, 1_000, 9_000))
        _ = table.take(id, into: &bytes)
        table.release(id, 10_000, overhead: 0)
        let third = try Table.fill(&table).frames
        #expect(third.contains(.maxStreamData(StreamID(rawValue: 2), 14_096)))
    }

    /// Between a small call and two large messages, with credit for one of them.
    @Test func aLargeMessageWaitsForCreditThatCoversItAndASmallOnePasses() throws {
        var table = Table.table(maxData: 12_000)
        let ids = try open(&table, 3)
        write(10_000, on: ids[0], &table)
        write(10_000, on: ids[1], &table)
        write(500, on: ids[2], &table)
        var order: [UInt64] = []
        var bytes: [UInt64: Int] = [:]
        func send() throws {
            for _ in 0..<12 {
                for case .stream(let frame) in try Table.fill(&table).frames {
                    order.append(frame.id.rawValue)
                    bytes[frame.id.rawValue, default: 0] += frame.data.count
                }
            }
        }
        try send()
        // The small one first; the second begins once the first is through, with what credit is left.
        #expect(bytes == [0: 10_000, 2: 1_500, 4: 500])
        #expect(order.first == 4)
        let (lastOfFirst, firstOfSecond) = (try #require(order.lastIndex(of: 0)), try #require(order.firstIndex(of: 2)))
        #expect(lastOfFirst < firstOfSecond)
        table.receiveMaxData(12_000 + 8_500)
        try send()
        #expect(bytes == [0: 10_000, 2: 10_000, 4: 500])
    }

    @Test func aMessageThatIsGivenUpMakesWayForTheNext() throws {
        var table = Table.table(maxData: 12_000)
        let ids = try open(&table, 2)
        write(10_000, fin: false, on: ids[0], &table)
        write(10_000, on: ids[1], &table)
        let before = numbers(try Table.fill(&table).frames)
        table.reset(ids[0], code: 0)
        _ = try Table.fill(&table)
        let after = numbers(try Table.fill(&table).frames)
        #expect(before == [0] && after == [2])
    }
}
