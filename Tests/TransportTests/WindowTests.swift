import MastTimebase
import MastTransport
import Testing

/// What one connection may make us hold (`ReceiveWindow`), what one source may (`SourceLedger`), and whose message may
/// begin while the peer's credit is short (`SendTurns`). RFC 9000 section 4.1 and 4.2.
@Suite struct WindowTests {
    private func receive(_ bytes: UInt64, _ window: inout ReceiveWindow) -> TransportErrorCode? {
        do throws(ProtocolViolation) {
            try window.receive(bytes, "too much")
            return nil
        } catch { return error.code }
    }

    @Test func theLastByteOfTheLimitIsTakenAndTheNextIsNot() {
        var window = ReceiveWindow(window: 100, shelf: 0, assembly: 0)
        let codes = [receive(99, &window), receive(1, &window), receive(0, &window), receive(1, &window)]
        #expect(codes == [nil, nil, nil, .flowControl])
    }

    @Test func creditReturnsInStepsOfHalfAWindow() {
        var window = ReceiveWindow(window: 100, shelf: 0, assembly: 0)
        _ = receive(100, &window)
        window.release(49, whole: 0)
        #expect(window.limit == 100 && !window.limitPending && window.held == 51)
        window.release(1, whole: 0)
        #expect(window.limit == 150 && window.limitPending && window.released == 50)
        window.limitPending = false
        window.release(60, whole: 0)
        #expect(window.released == 100 && window.held == 0 && window.limit == 200 && window.limitPending)
    }

    @Test func wholeMessagesWaitOnTheShelfAndNoMoreThanItHolds() {
        var window = ReceiveWindow(window: 100, shelf: 60, assembly: 0)
        _ = receive(100, &window)
        window.complete(49)
        #expect(window.limit == 100 && window.whole == 49)
        window.complete(1)
        #expect(window.limit == 150 && window.whole == 50)
        window.complete(40)
        #expect(window.limit == 150, "ten more lie on the shelf, and thirty before it")
        // Never more whole than there is.
        window.complete(40)
        #expect(window.whole == 100)
        window.release(100, whole: 100)
        #expect(window.limit == 200 && window.whole == 0)
        window.release(10, whole: 10)
        #expect(window.released == 100 && window.whole == 0)
    }

    @Test func theShelfIsClosedWhileTooMuchIsHeld() {
        var window = ReceiveWindow(window: 100, shelf: 100, assembly: 0)
        window.isAtEase = false
        _ = receive(100, &window)
        window.complete(100)
        #expect(window.limit == 100)
        window.isAtEase = true
        #expect(window.limit == 200 && window.limitPending)
    }

    @Test(
        arguments: [
            (received: 90, bytes: 10, granted: true, limit: 100), (received: 90, bytes: 11, granted: true, limit: 101),
            (received: 90, bytes: 60, granted: true, limit: 150), (received: 90, bytes: 61, granted: false, limit: 100),
            (received: 100, bytes: 0, granted: true, limit: 100),
        ] as [(received: UInt64, bytes: UInt64, granted: Bool, limit: UInt64)])
    func aMessageIsGrantedWholeOrNotAtAll(received: UInt64, bytes: UInt64, granted: Bool, limit: UInt64) {
        var window = ReceiveWindow(window: 100, shelf: 0, assembly: 50)
        _ = receive(received, &window)
        let isGranted = window.grant(bytes)
        #expect(isGranted == granted && window.limit == limit && window.limitPending == (limit != 100))
    }

    // MARK: whose message may begin

    private static let ids = (0..<4).map { StreamID(rawValue: UInt64($0)) }

    @Test func aMessageBeginsWhileTheCreditCoversItAndAllThatBegan() {
        var turns = SendTurns()
        let (a, b) = (Self.ids[0], Self.ids[1])
        turns.wait(a)
        turns.wait(b)
        let first = turns.admit(a, bytes: 60, credit: 100)
        let second = turns.admit(b, bytes: 41, credit: 100)
        #expect(first && !second && turns.committed == 60 && turns.first == b)
        // What is sent is no longer promised, and no longer credit.
        let sent = turns.sent(a, 20)
        let third = turns.admit(b, bytes: 40, credit: 80)
        #expect(sent && third && turns.committed == 80 && turns.first == nil)
        let ended = turns.end(a, unsent: 40)
        #expect(ended && turns.committed == 40)
    }

    @Test func exactlyTheCreditIsEnough() {
        var turns = SendTurns()
        turns.wait(Self.ids[0])
        let admitted = turns.admit(Self.ids[0], bytes: 100, credit: 100)
        #expect(admitted && turns.committed == 100)
    }

