import MastTransport
import Testing

/// Our receiving half of a stream, case by case (RFC 9000 sections 2.2, 3.2, 3.5, 4.1, 4.5).
@Suite struct ReceiveStreamTests {
    /// Frames for a stream with a window of 100, and how each ends.
    enum Step: Sendable {
        /// From an offset, so many bytes.
        case data(UInt64, Int)
        case end(UInt64, Int)
        case reset(UInt64)
        case stop
    }

    private func receive(_ step: Step, _ stream: inout ReceiveStream) throws(ProtocolViolation) -> UInt64 {
        switch step {
        case .data(let offset, let count): return try receive(offset, count, fin: false, &stream)
        case .end(let offset, let count): return try receive(offset, count, fin: true, &stream)
        case .reset(let size): return try stream.receiveReset(code: 9, finalSize: size)
        case .stop:
            stream.stop(code: 5)
            return 0
        }
    }

    private func receive(_ offset: UInt64, _ count: Int, fin: Bool, _ stream: inout ReceiveStream) throws(ProtocolViolation) -> UInt64 {
        let data = (0..<count).map { UInt8(truncatingIfNeeded: offset &+ UInt64($0)) }
        return try stream.receive(
            StreamFrame(id: StreamID(rawValue: 0), offset: offset, data: data[...], fin: fin, deadlineMicroseconds: nil))
    }

    struct Row: Sendable {
        var what: String
        var steps: [Step]
        /// Bytes that the last frame charges, or its violation.
        var last: Result<UInt64, Code>
        struct Code: Error, Equatable { var code: TransportErrorCode }
        init(_ what: String, _ steps: [Step], charges bytes: UInt64) { (self.what, self.steps, last) = (what, steps, .success(bytes)) }
        init(_ what: String, _ steps: [Step], ends code: TransportErrorCode) {
            (self.what, self.steps, last) = (what, steps, .failure(Code(code: code)))
        }
    }

    static let rows: [Row] = [
        // Section 4.1: the largest offset counts, whatever lies below it.
        Row("the first bytes", [.data(0, 10)], charges: 10),
        Row("a gap is charged with what is behind it", [.data(50, 10)], charges: 60),
        Row("what fills the gap is free", [.data(50, 10), .data(0, 50)], charges: 0),
        Row("the same again is free", [.data(0, 10), .data(0, 10)], charges: 0),
        Row("half of it new", [.data(0, 10), .data(5, 10)], charges: 5),
        Row("up to the limit", [.data(0, 100)], charges: 100),
        Row("one byte beyond the limit", [.data(0, 101)], ends: .flowControl),
        Row("one byte beyond the limit, alone", [.data(100, 1)], ends: .flowControl),
        Row("no byte at the limit", [.data(100, 0)], charges: 100),
        Row("no byte beyond the limit", [.data(101, 0)], ends: .flowControl),
        Row("the largest offset there is", [.data(VarInt.max - 1, 1)], ends: .flowControl),
        // Section 4.5.
        Row("the end at the limit", [.end(0, 100)], charges: 100),
        Row("an end without bytes", [.data(0, 10), .end(10, 0)], charges: 0),
        Row("the same end again", [.end(0, 10), .end(5, 5)], charges: 0),
        Row("within the end", [.end(0, 10), .data(2, 8)], charges: 0),
        Row("one byte past the end", [.end(0, 10), .data(10, 1)], ends: .finalSize),
        Row("a later end", [.end(0, 10), .end(0, 11)], ends: .finalSize),
        Row("an earlier end", [.end(0, 10), .end(0, 9)], ends: .finalSize),
        Row("an end before what came", [.data(0, 10), .end(0, 9)], ends: .finalSize),
        Row("an end at what came", [.data(0, 10), .end(0, 10)], charges: 0),
        Row("an end behind a gap", [.end(20, 5)], charges: 25),
        Row("a reset at what came", [.data(0, 10), .reset(10)], charges: 0),
        Row("a reset charges what never comes", [.data(0, 10), .reset(60)], charges: 50),
        Row("a reset before what came", [.data(0, 10), .reset(9)], ends: .finalSize),
        Row("a reset at the limit", [.reset(100)], charges: 100),
        Row("a reset beyond the limit", [.reset(101)], ends: .flowControl),
        Row("a reset with the largest size there is", [.reset(VarInt.max)], ends: .flowControl),
        Row("a reset at the end", [.end(0, 10), .reset(10)], charges: 0),
        Row("a reset past the end", [.end(0, 10), .reset(11)], ends: .finalSize),
        Row("a reset before the end", [.end(5, 5), .reset(9)], ends: .finalSize),
        Row("another reset, the same size", [.reset(10), .reset(10)], charges: 0),
        Row("another reset, another size", [.reset(10), .reset(11)], ends: .finalSize),
        Row("data within a reset's size", [.reset(10), .data(0, 10)], charges: 0),
        Row("data past a reset's size", [.reset(10), .data(10, 1)], ends: .finalSize),
        // Section 3.5: who asked to stop goes on counting.
        Row("data after a stop", [.stop, .data(0, 10)], charges: 10),
        Row("data beyond the limit after a stop", [.stop, .data(0, 101)], ends: .flowControl),
        Row("another end after a stop", [.stop, .end(0, 10), .end(0, 11)], ends: .finalSize),
        Row("a reset after a stop", [.data(0, 4), .stop, .reset(10)], charges: 6),
    ]

