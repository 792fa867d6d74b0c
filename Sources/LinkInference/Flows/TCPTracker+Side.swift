import MastCapture
import MastTimebase

/// One direction of a connection, and what it leaves open.
extension TCPTracker {
    package struct Side: Sendable {
        package var segmentsWithData = 0
        /// Data that passed here before.
        package var retransmissions = 0
        /// Of those, by cause, and those whose original had arrived after all.
        package var causes = RetransmissionCounts()
        /// SYN or SYN-ACK, and FIN without data, sent again. What was lost, they or their answers, is not seen.
        package var synAgain = 0
        package var finAgain = 0
        package var keepAlives = 0
        /// Data sent into a closed window to learn whether it is open.
        package var windowProbes = 0
        package var filledLosses = 0
        package var reordered = 0
        package var duplicateAcknowledgements = 0
        package var zeroWindows = 0
        package var minimumRTT: Interval?
        package var maximumRTT: Interval?
        package var rttSamples = 0
        /// Data to ACK, nanoseconds.
        package var roundTrips = SampleSketch()
        /// Timestamp to its echo, nanoseconds: the sender's own waiting may be in it.
        package var stampRoundTrips = SampleSketch()
        /// IP bytes of the packets whose round trip was the smallest: there, and back.
        package var minimumRTTBytes: (out: Int, back: Int) = (0, 0)
        /// Bytes sent and not acknowledged, after each segment with data.
        package var inFlight = SampleSketch()
        var next: UInt32?
        var acknowledged: UInt32?
        var timed: (end: UInt32, at: Instant)?
        /// A timestamp whose echo is awaited, and the newest one seen.
        var stamped: (value: UInt32, at: Instant)?
        var newestStamp: UInt32?
        var holes: [Hole] = []
        /// Acknowledged, and not seen: a record that comes late may still fill them.
        var missed: [Hole] = []
        var missedForGood = 0
        var sawSYN: (sequence: UInt32, at: Instant, sent: Int, isAnswer: Bool)?
        var sawFIN = false
        var sawRST = false
        /// It sent something beside SYN and RST.
        var hasSpoken = false
        var window: UInt16?
        var probeEnd: UInt32?
        /// Far from all that was followed: of another connection, or the start of a part that was not recorded.
        var stray: UInt32?
        var scoreboard = SACKScoreboard()
        /// IP bytes of what `timed` times.
        var timedBytes = 0
        /// When its last segment passed.
        var lastAt: Instant?
        var recovery = RetransmissionClassifier()
        var losses = LostRanges()
        /// The newest round trip from here to its receiver and back.
        var trip: Interval?
        /// Where what is seen of a fragmented segment ends, and how far its other fragments, which have no TCP header, may go on.
        var fragmented: (from: UInt32, to: UInt32)?

        init() {}

        /// Segments of this direction that had to be sent again, wherever they were lost.
        package var sentAgain: Int { retransmissions + synAgain + finAgain + filledLosses }
        /// Segments with data that were lost somewhere: sent again, and nothing shows that the original had arrived. Nil where for some
        /// nothing tells why they were sent again, or where nobody acknowledged any: they may have come, and the answers not.
        package var lost: Int? { unexplained + unproved > 0 || losses.count > 0 && againUntil != nil ? nil : losses.count }
        /// Runs of them, in the order of their sequence.
        package var lossBursts: Int { losses.bursts }
        /// Data sent again of which nothing tells why: too soon for a timer, and nobody had asked, as far as is seen.
        package internal(set) var unexplained = 0
        /// Something of the other side is in the capture.
        var peerSeen = false
        var mayBeRefused = false
        /// Data sent again of which nothing tells whether the original had come: by a timer, to who tells of no duplicates; and after a
        /// router's refusal.
        var unproved = 0
        /// It tells what it holds.
        package internal(set) var sendsSACK = false
        /// Of what was sent again, the end of the first in sequence, until that is acknowledged.
        var againUntil: UInt32?
        var isAgainAcknowledged = false
        /// What it receives twice it tells of (RFC 2883), as Linux does, whose packets set out with 64 hops.
        var tellsDuplicates: Bool { sendsSACK && hopLimit <= 64 }
        var hopLimit: UInt8 = 0
        /// Bytes that were acknowledged and that the capture does not hold.
        package var unrecordedBytes: Int { missedForGood + missed.reduce(0) { $0 + $1.bytes } }

        /// Whether what lies between may have come in fragments.
        func isFragmented(_ from: UInt32, until to: UInt32) -> Bool {
            fragmented.map { $0.from == from && TCPTracker.distance(to, $0.to) >= 0 } ?? false
        }

        /// Whether what ends with `end` was acknowledged.
        package func isAcknowledged(until end: UInt32) -> Bool { acknowledged.map { TCPTracker.distance($0, end) <= 0 } ?? false }
    }

    /// Bytes that did not pass while later ones did.
    struct Hole: Sendable {
        var from: UInt32
        var to: UInt32
        var since: Instant
        /// The timestamp of the segment that left it out.
        var stamp: UInt32?
        /// Of that segment's record in the file.
        var number = 0
        var bytes: Int { TCPTracker.distance(from, to) }
    }
}
