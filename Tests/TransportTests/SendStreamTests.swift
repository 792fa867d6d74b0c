import MastTimebase
import MastTransport
import Testing

/// Our sending half of a stream, case by case (RFC 9000 sections 2.2, 3.1, 3.3, 4.5).
@Suite struct SendStreamTests {
    private func stream(_ bytes: [UInt8], fin: Bool = false, limit: UInt64 = 1_000) -> SendStream {
        var stream = SendStream(limit: limit, deadline: nil)
        let accepted = stream.write(bytes[...], fin: fin)
        #expect(accepted == bytes.count)
        return stream
    }

    /// A piece as text: offset, bytes, whether it ends, how much is new.
    private func next(_ stream: inout SendStream, room: Int = 100, credit: UInt64 = 1_000) -> String? {
        stream.nextChunk(room: room, credit: credit).map {
            "\($0.range.lowerBound) \(Self.bytes(of: $0, in: stream))\($0.fin ? " end" : "")\($0.isRepair ? " again" : "") new \($0.fresh)"
        }
    }

    static func bytes(of chunk: SendStream.Chunk, in stream: SendStream) -> [UInt8] {
        var writer = ByteWriter()
        stream.copy(chunk, into: &writer)
        return writer.bytes
    }

    @Test func bytesLeaveInOrderAndOnceInPiecesThatFit() {
        var stream = stream([1, 2, 3, 4, 5], fin: true)
        #expect(stream.hasSendable(credit: 1) && !stream.hasSendable(credit: 0))
        let pieces = (0..<4).map { _ in next(&stream, room: 2) }
        #expect(pieces == ["0 [1, 2] new 2", "2 [3, 4] new 2", "4 [5] end new 1", nil])
        #expect(stream.sentOffset == 5 && stream.buffered == 5 && !stream.hasSendable(credit: 1) && !stream.isDone)
    }

    @Test func theEndGoesAloneWhereItIsSaidLater() {
        var stream = stream([1, 2])
        let first = next(&stream)
        let accepted = stream.write([], fin: true)
        let (second, third) = (next(&stream), next(&stream))
        #expect(accepted == 0 && first == "0 [1, 2] new 2" && second == "2 [] end new 0" && third == nil)
    }

    @Test func anEmptyStreamIsItsEnd() {
        var stream = SendStream(limit: 0, deadline: nil)
        #expect(!stream.hasSendable(credit: 0))
        _ = stream.write([], fin: true)
        #expect(stream.hasSendable(credit: 0))
        let piece = next(&stream, credit: 0)
        #expect(piece == "0 [] end new 0" && !stream.isDone)
        stream.onAcknowledged(0..<0, fin: true)
        #expect(stream.isDone)
    }

    /// Section 4.1: no byte beyond the stream's limit or the connection's credit is sent.
    @Test(
        arguments: [
            (limit: 3, credit: 100, room: 100, sends: 3), (limit: 100, credit: 4, room: 100, sends: 4),
            (limit: 100, credit: 100, room: 2, sends: 2),
            (limit: 0, credit: 100, room: 100, sends: nil), (limit: 100, credit: 0, room: 100, sends: nil),
            (limit: 5, credit: 5, room: 5, sends: 5), (limit: 100, credit: 100, room: 100, sends: 5),
        ] as [(limit: UInt64, credit: UInt64, room: Int, sends: UInt64?)])
    func theTightestOfThreeBoundsHolds(limit: UInt64, credit: UInt64, room: Int, sends: UInt64?) {
        var stream = stream([1, 2, 3, 4, 5], limit: limit)
        #expect(stream.hasSendable(credit: credit) == (sends != nil))
        let piece = stream.nextChunk(room: room, credit: credit)
        #expect(piece?.fresh == sends)
        #expect(stream.sentOffset == sends ?? 0)
    }

    @Test func aHigherLimitLetsMoreGo() {
        var stream = stream([1, 2, 3], fin: true, limit: 1)
        _ = next(&stream)
        #expect(!stream.hasSendable(credit: 9))
        stream.limit = 2
        let (second, none) = (next(&stream), next(&stream))
        #expect(second == "1 [2] new 1" && none == nil)
        stream.limit = 9
        let third = next(&stream)
        #expect(third == "2 [3] end new 1")
    }

    /// Section 3.3 and 13.3: what is lost goes again, before what is new, and charges no credit.
    @Test func whatIsLostGoesFirstAndCostsNoCredit() {
        var stream = stream([1, 2, 3, 4, 5, 6])
        _ = next(&stream, room: 4)
        stream.onLost(1..<3, fin: false)
        #expect(stream.hasSendable(credit: 0))
        let pieces = [next(&stream, room: 1, credit: 0), next(&stream, credit: 0), next(&stream, credit: 0), next(&stream)]
        #expect(pieces == ["1 [2] again new 0", "2 [3] again new 0", nil, "4 [5, 6] new 2"])
    }

