import MastCapture
import MastLinkInference
import MastTimebase
import Testing

/// Hand-written segments, seen at the sender of the data (down).
@Suite struct TCPTrackerTests {
    private struct Session {
        var tracker = TCPTracker()
        var last = TCPObservation()

        init() {
            send(0, sequence: 1, bytes: 1000)
            acknowledge(50, 1001)
        }

        mutating func send(_ ms: Int64, sequence: UInt32, bytes: Int, stamp: UInt32? = nil) {
            var header = TCPHeader(sequence: sequence, acknowledgement: 1, flags: .ack, window: 500, payloadBytes: bytes)
            header.timestamp = stamp.map { ($0, 0) }
            last = tracker.observe(header, .down, at: Instant(nanoseconds: ms * 1_000_000))
        }

        mutating func acknowledge(
            _ ms: Int64, _ acknowledgement: UInt32, window: UInt16 = 500, sack: (UInt32, UInt32)? = nil, echo: UInt32? = nil
        ) {
            var header = TCPHeader(sequence: 1, acknowledgement: acknowledgement, flags: .ack, window: window, payloadBytes: 0)
            if let sack { header.sack = ((sack.0, sack.1), nil) }
            header.timestamp = echo.map { (0, $0) }
            last = tracker.observe(header, .up, at: Instant(nanoseconds: ms * 1_000_000))
        }

        var down: TCPTracker.Side { tracker.down }
    }

    @Test func threeDuplicateAcknowledgementsMakeAFastRetransmission() {
        var session = Session()
        for index in 0..<5 { session.send(60 + Int64(index), sequence: 1001 + UInt32(index) * 1000, bytes: 1000) }
        for index in 0..<3 { session.acknowledge(111 + Int64(index), 1001) }
        session.send(114, sequence: 1001, bytes: 1000)
        session.acknowledge(164, 6001)
        #expect(session.down.retransmissions == 1 && session.down.causes.fast == 1 && session.down.lost == 1)
        #expect(session.tracker.up.duplicateAcknowledgements == 3)
    }

    @Test func aRunOutTimerMakesATimeout() {
        var session = Session()
        for index in 0..<3 { session.send(60, sequence: 1001 + UInt32(index) * 1000, bytes: 1000) }
        session.send(360, sequence: 1001, bytes: 1000)
        session.send(960, sequence: 1001, bytes: 1000)
        session.acknowledge(1010, 2001)
        session.send(1010, sequence: 2001, bytes: 1000)
        #expect(session.down.causes.timeout == 3 && session.down.retransmissions == 3)
    }

    @Test func theLastSegmentAgainBeforeTheTimerIsATailProbe() {
        var session = Session()
        for index in 0..<3 { session.send(60, sequence: 1001 + UInt32(index) * 1000, bytes: 1000) }
        session.send(165, sequence: 3001, bytes: 1000)
        #expect(session.last.cause == .tail && session.down.causes.tail == 1)
    }

    @Test func aDuplicateSACKShowsThatTheOriginalHadArrived() {
        var session = Session()
        session.send(60, sequence: 1001, bytes: 1000)
        session.send(400, sequence: 1001, bytes: 1000)
        session.acknowledge(410, 2001)
        session.acknowledge(450, 2001, sack: (1001, 2001))
        #expect(session.down.causes.spurious == 1 && session.down.retransmissions == 1 && session.down.lost == 0)
    }

    @Test func anEchoOfTheFirstStampShowsItWithoutSACK() {
        var session = Session()
        session.send(60, sequence: 1001, bytes: 1000, stamp: 60)
        session.send(400, sequence: 1001, bytes: 1000, stamp: 400)
        session.acknowledge(410, 2001, echo: 60)
        #expect(session.down.causes.spurious == 1)
    }

    @Test func keepAlivesAndWindowProbesAreNoRetransmissions() {
        var session = Session()
        session.send(5000, sequence: 1000, bytes: 1)
        session.send(5100, sequence: 1000, bytes: 0)
        session.acknowledge(5150, 1001, window: 0)
        for index in 0..<3 { session.send(6000 + Int64(index) * 1000, sequence: 1001, bytes: 1) }
        #expect(session.down.retransmissions == 0)
        #expect(session.tracker.up.zeroWindows == 1)
    }

    @Test func aByteThatWasNotAcknowledgedIsARetransmissionLikeAnyOther() {
        var session = Session()
        session.send(60, sequence: 1001, bytes: 1)
        session.send(360, sequence: 1001, bytes: 1)
        #expect(session.down.retransmissions == 1)
        session.acknowledge(410, 1002)
        session.send(5_000, sequence: 1001, bytes: 1)
        #expect(session.down.retransmissions == 1)
    }

    @Test func whatComesSoonAfterAHoleIsReorderingAndLaterALoss() {
        var session = Session()
        session.send(60, sequence: 2001, bytes: 1000)
        session.send(61, sequence: 1001, bytes: 1000)
        #expect(session.last.isReordered && session.down.lost == 0)
        session.send(62, sequence: 4001, bytes: 1000)
        session.send(130, sequence: 3001, bytes: 1000)
        #expect(session.last.filledLoss && session.down.lost == 1 && session.down.reordered == 1)
    }

    @Test func segmentsLostInARowAreOneBurst() {
        var session = Session()
        for index in 0..<6 { session.send(60, sequence: 1001 + UInt32(index) * 1000, bytes: 1000) }
        for _ in 0..<3 { session.acknowledge(111, 1001) }
        session.send(114, sequence: 1001, bytes: 1000)
        session.send(114, sequence: 2001, bytes: 1000)
        session.send(115, sequence: 4001, bytes: 1000)
        #expect(session.down.causes.fast == 3 && session.down.lossBursts == 2)
    }
}