    @Test(arguments: rows.indices) func aFrameIsChargedOrRefused(index: Int) throws {
        let row = Self.rows[index]
        var stream = ReceiveStream(window: 100)
        for step in row.steps.dropLast() { _ = try receive(step, &stream) }
        let last = try #require(row.steps.last)
        var result: Result<UInt64, Row.Code>
        do throws(ProtocolViolation) { result = .success(try receive(last, &stream)) } catch {
            result = .failure(Row.Code(code: error.code))
        }
        #expect(result == row.last, "\(row.what)")
    }

    private func take(_ stream: inout ReceiveStream) -> (bytes: [UInt8], state: StreamReadState) {
        var bytes: [UInt8] = []
        let state = stream.take(into: &bytes)
        return (bytes, state)
    }

    @Test func bytesAreHandedOutInOrderAndOnce() throws {
        var stream = ReceiveStream(window: 100)
        _ = try receive(3, 3, fin: true, &stream)
        #expect(!stream.isReadable)
        let none = take(&stream)
        _ = try receive(0, 3, fin: false, &stream)
        #expect(stream.isReadable)
        let all = take(&stream)
        #expect(none == ([], .open) && all == ([0, 1, 2, 3, 4, 5], .finished))
        #expect(stream.isDone && !stream.isReadable && stream.taken == 6)
        var more: [UInt8] = [7]
        _ = stream.take(into: &more)
        #expect(more == [7])
    }

    @Test func readingGoesBehindWhatIsThere() throws {
        var stream = ReceiveStream(window: 100)
        _ = try receive(0, 2, fin: false, &stream)
        var bytes: [UInt8] = [9]
        let state = stream.take(into: &bytes)
        #expect(bytes == [9, 0, 1] && state == .open)
    }

    @Test func anEndAloneIsReadable() throws {
        var stream = ReceiveStream(window: 100)
        _ = try receive(0, 2, fin: false, &stream)
        _ = take(&stream)
        #expect(!stream.isReadable && !stream.isDone)
        _ = try receive(2, 0, fin: true, &stream)
        #expect(stream.isReadable && !stream.isDone && stream.finalSize == 2)
        let end = take(&stream)
        #expect(end == ([], .finished) && stream.isDone)
    }

    /// Section 3.2: a reset may discard what was not read; what is whole it does not undo.
    @Test func aResetIsReadInPlaceOfTheBytesUnlessAllOfThemCame() throws {
        var stream = ReceiveStream(window: 100)
        _ = try receive(0, 5, fin: false, &stream)
        _ = try receive(7, 2, fin: false, &stream)
        _ = try stream.receiveReset(code: 4, finalSize: 20)
        #expect(stream.isReadable && !stream.isDone && stream.resetCode == 4 && stream.piecesOverhead == 0)
        let reset = take(&stream)
        #expect(reset == ([], .reset(code: 4)) && stream.isDone && !stream.isReadable)
        var whole = ReceiveStream(window: 100)
        _ = try receive(0, 5, fin: true, &whole)
        _ = try whole.receiveReset(code: 4, finalSize: 5)
        let all = take(&whole)
        #expect(all.bytes.count == 5 && all.state == .finished && whole.resetCode == nil)
        var gap = ReceiveStream(window: 100)
        _ = try receive(1, 4, fin: true, &gap)
        _ = try gap.receiveReset(code: 4, finalSize: 5)
        let lost = take(&gap)
        #expect(lost == ([], .reset(code: 4)))
        // The first reset's code stands.
        _ = try stream.receiveReset(code: 5, finalSize: 20)
        #expect(stream.resetCode == 4)
    }

