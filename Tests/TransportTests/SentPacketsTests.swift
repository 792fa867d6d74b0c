import MastTimebase
import MastTransport
import Testing

@Suite struct SentPacketsTests {
    private func at(_ milliseconds: Int64) -> Instant { .zero + .milliseconds(milliseconds) }

    /// Packets 10, 11, … of 100, 101, … bytes, a millisecond apart.
    private func sent(_ count: Int) -> SentPackets {
        var sent = SentPackets(firstNumber: 10)
        for index in 0..<count {
            sent.append(
                bytes: 100 + index, windowLimited: index % 2 == 0, isCopied: false, frames: [.ping(requestedAt: .zero)],
                at: at(Int64(index)))
        }
        return sent
    }

    @Test func countsWhatIsUnderWay() {
        var sent = sent(3)
        #expect(sent.count == 3 && !sent.isEmpty && sent.nextNumber == 13)
        #expect(sent.bytesInFlight == 303 && sent.ackElicitingInFlight == 3)
        _ = sent.conclude(11, as: .acknowledged)
        #expect(sent.bytesInFlight == 202 && sent.ackElicitingInFlight == 2)
        _ = sent.conclude(10, as: .lost)
        #expect(sent.bytesInFlight == 102 && sent.ackElicitingInFlight == 1)
        #expect(SentPackets(firstNumber: 10).isEmpty)
    }

    @Test func aPacketKeepsWhatItWasSentWith() {
        var sent = sent(2)
        #expect(sent[0].number == 10 && sent[0].state == .outstanding && sent[0].sentAt == at(0) && sent[0].bytes == 100)
        #expect(sent[0].windowLimited && !sent[1].windowLimited)
        let packet = sent.conclude(11, as: .acknowledged)
        #expect(packet?.state == .outstanding && packet?.sentAt == at(1) && packet?.bytes == 101 && packet?.frames.count == 1)
    }

    @Test func aFateIsToldOnce() {
        var sent = sent(3)
        #expect(sent.conclude(11, as: .acknowledged) != nil)
        #expect(sent.conclude(11, as: .acknowledged) == nil)
        #expect(sent.conclude(10, as: .lost) != nil)
        #expect(sent.conclude(10, as: .lost) == nil)
        #expect(sent.bytesInFlight == 102 && sent.ackElicitingInFlight == 1)
    }