    @Test func afterAPartialAcknowledgementTheLossOfTheWholeRangeResendsTheGapsOnly() {
        var stream = stream(Array(0..<10), fin: true)
        _ = next(&stream)
        stream.onAcknowledged(0..<2, fin: false)
        stream.onAcknowledged(4..<6, fin: false)
        stream.onAcknowledged(9..<10, fin: true)
        stream.onLost(0..<10, fin: true)
        let pieces = (0..<3).map { _ in next(&stream) }
        #expect(pieces == ["2 [2, 3] again new 0", "6 [6, 7, 8] again new 0", nil])
        stream.onAcknowledged(2..<4, fin: false)
        #expect(!stream.isDone)
        stream.onAcknowledged(6..<9, fin: false)
        #expect(stream.isDone && stream.buffered == 0)
    }

    @Test func whatArrivesAfterAllIsNotSentAgain() {
        var stream = stream([1, 2, 3, 4])
        _ = next(&stream)
        stream.onLost(0..<4, fin: false)
        stream.onAcknowledged(0..<3, fin: false)
        let (again, none) = (next(&stream), next(&stream))
        #expect(again == "3 [4] again new 0" && none == nil)
    }

    @Test func aLostEndGoesAgainWithoutItsBytesIfTheyArrived() {
        var stream = stream([1, 2], fin: false)
        _ = next(&stream)
        _ = stream.write([], fin: true)
        _ = next(&stream)
        stream.onAcknowledged(0..<2, fin: false)
        #expect(!stream.isDone && !stream.hasSendable(credit: 9))
        stream.onLost(2..<2, fin: true)
        #expect(stream.hasSendable(credit: 0))
        let (again, none) = (next(&stream, credit: 0), next(&stream))
        #expect(again == "2 [] end again new 0" && none == nil)
        stream.onAcknowledged(2..<2, fin: true)
        #expect(stream.isDone)
        // Its loss, seen late, is no news.
        stream.onLost(0..<2, fin: true)
        #expect(!stream.hasSendable(credit: 9))
    }

    @Test func anEndThatArrivesAfterAllIsNotSentAgain() {
        var stream = stream([1, 2], fin: true)
        _ = next(&stream, room: 1)
        _ = next(&stream)
        stream.onLost(1..<2, fin: true)
        stream.onAcknowledged(1..<2, fin: true)
        #expect(!stream.hasSendable(credit: 9))
        stream.onAcknowledged(0..<1, fin: false)
        #expect(stream.isDone)
    }

    @Test func aLostRangeThatEndsTheStreamSaysSoAgain() {
        var stream = stream([1, 2, 3], fin: true)
        _ = next(&stream)
        stream.onLost(1..<3, fin: true)
        let again = next(&stream)
        #expect(again == "1 [2, 3] end again new 0")
    }

    @Test func theEndAloneIsNotEnough() {
        var stream = stream([1, 2, 3], fin: true)
        _ = next(&stream, room: 2)
        _ = next(&stream)
        stream.onAcknowledged(2..<3, fin: true)
        #expect(!stream.isDone)
        stream.onAcknowledged(0..<2, fin: false)
        #expect(stream.isDone)
    }

    @Test func afterItsEndNothingMoreIsTaken() {
        var stream = stream([1], fin: true)
        let more = stream.write([2], fin: true)
        _ = next(&stream)
        let none = next(&stream)
        #expect(more == 0 && none == nil && stream.buffered == 1)
    }

    @Test func aFullBufferRefusesAndTellsOfRoomOnceItIsHalfEmpty() {
        let limit = SendStream.bufferLimit
        #expect(limit == 1_048_576)
        var stream = SendStream(limit: 1 << 30, deadline: nil)
        let first = stream.write([UInt8](repeating: 1, count: limit - 1)[...], fin: false)
        #expect(first == limit - 1 && !stream.writerWaits)
        let second = stream.write([7, 8, 9], fin: true)
        #expect(second == 1 && stream.writerWaits && stream.buffered == limit && stream.promised == UInt64(limit) + 2)
        // The end was not taken with them.
        _ = stream.nextChunk(room: limit, credit: 1 << 30)
        let none = stream.nextChunk(room: limit, credit: 1 << 30)
        #expect(none == nil)
        stream.onAcknowledged(0..<UInt64(limit / 2 - 1), fin: false)
        let early = stream.takeWritable()
        stream.onAcknowledged(0..<UInt64(limit / 2 + 32_768), fin: false)
        let told = stream.takeWritable()
        let twice = stream.takeWritable()
        #expect(!early && told && !twice && !stream.writerWaits)
    }

    @Test func nobodyWhoDidNotWaitIsTold() {
        var stream = stream([1, 2])
        _ = next(&stream)
        stream.onAcknowledged(0..<2, fin: false)
        let told = stream.takeWritable()
        #expect(!told && stream.buffered == 0)
    }