    /// Section 3.5: the other side's end or reset is still awaited, and it is asked again if the frame is lost.
    @Test func aStopIsSentOnceRepeatedIfLostAndEndsWithTheOtherSide() throws {
        var stream = ReceiveStream(window: 100)
        _ = try receive(0, 3, fin: false, &stream)
        _ = try receive(5, 3, fin: false, &stream)
        stream.stop(code: 8)
        stream.stop(code: 9)
        let (first, second) = (stream.takeStop(), stream.takeStop())
        #expect(first == 8 && second == nil && stream.isStopped && !stream.isDone && stream.piecesOverhead == 0 && !stream.isReadable)
        stream.onStopLost()
        let again = stream.takeStop()
        #expect(again == 8)
        _ = try receive(20, 5, fin: false, &stream)
        #expect(!stream.isDone && stream.piecesOverhead == 0)
        _ = try receive(25, 0, fin: true, &stream)
        #expect(stream.isDone)
        stream.onStopLost()
        let done = stream.takeStop()
        #expect(done == nil)
        var reset = ReceiveStream(window: 100)
        reset.stop(code: 1)
        _ = try reset.receiveReset(code: 2, finalSize: 0)
        #expect(reset.isDone && reset.resetCode == 2)
    }

    @Test func nobodyIsAskedToStopWhatIsOver() throws {
        var whole = ReceiveStream(window: 100)
        _ = try receive(0, 3, fin: true, &whole)
        whole.stop(code: 1)
        var reset = ReceiveStream(window: 100)
        _ = try reset.receiveReset(code: 2, finalSize: 3)
        reset.stop(code: 1)
        let stops = [whole.takeStop(), reset.takeStop()]
        #expect(stops == [nil, nil] && whole.isDone && reset.isDone && !whole.isStopped)
        let bytes = take(&whole).bytes
        #expect(bytes.isEmpty)
        // One byte is missing: there is somebody to ask.
        var open = ReceiveStream(window: 100)
        _ = try receive(1, 3, fin: true, &open)
        open.stop(code: 1)
        let asked = open.takeStop()
        #expect(asked == 1)
        var unheard = ReceiveStream(window: 100)
        unheard.abandon()
        #expect(unheard.isDone)
    }

    /// Section 4.2: credit comes in steps of half a window.
    @Test func creditReturnsWithEveryHalfWindowThatIsReleased() throws {
        var stream = ReceiveStream(window: 100)
        _ = try receive(0, 100, fin: false, &stream)
        _ = take(&stream)
        #expect(stream.limit == 100)
        let first = stream.release(49, overhead: 0)
        #expect(first == (49, 0) && stream.limit == 100 && !stream.limitPending)
        _ = stream.release(1, overhead: 0)
        #expect(stream.limit == 150 && stream.limitPending)
        stream.limitPending = false
        let rest = stream.release(1_000, overhead: 0)
        #expect(rest == (50, 0) && stream.limit == 200 && stream.limitPending && stream.released == 100)
        let nothing = stream.release(1, overhead: 0)
        #expect(nothing == (0, 0))
    }

    @Test func whatWasNotTakenCannotBeReleased() throws {
        var stream = ReceiveStream(window: 100)
        _ = try receive(0, 80, fin: false, &stream)
        let early = stream.release(80, overhead: 0)
        _ = take(&stream)
        let late = stream.release(80, overhead: 0)
        #expect(early == (0, 0) && late == (80, 0))
    }

    @Test func noCreditForWhatHasAnEndOrIsStopped() throws {
        var ended = ReceiveStream(window: 100)
        _ = try receive(0, 80, fin: true, &ended)
        _ = take(&ended)
        _ = ended.release(80, overhead: 0)
        ended.extendLimit(to: 500)
        #expect(ended.limit == 100 && !ended.limitPending)
        var stopped = ReceiveStream(window: 100)
        _ = try receive(0, 80, fin: false, &stopped)
        _ = take(&stopped)
        stopped.stop(code: 0)
        _ = stopped.release(80, overhead: 0)
        stopped.extendLimit(to: 500)
        #expect(stopped.limit == 100 && !stopped.limitPending)
    }

