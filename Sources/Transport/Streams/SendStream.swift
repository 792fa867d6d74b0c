import MastTimebase

/// Our sending half of a stream: bytes kept from acceptance until acknowledged, first sent in order, then
/// repaired range by range.
///
///     open ── finish ──▶ finishing ── all acknowledged ──▶ done
///       └──── reset ───▶ resetting ── reset acknowledged ─▶ done
package struct SendStream: Sendable {
    /// Bytes accepted and not yet acknowledged, unless more can be under way: one bandwidth-delay product of 40 Mbit/s × 200 ms.
    package static let bufferLimit = 1 << 20
    /// Beside streams that have much under way: a message or a few.
    package static let leastBuffered = 64 << 10
    /// And at most: eight of the first.
    package static let mostBuffered = 8 << 20
    /// What this stream was allowed when it was last written to.
    private var allowed = Self.bufferLimit

    private var buffer = SendBuffer()
    private var acknowledged = RangeSet64()
    private var lost = RangeSet64()
    private var nextOffset: UInt64 = 0
    private var finalSize: UInt64?
    private var finSent = false
    private var finEverSent = false
    private var finAcknowledged = false
    package private(set) var resetCode: UInt64?
    private var resetPending = false
    private var resetAcknowledged = false
    package var limit: UInt64
    /// After it nothing of the stream is sent, nor sent again.
    package var deadline: Instant?
    /// What a stream is reset with at its deadline.
    package static let expiredCode: UInt64 = 4
    /// The writer was refused bytes and waits to hear of room.
    package private(set) var writerWaits = false
    /// Where what the writer has in hand ends, though the buffer may not have taken all of it yet.
    package private(set) var promised: UInt64 = 0
    /// Whether new bytes may be sent while connection credit is short (`SendTurns`).
    package var turn = SendTurns.Turn.free
    /// How far acknowledgements had come when that was last looked at, and since when.
    private var progress: (offset: UInt64, since: Instant)?

    package init(limit: UInt64, deadline: Instant?) {
        self.limit = limit
        self.deadline = deadline
    }

    private var end: UInt64 { buffer.end }
    package var isDone: Bool { resetAcknowledged || (finAcknowledged && acknowledgedUpTo >= (finalSize ?? .max)) }
    private var acknowledgedUpTo: UInt64 { acknowledged.first.map { $0.lowerBound == 0 ? $0.upperBound : 0 } ?? 0 }
    /// Bytes kept.
    package var buffered: Int { buffer.count }
    package var turnLeft: UInt64 { if case .until(let end) = turn { end - min(end, nextOffset) } else { 0 } }
    private var isFinished: Bool { finalSize != nil || resetCode != nil }
    package var hasUnsentReset: Bool { resetPending }
    /// Whether little is left of what the writer has in hand, what is under way included.
    package var isSmall: Bool { promised - min(promised, buffer.base) <= SendTurns.small }
    /// Bytes that wait to be sent, or sent again.
    package var waiting: UInt64 {
        guard resetCode == nil else { return 0 }
        return lost.ranges.reduce(end - nextOffset) { $0 + UInt64($1.count) }
    }
    /// First offset never sent: what flow control has charged so far.
    package var sentOffset: UInt64 { nextOffset }
    /// New bytes end here for now.
    private var freshLimit: UInt64 {
        switch turn {
        case .free: min(limit, end)
        case .waiting: nextOffset
        case .until(let turnEnd): min(limit, end, turnEnd)
        }
    }

    /// Accepts as many bytes as the buffer has room for; `fin` counts only if all were accepted.
    package mutating func write(_ bytes: ArraySlice<UInt8>, fin: Bool, limit: Int = Self.bufferLimit) -> Int {
        guard !isFinished else { return 0 }
        allowed = limit
        promised = end + UInt64(bytes.count)
        let room = max(0, limit - buffer.count)
        let accepted = min(room, bytes.count)
        buffer.append(bytes.prefix(accepted))
        if accepted == bytes.count {
            if fin { finalSize = end }
        } else {
            writerWaits = true
        }
        return accepted
    }

    /// Whether a waiting writer should be told of room (at least half the buffer), once.
    package mutating func takeWritable() -> Bool {
        guard writerWaits, resetCode == nil, buffer.count <= allowed / 2 else { return false }
        writerWaits = false
        return true
    }

    /// Abandons the stream: nothing more of it is sent but the reset. False if it is over already.
    package mutating func reset(code: UInt64) -> Bool {
        guard resetCode == nil, !isDone else { return false }
        resetCode = code
        resetPending = true
        buffer.removeAll(at: nextOffset)
        lost = RangeSet64()
        return true
    }

    /// Whether a stream frame could be sent, given `credit` bytes of connection flow control.
    package func hasSendable(credit: UInt64) -> Bool {
        if resetCode != nil { return resetPending }
        if !lost.isEmpty { return true }
        if nextOffset < end { return nextOffset < freshLimit && credit > 0 }
        return finalSize != nil && !finSent
    }

    package struct Chunk {
        package var range: Range<UInt64>
        package var fin: Bool
        /// Bytes never sent before, charged to connection flow control.
        package var fresh: UInt64
        /// Whether any of it was sent before.
        package var isRepair: Bool
    }

    /// The next piece of at most `room` bytes: lost ranges first, then new bytes within both limits.
    package mutating func nextChunk(room: Int, credit: UInt64) -> Chunk? {
        guard resetCode == nil, room >= 0 else { return nil }
        if let range = lost.first {
            let upper = min(range.upperBound, range.lowerBound + UInt64(room))
            // An empty lost range cannot exist; a lone lost FIN is kept by `finSent`.
            guard upper > range.lowerBound else { return nil }
            lost.remove(range.lowerBound..<upper)
            return chunk(range.lowerBound..<upper, fresh: 0, isRepair: true)
        }
        let upper = min(freshLimit, nextOffset + UInt64(room), nextOffset + credit)
        if upper > nextOffset {
            let range = nextOffset..<upper
            nextOffset = upper
            return chunk(range, fresh: UInt64(range.count), isRepair: false)
        }
        if finalSize == nextOffset, !finSent { return chunk(nextOffset..<nextOffset, fresh: 0, isRepair: finEverSent) }
        return nil
    }

    private mutating func chunk(_ range: Range<UInt64>, fresh: UInt64, isRepair: Bool) -> Chunk {
        let fin = range.upperBound == finalSize
        if fin {
            finSent = true
            finEverSent = true
        }
        return Chunk(range: range, fin: fin, fresh: fresh, isRepair: isRepair)
    }

    /// Appends a chunk's bytes to a packet.
    package func copy(_ chunk: Chunk, into writer: inout ByteWriter) { buffer.copy(chunk.range, into: &writer) }

    package mutating func takeReset() -> (code: UInt64, finalSize: UInt64)? {
        guard resetPending, let resetCode else { return nil }
        resetPending = false
        return (resetCode, nextOffset)
    }

    package mutating func onAcknowledged(_ range: Range<UInt64>, fin: Bool) {
        guard resetCode == nil else { return }
        acknowledged.insert(range)
        lost.remove(range)
        if fin {
            finAcknowledged = true
            // Perhaps it was called lost before: it need not go again.
            finSent = true
        }
        buffer.discard(below: acknowledgedUpTo)
    }

    package mutating func onLost(_ range: Range<UInt64>, fin: Bool) {
        guard resetCode == nil else { return }
        if !range.isEmpty {
            var missing = RangeSet64()
            let lower = max(range.lowerBound, buffer.base)
            missing.insert(lower..<max(range.upperBound, lower))
            for acked in acknowledged.ranges { missing.remove(acked) }
            for piece in missing.ranges { lost.insert(piece) }
        }
        if fin, !finAcknowledged { finSent = false }
    }

    /// Since when bytes have waited here without any of them being acknowledged; nil when there are none.
    package mutating func stalledSince(at now: Instant) -> Instant? {
        guard resetCode == nil, !buffer.isEmpty else { return nil }
        let offset = acknowledgedUpTo
        if let progress, progress.offset == offset { return progress.since }
        progress = (offset, now)
        return now
    }

    package mutating func onResetLost() { if !resetAcknowledged, resetCode != nil { resetPending = true } }
    package mutating func onResetAcknowledged() { if resetCode != nil { resetAcknowledged = true } }

    /// The oldest unacknowledged range again, for a probe: call data rather than a bare ping.
    package mutating func markOldestLost() -> Bool {
        guard resetCode == nil else {
            if !resetAcknowledged { resetPending = true }
            return !resetAcknowledged
        }
        let from = max(acknowledgedUpTo, buffer.base)
        if from < nextOffset {
            onLost(from..<min(nextOffset, from + 1_000), fin: false)
            if from + 1_000 >= nextOffset, finSent { finSent = finAcknowledged }
            return !lost.isEmpty
        }
        if finSent, !finAcknowledged {
            finSent = false
            return true
        }
        return false
    }
}
