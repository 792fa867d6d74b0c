import MastTimebase

/// Our receiving half: bytes put in order, handed out once, credit given back when the application is done with them.
///
///     released ≤ released + whole ≤ taken ≤ ready ≤ highest ≤ limit
package struct ReceiveStream: Sendable {
    /// Pieces held at most: one more than there are gaps. The largest window, of full packets of which every other is lost, has 7,000.
    package static let maximumPieces = 8_192
    /// What a piece takes beside its bytes: a place in the list, and an allocation.
    package static let pieceOverhead = 64

    private var ready: [UInt8] = []
    /// What stands in `ready` is the beginning of a message that ends here: it is nobody's before that, and what comes is put where
    /// the message will be read. 0 for none.
    private var readableFrom: UInt64 = 0
    /// What came beyond that end.
    private var later: [UInt8] = []
    /// Memory taken for the rest of that message, bytes.
    private var reserved = 0
    /// What waits for bytes before it: ascending, disjoint, and in memory of its own, so that a byte holds no packet.
    private var pieces: [(offset: UInt64, bytes: [UInt8])] = []
    /// Next offset to become ready.
    private var nextOffset: UInt64 = 0
    /// Highest offset received: what flow control has charged.
    package private(set) var highest: UInt64 = 0
    /// Bytes handed out.
    package private(set) var taken: UInt64 = 0
    /// Bytes that the application is done with.
    package private(set) var released: UInt64 = 0
    /// Of what was handed out and is not released, bytes of whole messages; and what those take besides.
    package private(set) var whole: UInt64 = 0
    package private(set) var overhead = 0
    /// Where the message ends that is arriving, once its length is known.
    package var expected: UInt64 = 0
    /// Whether the stream waits for its turn to be granted the rest of that message.
    var isInTurns = false
    package private(set) var finalSize: UInt64?
    private var finReceived = false
    package private(set) var resetCode: UInt64?
    package private(set) var finDelivered = false
    package private(set) var limit: UInt64
    package private(set) var window: UInt64
    private var growth = WindowGrowth()
    package private(set) var stopCode: UInt64?
    package private(set) var stopPending = false
    private var stopped = false
    /// The peer has been told all it needs to know, and so have we.
    package var isDone: Bool { finDelivered || (stopped && (finalSize == nextOffset || resetCode != nil)) }
    package var isReadable: Bool { (!ready.isEmpty && isWhole) || (finalSize == nextOffset && !finDelivered) || (resetCode != nil && !finDelivered) }
    package var limitPending = false
    private var isWhole: Bool { nextOffset >= readableFrom }

    package init(window: UInt64) {
        self.window = window
        limit = window
    }

    /// - Returns: how many bytes beyond the highest so far the frame reached, to charge the connection's window.
    package mutating func receive(_ frame: StreamFrame) throws(ProtocolViolation) -> UInt64 {
        let end = frame.offset + UInt64(frame.data.count)
        guard end <= limit else { throw ProtocolViolation(code: .flowControl, reason: "stream data beyond its limit") }
        if let finalSize, end > finalSize || (frame.fin && end != finalSize) {
            throw ProtocolViolation(code: .finalSize, reason: "stream data beyond its end")
        }
        if frame.fin {
            guard end >= highest else { throw ProtocolViolation(code: .finalSize, reason: "stream ends before data received") }
            finalSize = end
            finReceived = true
        }
        let fresh = end > highest ? end - highest : 0
        highest = max(highest, end)
        guard resetCode == nil else { return fresh }
        if stopped {
            nextOffset = max(nextOffset, end)
            return fresh
        }
        try insert(frame.data, at: frame.offset)
        return fresh
    }

    /// A sender who fills the window, and a reader who keeps up, get a larger one.
    package mutating func grow(to most: UInt64, _ clock: WindowGrowth.Clock) {
        guard window < most, finalSize == nil, !stopped else { return }
        let larger = growth.window(window, most: most, received: highest, held: highest - released, clock)
        guard larger > window else { return }
        window = larger
        if released + window > limit { extendLimit(to: released + window) }
    }

    private mutating func insert(_ data: ArraySlice<UInt8>, at start: UInt64) throws(ProtocolViolation) {
        let end = start + UInt64(data.count)
        guard end > nextOffset else { return }
        guard start <= nextOffset else { return try keep(data, from: start, to: end) }
        append(data.dropFirst(Int(nextOffset - start)))
        var joined = 0
        while joined < pieces.count, pieces[joined].offset <= nextOffset {
            let piece = pieces[joined]
            let old = nextOffset - piece.offset
            if old < UInt64(piece.bytes.count) { append(piece.bytes[Int(old)...]) }
            joined += 1
        }
        pieces.removeFirst(joined)
    }

    /// Keeps what no piece has: the same bytes in ever other cuts are held once.
    private mutating func keep(_ data: ArraySlice<UInt8>, from start: UInt64, to end: UInt64) throws(ProtocolViolation) {
        var from = start
        var index = pieceIndex(endingAfter: start)
        while from < end {
            if index < pieces.count, pieces[index].offset <= from {
                from = max(from, pieceEnd(index))
                index += 1
                continue
            }
            let upper = index < pieces.count ? min(end, pieces[index].offset) : end
            let new = data[(data.startIndex + Int(from - start))..<(data.startIndex + Int(upper - start))]
            if index > 0, pieceEnd(index - 1) == from {
                // What follows without a gap makes no piece of its own: a large window behind one loss is one piece.
                pieces[index - 1].bytes.append(contentsOf: new)
            } else {
                guard pieces.count < Self.maximumPieces else {
                    throw ProtocolViolation(code: .protocolViolation, reason: "too many stream fragments")
                }
                pieces.insert((from, Array(new)), at: index)
                index += 1
            }
            from = upper
        }
    }

    private func pieceEnd(_ index: Int) -> UInt64 { pieces[index].offset + UInt64(pieces[index].bytes.count) }

    /// Of the first piece that ends after `offset`.
    private func pieceIndex(endingAfter offset: UInt64) -> Int { firstIndex(of: pieces.count) { pieceEnd($0) <= offset } }

    /// What the pieces take beside their bytes, and what is kept free for a message.
    package var piecesOverhead: Int { pieces.count * Self.pieceOverhead + reserved }

    private mutating func append(_ data: ArraySlice<UInt8>) {
        if readableFrom == 0 {
            ready.append(contentsOf: data)
        } else {
            let ofMessage = readableFrom - min(readableFrom, nextOffset)
            ready.append(contentsOf: data.prefix(Int(clamping: ofMessage)))
            later.append(contentsOf: data.dropFirst(Int(clamping: ofMessage)))
        }
        nextOffset += UInt64(data.count)
    }

    package mutating func receiveReset(code: UInt64, finalSize size: UInt64) throws(ProtocolViolation) -> UInt64 {
        guard size >= highest, finalSize == nil || finalSize == size else {
            throw ProtocolViolation(code: .finalSize, reason: "reset with another final size")
        }
        // RFC 9000 section 4.5: the bytes that will never come count like those that came.
        guard size <= limit else { throw ProtocolViolation(code: .flowControl, reason: "reset beyond the stream's limit") }
        let fresh = size - highest
        finalSize = size
        highest = size
        // Finished and all there: the stream completed before the reset overtook it, and its end counts.
        if resetCode == nil, !finReceived || nextOffset < size || stopped {
            resetCode = code
            // Nobody will read it, and nobody knows when somebody asks.
            forget()
        }
        return fresh
    }

    /// Moves what is ready into `output`. Its credit comes back with `release`.
    package mutating func take(into output: inout [UInt8]) -> StreamReadState {
        if let resetCode {
            finDelivered = true
            return .reset(code: resetCode)
        }
        guard isWhole || finalSize == nextOffset else { return .open }
        taken += UInt64(ready.count)
        if output.isEmpty { swap(&output, &ready) } else { output.append(contentsOf: ready) }
        (ready, later, readableFrom, reserved) = (later, [], 0, 0)
        if finalSize == nextOffset, ready.isEmpty {
            finDelivered = true
            return .finished
        }
        return .open
    }

    /// What `take` gave last is the beginning of a message of which `missing` bytes are still to come: it comes back when all is there.
    package mutating func putBack(_ bytes: inout [UInt8], missing: Int) {
        guard resetCode == nil, !stopped, ready.isEmpty, missing > 0, UInt64(bytes.count) <= taken - released - whole else { return }
        taken -= UInt64(bytes.count)
        readableFrom = nextOffset + UInt64(missing)
        reserved = missing
        bytes.reserveCapacity(bytes.count + missing)
        swap(&ready, &bytes)
    }

    private mutating func forget() { (ready, later, pieces, readableFrom, reserved) = ([], [], [], 0, 0) }

    /// - Returns: how many bytes of what was handed out were not reported whole before.
    package mutating func complete(_ bytes: UInt64, overhead more: Int) -> UInt64 {
        let fresh = min(bytes, taken - released - whole)
        whole += fresh
        overhead += more
        return fresh
    }

    /// The application is done with `bytes` of what was handed out.
    /// - Returns: how many those are, and how many of them were reported whole.
    package mutating func release(_ bytes: UInt64, overhead less: Int) -> (bytes: UInt64, whole: UInt64) {
        let bytes = min(bytes, taken - released)
        let fromWhole = min(bytes, whole)
        whole -= fromWhole
        released += bytes
        overhead -= min(less, overhead)
        // Half a window read: worth a frame (as most QUIC stacks do).
        if finalSize == nil, !stopped, released + window >= limit + window / 2 {
            limit = released + window
            limitPending = true
        }
        return (bytes, fromWhole)
    }

    /// Nobody will ask for any of it any more.
    package mutating func releaseAll() -> (bytes: UInt64, whole: UInt64) {
        defer { (taken, released, whole, overhead) = (highest, highest, 0, 0) }
        return (highest - released, whole)
    }

    /// A message that arrives is larger than the window: the peer may send it to its end.
    package mutating func extendLimit(to end: UInt64) {
        guard end > limit, finalSize == nil, !stopped else { return }
        limit = end
        limitPending = true
    }

    /// Bytes still to come of the message that arrives.
    package var missing: UInt64 { isOver ? 0 : expected - min(expected, highest) }
    private var isOver: Bool { stopped || resetCode != nil || finalSize != nil }

    /// Bytes held or handed out that the application no longer wants; asks the peer to stop.
    package mutating func stop(code: UInt64) {
        guard stopCode == nil, resetCode == nil, finalSize == nil || finalSize != nextOffset else {
            // All there, or reset: nobody will come for the news.
            finDelivered = finDelivered || resetCode != nil || finalSize == nextOffset
            forget()
            return
        }
        stopCode = code
        stopPending = true
        stopped = true
        forget()
        nextOffset = highest
        taken = highest
    }
    package var isStopped: Bool { stopped }

    package mutating func takeStop() -> UInt64? {
        guard stopPending else { return nil }
        stopPending = false
        return stopCode
    }

    /// The peer cancelled before the application ever heard of the stream.
    package mutating func abandon() { finDelivered = true }

    package mutating func onStopLost() { if !isDone, stopCode != nil { stopPending = true } }
}

/// What a read found.
package enum StreamReadState: Sendable, Equatable {
    /// More may come.
    case open
    /// The peer finished; these were the last bytes.
    case finished
    /// The peer abandoned the stream with this application code.
    case reset(code: UInt64)
}
