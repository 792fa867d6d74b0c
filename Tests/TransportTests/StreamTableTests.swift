import MastTimebase
import MastTransport
import Testing

/// One end's streams, with the frames of the other by hand (RFC 9000 sections 2 to 4).
@Suite struct StreamTableTests {
    /// Windows that a test can count out.
    static func configuration(_ change: (inout TransportConfiguration) -> Void = { _ in }) -> TransportConfiguration {
        var configuration = TransportConfiguration()
        (configuration.streamWindow, configuration.connectionWindow, configuration.maximumStreams) = (1_000, 3_000, 4)
        (configuration.shelfWindow, configuration.assemblyWindow) = (0, 0)
        configuration.stopsAtOwnFaults = true
        change(&configuration)
        return configuration
    }

    /// - Parameters: what the peer allows.
    static func table(
        initiator: Bool = true, maxData: UInt64 = 1 << 20, maxStreamData: UInt64 = 1 << 20, maxStreams: UInt64 = 100,
        _ change: (inout TransportConfiguration) -> Void = { _ in }
    ) -> StreamTable {
        var table = StreamTable(isInitiator: initiator, configuration: configuration(change))
        var parameters = TransportParameters()
        (parameters.maxData, parameters.maxStreamData, parameters.maxStreams) = (maxData, maxStreamData, maxStreams)
        table.apply(parameters)
        return table
    }

    /// What the table sends in one packet with `limit` bytes for frames.
    static func fill(_ table: inout StreamTable, limit: Int = 1_171, at now: Instant = .zero) throws -> (
        frames: [Frame], sent: SentFrames, repairs: Bool
    ) {
        var writer = ByteWriter()
        var sent = SentFrames()
        let repairs = table.fill(&writer, limit: limit, sent: &sent, at: now)
        #expect(writer.count <= limit)
        var reader = FrameReader(writer.bytes)
        var frames: [Frame] = []
        while let frame = try reader.next() { frames.append(frame) }
        #expect(frames.count == sent.count)
        return (frames, sent, repairs)
    }

    static func data(_ id: UInt64, _ offset: UInt64, _ count: Int, fin: Bool = false, deadline: UInt64? = nil) -> StreamFrame {
        StreamFrame(
            id: StreamID(rawValue: id), offset: offset, data: [UInt8](repeating: 7, count: count)[...], fin: fin,
            deadlineMicroseconds: deadline)
    }

    static func violation(_ body: () throws(ProtocolViolation) -> Void) -> ProtocolViolation? {
        do throws(ProtocolViolation) {
            try body()
            return nil
        } catch { return error }
    }

    private func open(_ table: inout StreamTable, _ count: Int) throws -> [StreamID] {
        try (0..<count).map { _ in
            let id = table.open(deadline: nil)
            return try #require(id)
        }
    }

    /// As "id: offset, count".
    private func streams(_ frames: [Frame]) -> [String] {
        frames.compactMap {
            if case .stream(let frame) = $0 { "\(frame.id): \(frame.offset), \(frame.data.count)\(frame.fin ? ", end" : "")" } else { nil }
        }
    }

    // MARK: numbers

    /// Section 2.1.
    @Test func numbersCountUpAndTellWhoOpened() throws {
        var ours = Self.table(initiator: true)
        var theirs = Self.table(initiator: false)
        let first = try open(&ours, 3).map(\.rawValue)
        let second = try open(&theirs, 3).map(\.rawValue)
        #expect(first == [0, 2, 4] && second == [1, 3, 5] && ours.count == 3)
    }

    /// Section 4.6.
    @Test func asManyStreamsAsThePeerAllowsAndWordWhenItAllowsMore() throws {
        var table = Self.table(maxStreams: 2)
        _ = try open(&table, 2)
        let idle = table.receiveMaxStreams(2)
        let none = table.open(deadline: nil)
        let lower = table.receiveMaxStreams(1)
        let same = table.receiveMaxStreams(2)
        let higher = table.receiveMaxStreams(3)
        let third = table.open(deadline: nil)
        #expect(!idle && none == nil && !lower && !same && higher && third == StreamID(rawValue: 4))
        let unasked = table.receiveMaxStreams(9)
        #expect(!unasked, "nobody waits")
    }

    enum Speech: String, Sendable, CaseIterable { case stream, reset, stop, credit }