    @Test func numbersThatNobodyKeepsHaveNoFate() {
        var sent = sent(2)
        sent.passOver()
        sent.append(bytes: 500, windowLimited: false, isCopied: false, frames: [], at: at(9))
        for number in [0, 9, 12, 14, .max] as [UInt64] { #expect(sent.conclude(number, as: .acknowledged) == nil) }
        #expect(sent.count == 3 && sent.nextNumber == 14 && sent.bytesInFlight == 701)
        #expect(sent.conclude(13, as: .acknowledged)?.bytes == 500)
    }

    /// What a lost packet carried is repaired, and concluded should it arrive after all; it leaves the count once.
    @Test func aLostPacketMayStillArrive() {
        var sent = sent(2)
        _ = sent.conclude(10, as: .lost)
        #expect(sent[0].state == .lost && sent[0].frames.count == 1)
        let late = sent.conclude(10, as: .acknowledged)
        #expect(late?.state == .lost && late?.frames.count == 1)
        #expect(sent[0].state == .acknowledged && sent[0].frames.isEmpty)
        #expect(sent.bytesInFlight == 101 && sent.ackElicitingInFlight == 1)
    }

    @Test func whatIsGivenUpIsKeptForALateArrivalAsWhatIsLost() {
        var sent = sent(2)
        _ = sent.conclude(10, as: .givenUp)
        #expect(sent.bytesInFlight == 101 && sent.ackElicitingInFlight == 1)
        sent.prune(lostBefore: at(-1))
        #expect(sent.count == 2)
        #expect(sent.conclude(10, as: .acknowledged)?.state == .givenUp)
        sent.prune(lostBefore: at(-1))
        #expect(sent.count == 1)
    }

    @Test func aSkippedNumberIsNoPacket() {
        var sent = sent(1)
        sent.skip(at: at(1))
        sent.append(bytes: 7, windowLimited: false, isCopied: true, frames: [], at: at(2))
        #expect(sent.nextNumber == 13 && sent.count == 3)
        #expect(sent[1].state == .skipped && sent[1].number == 11 && sent[1].frames.isEmpty && !sent[1].windowLimited && !sent[1].isCopied)
        #expect(sent.bytesInFlight == 107 && sent.ackElicitingInFlight == 2)
        #expect(sent.conclude(11, as: .skipped) == nil)
    }

    @Test func findsPlacesByNumber() {
        var sent = sent(2)
        sent.passOver()
        sent.append(bytes: 1, windowLimited: false, isCopied: false, frames: [], at: at(5))
        let places: [(number: UInt64, place: Int)] = [(0, 0), (10, 0), (11, 1), (12, 2), (13, 2), (14, 3), (.max, 3)]
        for (number, place) in places { #expect(sent.index(from: number) == place, "number \(number)") }
    }

    @Test func theOldestThatWaits() {
        var sent = sent(4)
        #expect(sent.oldestOutstanding?.number == 10)
        _ = sent.conclude(10, as: .lost)
        _ = sent.conclude(11, as: .acknowledged)
        #expect(sent.oldestOutstanding?.number == 12)
        #expect(sent.oldestOutstanding?.packet.sentAt == at(2))
        _ = sent.conclude(12, as: .acknowledged)
        _ = sent.conclude(13, as: .acknowledged)
        #expect(sent.oldestOutstanding == nil)
    }

    @Test func whatWentToOneAddressAlone() {
        var sent = SentPackets(firstNumber: 0)
        for number in 0..<6 { sent.append(bytes: 10, windowLimited: false, isCopied: number % 2 == 1, frames: [], at: at(0)) }
        _ = sent.conclude(0, as: .acknowledged)
        _ = sent.conclude(2, as: .lost)
        #expect(sent.uncopied == [4])
    }

    // MARK: forgetting

    @Test func concludedPacketsLeaveFromTheFront() {
        var sent = sent(4)
        _ = sent.conclude(11, as: .acknowledged)
        sent.prune(lostBefore: at(1_000))
        #expect(sent.count == 4, "behind one that is outstanding all stay")
        _ = sent.conclude(10, as: .acknowledged)
        sent.prune(lostBefore: .zero)
        #expect(sent.count == 2 && sent[0].number == 12)
    }

    @Test func aSkippedNumberLeavesWithThoseBeforeIt() {
        var sent = sent(1)
        sent.skip(at: at(1))
        sent.append(bytes: 7, windowLimited: false, isCopied: false, frames: [], at: at(2))
        sent.prune(lostBefore: at(1_000))
        #expect(sent.count == 3)
        _ = sent.conclude(10, as: .acknowledged)
        sent.prune(lostBefore: .zero)
        #expect(sent.count == 1 && sent[0].number == 12)
    }

    @Test func lostOnesStayUntilTheHorizonHasPassedThem() {
        var sent = sent(3)
        for number in 10...12 as ClosedRange<UInt64> { _ = sent.conclude(number, as: .lost) }
        sent.prune(lostBefore: at(0) - .nanoseconds(1))
        #expect(sent.count == 3)
        sent.prune(lostBefore: at(1))
        #expect(sent.count == 1 && sent[0].number == 12)
    }

    // MARK: against a list

    private struct Entry {
        var number: UInt64
        var bytes: Int
        var state: SentPacket.State
    }

    @Test(arguments: [UInt64](1...20)) func agreesWithAList(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var sent = SentPackets(firstNumber: 0)
        var list: [Entry] = []
        var next: UInt64 = 0
        for round in 0..<1_000 as Range<Int64> {
            let now = at(round)
            switch random.next(below: 8) {
            case 0:
                sent.passOver()
                next += 1
            case 1:
                sent.skip(at: now)
                list.append(Entry(number: next, bytes: 0, state: .skipped))
                next += 1
            case 2...4:
                let bytes = Int(random.next(below: 1_200))
                sent.append(bytes: bytes, windowLimited: false, isCopied: false, frames: [], at: now)
                list.append(Entry(number: next, bytes: bytes, state: .outstanding))
                next += 1
            default:
                let number = random.next(below: next + 1)
                let fate: SentPacket.State = random.next(below: 3) == 0 ? .lost : .acknowledged
                let index = list.firstIndex { $0.number == number && $0.state == .outstanding }
                guard index != nil || !list.contains(where: { $0.number == number }) else { continue }
                #expect(sent.conclude(number, as: fate)?.bytes == index.map { list[$0].bytes })
                if let index { list[index].state = fate }
            }
            let outstanding = list.filter { $0.state == .outstanding }
            #expect(sent.nextNumber == next && sent.count == list.count)
            #expect(sent.ackElicitingInFlight == outstanding.count)
            #expect(sent.bytesInFlight == outstanding.reduce(0) { $0 + $1.bytes })
            #expect(sent.oldestOutstanding?.number == outstanding.first?.number)
            #expect(sent.uncopied == outstanding.map(\.number))
            let place = random.next(below: next + 1)
            #expect(sent.index(from: place) == list.count { $0.number < place })
        }
    }
}
