import MastTransport
import Testing

/// Which losses a queue made.
@Suite struct QueueLossTests {
    private static let datagram = 1_000

    /// A round trip of 100 datagrams, so many of them lost.
    private func round(_ loss: inout QueueLoss, lost: Int, deepest: Double, target: Double = 10, isSeen: Bool = true) {
        loss.onArrival(bytes: (100 - lost) * Self.datagram)
        loss.onLoss(bytes: lost * Self.datagram)
        loss.endRound(deepest: deepest * 1e6, target: target * 1e6, most: 40e6, isSeen: isSeen, datagramSize: Self.datagram)
    }

    @Test func nothingLostBoundsNothing() {
        var loss = QueueLoss()
        for _ in 0..<10 { round(&loss, lost: 0, deepest: 30) }
        #expect(loss.ceiling == .infinity && !loss.isLossy)
    }

    /// draft-ietf-ccwg-bbr bears 2 %, and two packets say nothing.
    @Test(arguments: [(2, false), (3, true), (30, true)]) func moreThanTwoInAHundredAreTooMany(lost: Int, isLossy: Bool) {
        var loss = QueueLoss()
        round(&loss, lost: lost, deepest: 6)
        #expect(loss.isLossy == isLossy)
        #expect(loss.ceiling == (isLossy ? 3e6 : .infinity), "half of what was too much")
    }

    @Test func theCeilingHalvesAndComesBackByTenths() {
        var loss = QueueLoss()
        round(&loss, lost: 10, deepest: 8)
        round(&loss, lost: 10, deepest: 8)
        #expect(loss.ceiling == 2e6)
        for _ in 0..<10 { round(&loss, lost: 10, deepest: 8) }
        #expect(loss.ceiling == 0.5e6, "and no lower")
        round(&loss, lost: 0, deepest: 1)
        #expect(loss.ceiling == 0.55e6)
        for _ in 0..<50 { round(&loss, lost: 0, deepest: 1) }
        #expect(loss.ceiling == .infinity, "from 40 ms on it is none")
    }

    @Test func withAShortQueueARadioLost() {
        var loss = QueueLoss()
        round(&loss, lost: 0, deepest: 50)
        round(&loss, lost: 14, deepest: 20)
        #expect(!loss.isLossy && loss.ceiling == .infinity)
        round(&loss, lost: 20, deepest: 25)
        #expect(loss.isLossy)
    }

    /// What is lost with a short queue is lost with a long one as well, and is not the queue's.
    @Test func whatARadioLosesIsTakenOff() {
        var loss = QueueLoss()
        round(&loss, lost: 0, deepest: 50)
        for _ in 0..<40 { round(&loss, lost: 5, deepest: 10) }
        // The longest fades by 2 % a round: it stands at 22 ms.
        round(&loss, lost: 6, deepest: 22)
        #expect(!loss.isLossy)
        round(&loss, lost: 15, deepest: 22)
        #expect(loss.isLossy)
    }

    /// A link that lost everything once is believed when it loses nothing, though its queue is long.
    @Test func whatAPathLosesIsNotExcusedForEver() {
        var loss = QueueLoss()
        round(&loss, lost: 0, deepest: 50)
        for _ in 0..<30 { round(&loss, lost: 90, deepest: 1) }
        round(&loss, lost: 60, deepest: 40)
        #expect(loss.isLossy, "no more than 7.5 in 100 are ever excused")
        for _ in 0..<30 { round(&loss, lost: 0, deepest: 40) }
        round(&loss, lost: 6, deepest: 40)
        #expect(loss.isLossy)
    }

    /// Whoever can't see the queue can't say that a loss is none of its.
    @Test func withoutAViewOfTheQueueNothingIsExcused() {
        var loss = QueueLoss()
        round(&loss, lost: 0, deepest: 50)
        for _ in 0..<40 { round(&loss, lost: 5, deepest: 10) }
        round(&loss, lost: 5, deepest: 0, isSeen: false)
        #expect(loss.isLossy)
    }

    @Test func aLossThatWasNoneIsForgotten() {
        var loss = QueueLoss()
        loss.onLoss(bytes: 20 * Self.datagram)
        loss.onSpuriousLoss()
        round(&loss, lost: 0, deepest: 10)
        #expect(!loss.isLossy)
    }
}