    private func hear(_ speech: Speech, _ id: UInt64, _ table: inout StreamTable) -> TransportErrorCode? {
        let id = StreamID(rawValue: id)
        return Self.violation { () throws(ProtocolViolation) in
            switch speech {
            case .stream: _ = try table.receive(Self.data(id.rawValue, 0, 1))
            case .reset: _ = try table.receiveReset(id, code: 0, finalSize: 0)
            case .stop: _ = try table.receiveStop(id, code: 0)
            case .credit: try table.receiveMaxStreamData(id, 5)
            }
        }?.code
    }

    /// Sections 4.6, 19.4, 19.5, 19.8, 19.10: of four streams that the peer may open, its fourth is the last.
    @Test(arguments: Speech.allCases) func oneStreamTooManyAndOneThatWeNeverOpened(speech: Speech) throws {
        for (isInitiator, last, beyond) in [(true, 7, 9), (false, 6, 8)] as [(Bool, UInt64, UInt64)] {
            var table = Self.table(initiator: isInitiator)
            let allowed = hear(speech, last, &table)
            let refused = hear(speech, beyond, &table)
            let huge = hear(speech, VarInt.max - (isInitiator ? 0 : 1), &table)
            #expect(allowed == nil && refused == .streamLimit && huge == .streamLimit)
        }
        for isInitiator in [true, false] {
            var table = Self.table(initiator: isInitiator)
            let own = try open(&table, 1)[0].rawValue
            let (opened, unopened) = (hear(speech, own, &table), hear(speech, own + 2, &table))
            #expect(opened == nil && unopened == .streamState)
        }
    }

    @Test func everyQuarterOfTheLimitThatIsOverAllowsMoreStreams() throws {
        var table = Self.table { $0.maximumStreams = 8 }
        for index in 0..<2 as Range<UInt64> {
            let id = StreamID(index: index, openedByInitiator: false)
            _ = try table.receive(Self.data(id.rawValue, 0, 0, fin: true))
            var bytes: [UInt8] = []
            _ = table.take(id, into: &bytes)
            #expect(table.count == 1, "we have said nothing yet")
            table.reset(id, code: 0)
            _ = try Self.fill(&table)
            table.onResetAcknowledged(id)
            #expect(table.count == 0 && table.maxStreams == (index == 0 ? 8 : 10))
        }
        let frames = try Self.fill(&table).frames
        let none = try Self.fill(&table).frames
        #expect(frames == [.maxStreams(10)] && none.isEmpty)
        // What is over is over (section 3.2).
        let late = try table.receive(Self.data(1, 0, 0, fin: true))
        #expect(late == .nothing && table.count == 0)
    }

    // MARK: flow control

    /// Section 4.1: one byte more than the connection's limit, whichever stream brings it.
    @Test func theConnectionsLimitCountsAllStreams() throws {
        var table = Self.table(initiator: false)
        for id in [0, 2, 4] as [UInt64] { _ = try table.receive(Self.data(id, 0, 1_000)) }
        _ = try table.receive(Self.data(6, 0, 0))
        _ = try table.receive(Self.data(2, 0, 1_000, fin: true))
        #expect(table.incoming.held == 3_000)
        let beyond = Self.violation { () throws(ProtocolViolation) in _ = try table.receive(Self.data(6, 0, 1)) }
        #expect(beyond == ProtocolViolation(code: .flowControl, reason: "data beyond the connection's limit"))
    }

    @Test func aResetChargesTheConnectionForWhatNeverCame() throws {
        var table = Self.table(initiator: false) { $0.connectionWindow = 1_500 }
        _ = try table.receive(Self.data(0, 0, 1_000))
        _ = try table.receive(Self.data(2, 0, 1))
        let heard = try table.receiveReset(StreamID(rawValue: 2), code: 3, finalSize: 500)
        #expect(heard && table.incoming.received == 1_500)
        let beyond = Self.violation { () throws(ProtocolViolation) in
            _ = try table.receiveReset(StreamID(rawValue: 4), code: 3, finalSize: 1)
        }
        #expect(beyond == ProtocolViolation(code: .flowControl, reason: "reset beyond the connection's limit"))
    }

    @Test func noMoreIsSentThanTheConnectionsCreditOverAllStreams() throws {
        var table = Self.table(maxData: 10)
        let ids = try open(&table, 3)
        for id in ids { _ = table.write(id, [1, 2, 3, 4], fin: true) }
        let first = streams(try Self.fill(&table).frames)
        #expect(first == ["0: 0, 4, end", "2: 0, 4, end", "4: 0, 2"] && table.connectionCredit == 0 && !table.hasSendable)
        table.receiveMaxData(9)
        #expect(table.connectionCredit == 0)
        table.receiveMaxData(11)
        #expect(table.connectionCredit == 1 && table.hasSendable)
        let second = streams(try Self.fill(&table).frames)
        table.receiveMaxData(50)
        let third = streams(try Self.fill(&table).frames)
        #expect(second == ["4: 2, 1"] && third == ["4: 3, 1, end"])
    }