    @Test func aMessageLargerThanTheWindowMayComeToItsEnd() throws {
        var stream = ReceiveStream(window: 100)
        _ = try receive(0, 60, fin: false, &stream)
        stream.expected = 250
        #expect(stream.missing == 190)
        stream.extendLimit(to: 250)
        #expect(stream.limit == 250 && stream.limitPending)
        stream.limitPending = false
        stream.extendLimit(to: 250)
        stream.extendLimit(to: 100)
        #expect(stream.limit == 250 && !stream.limitPending)
        _ = try receive(60, 190, fin: false, &stream)
        #expect(stream.missing == 0)
        stream.expected = 300
        #expect(stream.missing == 50)
        _ = try stream.receiveReset(code: 0, finalSize: 250)
        #expect(stream.missing == 0)
    }

    @Test func wholeMessagesAreCountedAmongWhatWasTaken() throws {
        var stream = ReceiveStream(window: 100)
        _ = try receive(0, 60, fin: false, &stream)
        let early = stream.complete(60, overhead: 0)
        _ = take(&stream)
        let (first, second) = (stream.complete(40, overhead: 7), stream.complete(40, overhead: 5))
        #expect(early == 0 && first == 40 && second == 20 && stream.whole == 60 && stream.overhead == 12)
        let part = stream.release(10, overhead: 4)
        #expect(part == (10, 10) && stream.whole == 50 && stream.overhead == 8)
        let all = stream.releaseAll()
        #expect(all == (50, 50) && stream.whole == 0 && stream.overhead == 0 && stream.released == 60)
        let nothing = stream.releaseAll()
        #expect(nothing == (0, 0))
    }

    @Test func whatIsReleasedIsWholeFirstAndOverheadNeverNegative() throws {
        var stream = ReceiveStream(window: 100)
        _ = try receive(0, 60, fin: false, &stream)
        _ = take(&stream)
        _ = stream.complete(20, overhead: 3)
        let done = stream.release(30, overhead: 9)
        #expect(done == (30, 20) && stream.overhead == 0 && stream.whole == 0)
    }

    @Test func aReleaseOfEverythingCountsWhatNeverCame() throws {
        var stream = ReceiveStream(window: 100)
        _ = try receive(0, 10, fin: false, &stream)
        _ = try receive(50, 10, fin: false, &stream)
        _ = take(&stream)
        _ = stream.release(4, overhead: 0)
        let rest = stream.releaseAll()
        #expect(rest == (56, 0))
    }

    // MARK: pieces

    /// Every other byte, as a hostile sender would have it: 65 bytes are held for each, and no packet with them.
    @Test func everyOtherByteIsChargedForItsPlace() throws {
        var stream = ReceiveStream(window: 1 << 20)
        for index in 0..<UInt64(ReceiveStream.maximumPieces) { _ = try receive(1 + 2 * index, 1, fin: false, &stream) }
        #expect(ReceiveStream.maximumPieces == 8_192 && stream.piecesOverhead == 8_192 * 64)
        #expect(throws: ProtocolViolation(code: .protocolViolation, reason: "too many stream fragments")) {
            try receive(1 + 2 * 8_192, 1, fin: false, &stream)
        }
    }

    @Test func whatFollowsWithoutAGapIsOnePiece() throws {
        var stream = ReceiveStream(window: 1 << 20)
        for index in 1..<UInt64(5_000) { _ = try receive(index * 10, 10, fin: false, &stream) }
        #expect(stream.piecesOverhead == 64)
        _ = try receive(0, 10, fin: false, &stream)
        #expect(stream.piecesOverhead == 0)
        let bytes = take(&stream).bytes
        #expect(bytes == (0..<50_000).map { UInt8(truncatingIfNeeded: $0) })
    }

    @Test func theSameBytesInEverOtherCutsAreHeldOnce() throws {
        var stream = ReceiveStream(window: 1 << 20)
        for start in (100..<UInt64(1_000)) { _ = try receive(start, 500, fin: false, &stream) }
        for start in (1..<UInt64(1_000)).reversed() { _ = try receive(start, 500, fin: false, &stream) }
        // One piece for the first run, one byte each for what lies before it.
        #expect(stream.piecesOverhead == 64 * 100)
        #expect(stream.highest == 1_499)
    }
}