    /// Section 3.1: after a reset only the reset is sent, with what was sent so far as final size (section 4.5).
    @Test func aResetSaysHowMuchWasSentAndSilencesTheRest() {
        var stream = stream([1, 2, 3, 4], fin: true)
        _ = next(&stream, room: 3)
        stream.onLost(0..<3, fin: false)
        let reset = stream.reset(code: 42)
        let again = stream.reset(code: 43)
        #expect(reset && !again && stream.resetCode == 42 && stream.buffered == 0 && stream.hasUnsentReset && stream.hasSendable(credit: 0))
        let piece = next(&stream)
        let (taken, twice) = (stream.takeReset(), stream.takeReset())
        #expect(piece == nil && taken?.code == 42 && taken?.finalSize == 3 && twice == nil)
        #expect(!stream.hasSendable(credit: 9) && !stream.isDone)
        stream.onLost(0..<3, fin: false)
        stream.onAcknowledged(0..<3, fin: false)
        let refused = stream.write([9], fin: true)
        #expect(!stream.hasSendable(credit: 9) && refused == 0 && !stream.isDone)
        stream.onResetLost()
        let repaired = stream.takeReset()
        #expect(repaired?.code == 42 && repaired?.finalSize == 3)
        stream.onResetAcknowledged()
        stream.onResetLost()
        #expect(stream.isDone && !stream.hasUnsentReset)
    }

    @Test func whatIsOverCannotBeReset() {
        var stream = stream([1], fin: true)
        _ = next(&stream)
        stream.onAcknowledged(0..<1, fin: true)
        let reset = stream.reset(code: 1)
        #expect(!reset && stream.resetCode == nil && stream.isDone)
        // Nor does the acknowledgement of a reset that was never sent end anything.
        var open = self.stream([1])
        open.onResetAcknowledged()
        open.onResetLost()
        #expect(!open.isDone && !open.hasUnsentReset)
    }

    /// RFC 9002 section 6.2.4: a probe carries data rather than nothing.
    @Test func aProbeRepeatsTheOldestThatIsUnacknowledged() {
        var stream = stream([UInt8](repeating: 5, count: 3_000), fin: true, limit: 10_000)
        for _ in 0..<3 { _ = stream.nextChunk(room: 1_200, credit: 10_000) }
        stream.onAcknowledged(0..<1_200, fin: false)
        let marked = stream.markOldestLost()
        let piece = stream.nextChunk(room: 5_000, credit: 0)
        #expect(marked && piece?.range == 1_200..<2_200 && piece?.isRepair == true && piece?.fin == false)
        // Near the end, the end goes with it.
        stream.onAcknowledged(1_200..<2_400, fin: false)
        _ = stream.markOldestLost()
        let last = stream.nextChunk(room: 5_000, credit: 0)
        #expect(last?.range == 2_400..<3_000 && last?.fin == true)
    }

    @Test func aProbeRepeatsALoneEndOrAResetAndNothingThatArrived() {
        var stream = stream([1], fin: true)
        let early = stream.markOldestLost()
        #expect(!early, "nothing was sent")
        _ = next(&stream)
        stream.onAcknowledged(0..<1, fin: false)
        let end = stream.markOldestLost()
        let piece = next(&stream)
        #expect(end && piece == "1 [] end again new 0")
        stream.onAcknowledged(1..<1, fin: true)
        let over = stream.markOldestLost()
        #expect(!over)
        var cancelled = self.stream([1])
        _ = cancelled.reset(code: 1)
        _ = cancelled.takeReset()
        let again = cancelled.markOldestLost()
        #expect(again && cancelled.hasUnsentReset)
        cancelled.onResetAcknowledged()
        let never = cancelled.markOldestLost()
        #expect(!never)
    }

    @Test func aTurnHoldsNewBytesBackAndNotRepairs() {
        var stream = stream([1, 2, 3, 4, 5, 6])
        stream.turn = .until(2)
        let first = next(&stream)
        #expect(first == "0 [1, 2] new 2" && stream.turnLeft == 0 && !stream.hasSendable(credit: 9))
        stream.turn = .waiting
        stream.onLost(0..<2, fin: false)
        let (again, none) = (next(&stream), next(&stream))
        #expect(again == "0 [1, 2] again new 0" && none == nil && stream.turnLeft == 0)
        stream.turn = .until(5)
        #expect(stream.turnLeft == 3)
        stream.turn = .free
        let rest = next(&stream)
        #expect(rest == "2 [3, 4, 5, 6] new 4" && stream.turnLeft == 0)
    }

    @Test func bytesStallWhileNothingIsAcknowledged() {
        var stream = stream([1, 2, 3, 4])
        let at = { (seconds: Int64) in Instant.zero + .seconds(seconds) }
        _ = next(&stream)
        let (first, later) = (stream.stalledSince(at: at(1)), stream.stalledSince(at: at(5)))
        #expect(first == at(1) && later == at(1))
        stream.onAcknowledged(0..<1, fin: false)
        let moved = stream.stalledSince(at: at(6))
        #expect(moved == at(6))
        stream.onAcknowledged(1..<4, fin: false)
        let empty = stream.stalledSince(at: at(7))
        #expect(empty == nil)
    }
}
