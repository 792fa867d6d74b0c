/// What a data packet carries, once decrypted.
package enum Frame: Sendable, Equatable {
    case ping
    case ack(AckFrame)
    case stream(StreamFrame)
    /// The peer may send up to this many bytes over all streams.
    case maxData(UInt64)
    case maxStreamData(StreamID, UInt64)
    /// The peer may open this many streams in all.
    case maxStreams(UInt64)
    case resetStream(StreamID, code: UInt64, finalSize: UInt64)
    case stopSending(StreamID, code: UInt64)
    case pathChallenge(UInt64)
    case pathResponse(UInt64)
    case close(code: UInt64, reason: String)
}

package struct AckFrame: Sendable, Equatable {
    /// Newest first, disjoint, descending; closed ranges of packet numbers.
    package var ranges: [ClosedRange<UInt64>]
    /// How long the receiver held the largest back, in microseconds.
    package var delayMicroseconds: UInt64

    package init(ranges: [ClosedRange<UInt64>], delayMicroseconds: UInt64) {
        self.ranges = ranges
        self.delayMicroseconds = delayMicroseconds
    }

    /// As many ranges as a sender may state: enough for a bad burst, small enough to check in microseconds.
    package static let maximumRanges = 32
}

package struct StreamFrame: Sendable, Equatable {
    package var id: StreamID
    package var offset: UInt64
    package var data: ArraySlice<UInt8>
    package var fin: Bool
    /// Remaining time of the call that this stream carries, in microseconds. Only beside offset 0, and written
    /// anew on every transmission: a stale value would lengthen the deadline on a lossy link.
    package var deadlineMicroseconds: UInt64?

    package init(id: StreamID, offset: UInt64, data: ArraySlice<UInt8>, fin: Bool, deadlineMicroseconds: UInt64?) {
        (self.id, self.offset, self.data, self.fin, self.deadlineMicroseconds) = (id, offset, data, fin, deadlineMicroseconds)
    }
}