    @Test func aStreamsOwnLimitHoldsItAndNoOther() throws {
        var table = Self.table(maxStreamData: 3)
        let ids = try open(&table, 2)
        for id in ids { _ = table.write(id, [1, 2, 3, 4], fin: true) }
        _ = try Self.fill(&table)
        #expect(table.hasSendable == false)
        try table.receiveMaxStreamData(ids[1], 2)
        #expect(table.hasSendable == false, "a limit never falls")
        try table.receiveMaxStreamData(ids[1], 4)
        let frames = streams(try Self.fill(&table).frames)
        #expect(frames == ["2: 3, 1, end"] && !table.hasSendable)
    }

    @Test func whatIsSentAgainCostsNoCredit() throws {
        var table = Self.table(maxData: 4)
        let id = try open(&table, 1)[0]
        _ = table.write(id, [1, 2, 3, 4], fin: true)
        let first = try Self.fill(&table)
        #expect(!first.repairs)
        table.onLost(first.sent[0])
        let second = try Self.fill(&table)
        #expect(second.repairs && second.frames == first.frames && table.connectionCredit == 0)
    }

    // MARK: credit that is lost (section 13.3)

    @Test func lostCreditOfTheConnectionIsStatedAgainAsItIsNow() throws {
        var table = Self.table(initiator: false)
        for id in [0, 2, 4] as [UInt64] { _ = try table.receive(Self.data(id, 0, 1_000, fin: true)) }
        let before = try Self.fill(&table).frames
        for id in [0, 2] as [UInt64] { consume(StreamID(rawValue: id), &table) }
        let first = try Self.fill(&table)
        #expect(before.isEmpty && first.frames == [.maxData(5_000)])
        table.onLost(first.sent[0])
        #expect(table.hasSendable == true)
        let second = try Self.fill(&table)
        #expect(second.frames == [.maxData(5_000)])
        consume(StreamID(rawValue: 4), &table)
        table.onLost(second.sent[0])
        let third = try Self.fill(&table).frames
        let none = try Self.fill(&table).frames
        #expect(third == [.maxData(5_000)] && none.isEmpty, "1,000 released since are less than half a window")
    }

    private func consume(_ id: StreamID, _ table: inout StreamTable) {
        var bytes: [UInt8] = []
        _ = table.take(id, into: &bytes)
        table.release(id, bytes.count, overhead: 0)
    }

    @Test func lostCreditOfAStreamIsStatedAgainUntilItsEndIsKnown() throws {
        var table = Self.table(initiator: false) { $0.connectionWindow = 1 << 20 }
        let id = StreamID(rawValue: 0)
        _ = try table.receive(Self.data(0, 0, 600))
        consume(id, &table)
        let first = try Self.fill(&table)
        #expect(first.frames == [.maxStreamData(id, 1_600)])
        table.onLost(first.sent[0])
        let second = try Self.fill(&table)
        #expect(second.frames == [.maxStreamData(id, 1_600)])
        _ = try table.receive(Self.data(0, 600, 600))
        consume(id, &table)
        table.onLost(second.sent[0])
        let third = try Self.fill(&table)
        #expect(third.frames == [.maxStreamData(id, 2_200)])
        _ = try table.receive(Self.data(0, 1_200, 1, fin: true))
        table.onLost(third.sent[0])
        let none = try Self.fill(&table).frames
        #expect(none.isEmpty)
    }

    @Test func lostCreditForStreamsIsStatedAgain() throws {
        var table = Self.table(initiator: false)
        _ = try table.receive(Self.data(0, 0, 0, fin: true))
        consume(StreamID(rawValue: 0), &table)
        _ = table.write(StreamID(rawValue: 0), [], fin: true)
        _ = try Self.fill(&table)
        _ = table.onAcknowledged(stream: StreamID(rawValue: 0), 0..<0, fin: true)
        let first = try Self.fill(&table)
        #expect(first.frames == [.maxStreams(5)])
        table.onLost(first.sent[0])
        let second = try Self.fill(&table).frames
        let none = try Self.fill(&table).frames
        #expect(second == [.maxStreams(5)] && none.isEmpty)
    }
}
