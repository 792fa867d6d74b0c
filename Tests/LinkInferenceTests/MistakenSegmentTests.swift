import MastCapture
import MastLinkInference
import MastTimebase
import Testing

/// Segments that look like others: what they are not is not counted.
@Suite struct MistakenSegmentTests {
    /// Segments of 1,000 bytes from 1 on, acknowledged 50 ms later.
    private struct Session {
        var tracker = TCPTracker()

        mutating func send(_ ms: Int64, _ number: UInt32, flags: TCPFlags = .ack, bytes: Int = 1_000) {
            _ = tracker.observe(TCPHeader(sequence: 1 + number * 1_000, acknowledgement: 1, flags: flags, window: 500, payloadBytes: bytes), .down, at: .zero + .milliseconds(ms))
        }

        /// - Parameters:
        ///   - next: the segment that is missing.
        ///   - sack: beyond it, from one to before another.
        ///   - made: its timestamp.
        mutating func acknowledge(_ ms: Int64, _ next: UInt32, sack: (UInt32, UInt32)? = nil, made: UInt32) {
            var header = TCPHeader(sequence: 1, acknowledgement: 1 + next * 1_000, flags: .ack, window: 500, payloadBytes: 0)
            if let sack { header.sack = ((1 + sack.0 * 1_000, 1 + sack.1 * 1_000), nil) }
            header.timestamp = (made, 0)
            _ = tracker.observe(header, .up, at: .zero + .milliseconds(ms))
        }
    }

    @Test("an acknowledgement that was overtaken tells again what was new when it was made: no segment came twice (RFC 2883)", arguments: [false, true])
    func anAcknowledgementThatWasOvertaken(_ isOvertaken: Bool) {
        var session = Session()
        for number in 0..<8 as Range<UInt32> { session.send(Int64(number), number) }
        session.acknowledge(50, 1, made: 1_000)
        // The second is missing; what comes beyond it is told one by one.
        session.acknowledge(52, 1, sack: (2, 3), made: 1_002)
        session.acknowledge(53, 1, sack: (2, 4), made: 1_003)
        session.acknowledge(56, 1, sack: (2, 6), made: 1_006)
        session.send(57, 1)
        session.send(58, 2)
        // Made before the last, or as the answer to a copy of the third.
        session.acknowledge(108, 1, sack: (2, 3), made: isOvertaken ? 1_004 : 1_058)
        #expect(session.tracker.down.causes.spurious == (isOvertaken ? 0 : 1))
    }

    @Test("a single byte that is pushed is data, which came and is sent again; one that is not keeps the connection alive", arguments: [false, true])
    func aSingleByte(_ isPushed: Bool) {
        var session = Session()
        session.send(0, 0)
        session.acknowledge(50, 1, made: 1_000)
        // The last byte of what was acknowledged.
        _ = session.tracker.observe(
            TCPHeader(sequence: 1_000, acknowledgement: 1, flags: isPushed ? [.ack, .psh] : .ack, window: 500, payloadBytes: 1), .down, at: .zero + .seconds(2))
        #expect(session.tracker.down.keepAlives == (isPushed ? 0 : 1))
        #expect(session.tracker.down.retransmissions == (isPushed ? 1 : 0))
    }
}