    @Test func whatNoCreditCoversGoesWhenNothingElseIsUnderWay() {
        var turns = SendTurns()
        turns.beside = 10
        let (a, b, c) = (Self.ids[0], Self.ids[1], Self.ids[2])
        turns.wait(a)
        _ = turns.admit(a, bytes: 5, credit: 100)
        turns.wait(b)
        let early = turns.admit(b, bytes: 500, credit: 95)
        _ = turns.sent(a, 5)
        _ = turns.end(a, unsent: 0)
        let alone = turns.admit(b, bytes: 500, credit: 95)
        #expect(!early && alone && turns.committed == 0)
        // Beside it only a little begins, whatever the credit is.
        turns.wait(c)
        let much = turns.admit(c, bytes: 11, credit: 1_000)
        let little = turns.admit(c, bytes: 10, credit: 0)
        #expect(!much && little && turns.committed == 10)
        let large = turns.sent(b, 400)
        #expect(large && turns.committed == 10)
        _ = turns.end(b, unsent: 100)
        #expect(turns.committed == 10)
        turns.wait(a)
        let afterwards = turns.admit(a, bytes: 90, credit: 100)
        #expect(afterwards)
    }

    /// For sixteen that pass it, one that is less urgent.
    @Test func theMostUrgentBeginsFirstAndTheOthersNowAndThen() {
        var turns = SendTurns()
        let (bulk, standard, urgent) = (Self.ids[0], Self.ids[1], Self.ids[2])
        for _ in 0..<3 {
            turns.wait(bulk, .bulk)
            turns.wait(standard, .standard)
        }
        var order: [StreamID] = []
        for _ in 0..<40 {
            turns.wait(urgent, .urgent)
            guard let first = turns.first, turns.admit(first, bytes: 1, credit: 100) else { break }
            order.append(first)
        }
        let passing = [StreamID](repeating: urgent, count: 16)
        #expect(order.prefix(18) == (passing + [standard, bulk])[...] && order.count == 40)
        #expect(order.filter { $0 == bulk }.count == 2 && order.filter { $0 == standard }.count == 2)
    }

    @Test func whatGivesBackMoreThanItHadIsAFault() {
        var turns = SendTurns()
        turns.wait(Self.ids[0])
        _ = turns.admit(Self.ids[0], bytes: 10, credit: 10)
        let tooMuch = turns.sent(Self.ids[0], 11)
        #expect(!tooMuch && turns.committed == 0)
        let again = turns.end(Self.ids[0], unsent: 1)
        #expect(!again)
    }

    // MARK: sources

    @Test(arguments: [
        // Held by the source and by others, then whether so many more are allowed: of 100 for one source and 300 in all.
        (0, 0, 100, true), (0, 0, 101, false), (60, 0, 40, true), (60, 0, 41, false), (0, 150, 75, true), (0, 150, 76, false),
        (50, 170, 15, true), (50, 170, 16, false), (100, 100, 0, true), (100, 101, 0, false), (101, 0, 0, false),
    ]) func aSourceHoldsItsOwnShareAndNoMoreThanIsFree(own: Int, others: Int, more: Int, isAllowed: Bool) {
        var ledger = SourceLedger(perSource: 100, inAll: 300)
        let (source, other) = (TrafficSource(route: 1), TrafficSource(route: 2))
        let charged = [ledger.charge(source, own), ledger.charge(other, others)]
        #expect(charged == [true, true] && ledger[source] == own && ledger.total == own + others)
        #expect(ledger.allows(source, more) == isAllowed)
    }

    @Test(arguments: [
        (50, 0, true), (51, 0, false), (50, 100, true), (50, 150, true), (50, 151, false), (10, 270, true), (10, 271, false),
        (0, 300, true),
    ]) func aSourceIsAtEaseUpToHalfOfThat(own: Int, others: Int, isAtEase: Bool) {
        var ledger = SourceLedger(perSource: 100, inAll: 300)
        let source = TrafficSource(route: 1)
        _ = ledger.charge(source, own)
        _ = ledger.charge(TrafficSource(route: 2), others)
        #expect(ledger.isAtEase(source) == isAtEase)
    }

    @Test func whatIsGivenBackTwiceIsAFaultAndCountsOnce() {
        var ledger = SourceLedger(perSource: 100, inAll: 300)
        let source = TrafficSource(route: 1)
        let charged = ledger.charge(source, 10)
        let half = ledger.charge(source, -4)
        let tooMuch = ledger.charge(source, -7)
        let nothing = ledger.charge(source, 0)
        #expect(charged && half && !tooMuch && nothing && ledger[source] == 0 && ledger.total == 0)
    }
}
