import CaptureKit
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

/// What is a round trip, and what is known to have arrived.
@Suite struct RoundTripSampleTests {
    private var tracker = TCPTracker()

    private mutating func see(
        _ ms: Int64, up: Bool, sequence: UInt32, bytes: Int, acknowledgement: UInt32, stamp: (UInt32, UInt32)? = nil, sack: (UInt32, UInt32)? = nil
    ) -> TCPObservation {
        var header = TCPHeader(sequence: sequence, acknowledgement: acknowledgement, flags: .ack, window: 500, payloadBytes: bytes)
        header.timestamp = stamp.map { ($0.0, $0.1) }
        header.sack = sack.map { (first: (from: $0.0, to: $0.1), second: nil) }
        return tracker.observe(header, up ? .up : .down, at: .zero + .milliseconds(ms))
    }

    @Test("a message after a pause echoes an old timestamp and is no round trip")
    mutating func aPauseIsNoRoundTrip() {
        for turn in 0..<4 {
            let (at, number) = (Int64(turn) * 2_000, UInt32(turn))
            _ = see(at, up: false, sequence: 1 + number * 100, bytes: 100, acknowledgement: 1, stamp: (10 + number * 2_000, number * 2_000))
            let answer = see(at + 42, up: true, sequence: 1, bytes: 0, acknowledgement: 101 + number * 100, stamp: (number * 2_000 + 42, 10 + number * 2_000))
            #expect(answer.rtt == .milliseconds(42))
            // The next message, two seconds later, echoes this stamp.
        }
        #expect(tracker.up.stampRoundTrips.largest == nil)
        #expect(tracker.down.stampRoundTrips.largest ?? 0 <= 42_000_000)
    }

    @Test("a sender that goes on at once shows the way to it by its echoes")
    mutating func echoesOfABusySenderAreRoundTrips() {
        // Acknowledgements leave here each 2 ms; the data that they bring about comes 40 ms later.
        for number in 0..<200 {
            let at = Int64(number) * 2
            _ = see(at, up: false, sequence: 1 + UInt32(number) * 1_000, bytes: 1_000, acknowledgement: 1, stamp: (UInt32(5_000 + at), at < 40 ? 900 : UInt32(960 + at)))
            _ = see(at, up: true, sequence: 1, bytes: 0, acknowledgement: 1_001 + UInt32(number) * 1_000, stamp: (UInt32(1_000 + at), UInt32(5_000 + at)))
        }
        #expect(tracker.up.stampRoundTrips.smallest == 40_000_000 && tracker.up.stampRoundTrips.count >= 5)
    }

    @Test("what is selectively acknowledged is under way no more, and counts once")
    mutating func selectiveAcknowledgementsAreDeliveries() {
        for number in 0..<10 { _ = see(Int64(number), up: false, sequence: 1 + UInt32(number) * 1_000, bytes: 1_000, acknowledgement: 1) }
        // The first is lost; the others are told of one by one.
        var delivered = 0
        for number in 1..<10 {
            delivered += see(50 + Int64(number), up: true, sequence: 1, bytes: 0, acknowledgement: 1, sack: (1_001, 1_001 + UInt32(number) * 1_000)).newlyDelivered
        }
        #expect(delivered == 9_000)
        #expect(see(60, up: false, sequence: 1, bytes: 1_000, acknowledgement: 1).outstanding == 1_000)
        #expect(see(100, up: true, sequence: 1, bytes: 0, acknowledgement: 10_001).newlyDelivered == 1_000)
    }

    @Test("the smallest round trip knows the size of what it timed")
    mutating func theSmallestRoundTripKnowsItsBytes() {
        _ = see(0, up: false, sequence: 1, bytes: 1_400, acknowledgement: 1)
        _ = see(60, up: true, sequence: 1, bytes: 0, acknowledgement: 1_401)
        _ = see(70, up: false, sequence: 1_401, bytes: 500, acknowledgement: 1)
        _ = see(120, up: true, sequence: 1, bytes: 0, acknowledgement: 1_901)
        #expect(tracker.down.minimumRTT == .milliseconds(50) && tracker.down.minimumRTTBytes == (540, 40))
    }
}
