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
    /// Whose numbers these are.
    package var path: UInt32
    /// Newest first, disjoint, descending; closed ranges of packet numbers.
    package var ranges: ShortArray<ClosedRange<UInt64>>
    /// How long the receiver held the largest back, in microseconds.
    package var delayMicroseconds: UInt64
    /// Nil when the receiver cannot read marks, or none came.
    package var marks: ECNCounts?
    /// When some of the acknowledged packets came, newest first.
    package var timestamps: ShortArray<ReceiveTimestamp>

    package init(
        path: UInt32 = 0, ranges: ShortArray<ClosedRange<UInt64>>, delayMicroseconds: UInt64, marks: ECNCounts? = nil, timestamps: ShortArray<ReceiveTimestamp> = []
    ) {
        self.path = path
        self.ranges = ranges
        self.delayMicroseconds = delayMicroseconds
        self.marks = marks
        self.timestamps = timestamps
    }

    package init(
        path: UInt32 = 0, ranges: [ClosedRange<UInt64>], delayMicroseconds: UInt64, marks: ECNCounts? = nil, timestamps: ShortArray<ReceiveTimestamp> = []
    ) {
        self.init(path: path, ranges: ShortArray(ranges), delayMicroseconds: delayMicroseconds, marks: marks, timestamps: timestamps)
    }

    /// As many ranges as a sender may state: enough for a bad burst, small enough to check in microseconds.
    package static let maximumRanges = 32
    /// Receive times in one acknowledgement: a quarter of a full datagram.
    package static let maximumTimestamps = 64
}

/// Datagrams of a path that came with each ECN codepoint so far (RFC 9000 section 19.3.2).
package struct ECNCounts: Sendable, Equatable {
    package var ect0: UInt64
    package var ect1: UInt64
    package var ce: UInt64

    package init(ect0: UInt64 = 0, ect1: UInt64 = 0, ce: UInt64 = 0) { (self.ect0, self.ect1, self.ce) = (ect0, ect1, ce) }
}

/// When a packet came, by the receiver's clock (draft-ietf-quic-receive-ts): only differences mean anything.
package struct ReceiveTimestamp: Sendable, Equatable {
    package var number: UInt64
    /// In steps of 128 µs since a time of the receiver's choice.
    package var steps: UInt64

    package static let stepMicroseconds: Int64 = 128

    package init(number: UInt64, steps: UInt64) { (self.number, self.steps) = (number, steps) }
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
