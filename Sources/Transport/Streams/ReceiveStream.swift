import MastTimebase

/// Our receiving half: bytes put in order, handed out once, credit given back when the application is done with them.
///
///     released ≤ released + whole ≤ taken ≤ ready ≤ highest ≤ limit
struct ReceiveStream: Sendable {
    /// Out-of-order pieces held at most. A full window of full packets needs under 900; more is hoarding.
    static let maximumPieces = 2_048

    private var ready: [UInt8] = []
    private var pieces: [(offset: UInt64, bytes: ArraySlice<UInt8>)] = []
    /// Next offset to become ready.
    private var nextOffset: UInt64 = 0
    /// Highest offset received: what flow control has charged.
    private(set) var highest: UInt64 = 0
    /// Bytes handed out.
    private(set) var taken: UInt64 = 0
    /// Bytes that the application is done with.
    private(set) var released: UInt64 = 0
    /// Of what was handed out and is not released, bytes of whole messages; and what those take besides.
    private(set) var whole: UInt64 = 0
    private(set) var overhead = 0
    /// Where the message ends that is arriving, once its length is known.
    var expected: UInt64 = 0
    /// Whether the stream waits for its turn to be granted the rest of that message.
    var isInTurns = false
    private(set) var finalSize: UInt64?
    private var finReceived = false
    private(set) var resetCode: UInt64?
    private(set) var finDelivered = false
    private(set) var limit: UInt64
    private let window: UInt64
    private(set) var stopCode: UInt64?
    private(set) var stopPending = false
    private var stopped = false
    /// The peer has been told all it needs to know, and so have we.
    var isDone: Bool { finDelivered || (stopped && (finalSize == nextOffset || resetCode != nil)) }
    var isReadable: Bool { !ready.isEmpty || (finalSize == nextOffset && !finDelivered) || (resetCode != nil && !finDelivered) }
    var limitPending = false

    init(window: UInt64) {
        self.window = window
        limit = window
    }

    /// - Returns: how many bytes beyond the highest so far the frame reached, to charge the connection's window.
    mutating func receive(_ frame: StreamFrame) throws(ProtocolViolation) -> UInt64 {
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

    private mutating func insert(_ data: ArraySlice<UInt8>, at start: UInt64) throws(ProtocolViolation) {
        var data = data
        var offset = start
        if offset < nextOffset {
            let old = nextOffset - offset
            guard old < UInt64(data.count) else { return }
            data = data.dropFirst(Int(old))
            offset = nextOffset
        }
        guard !data.isEmpty else { return }
        if offset == nextOffset {
            append(data)
        } else {
            let index = pieces.firstIndex { $0.offset >= offset } ?? pieces.count
            if index < pieces.count, pieces[index].offset == offset, pieces[index].bytes.count >= data.count { return }
            guard pieces.count < Self.maximumPieces else {
                throw ProtocolViolation(code: .protocolViolation, reason: "too many stream fragments")
            }
            pieces.insert((offset, data), at: index)
            return
        }
        var taken = 0
        while taken < pieces.count, pieces[taken].offset <= nextOffset {
            let piece = pieces[taken]
            let old = nextOffset - piece.offset
            if old < UInt64(piece.bytes.count) { append(piece.bytes.dropFirst(Int(old))) }
            taken += 1
        }
        pieces.removeFirst(taken)
    }

    private mutating func append(_ data: ArraySlice<UInt8>) {
        ready.append(contentsOf: data)
        nextOffset += UInt64(data.count)
    }

    mutating func receiveReset(code: UInt64, finalSize size: UInt64) throws(ProtocolViolation) -> UInt64 {
        guard size >= highest, size <= limit, finalSize == nil || finalSize == size else {
            throw ProtocolViolation(code: .finalSize, reason: "reset with another final size")
        }
        let fresh = size - highest
        finalSize = size
        highest = size
        // Finished and all there: the stream completed before the reset overtook it, and its end counts.
        if resetCode == nil, !finReceived || nextOffset < size || stopped { resetCode = code }
        return fresh
    }

    /// Moves what is ready into `output`. Its credit comes back with `release`.
    mutating func take(into output: inout [UInt8]) -> StreamReadState {
        if let resetCode {
            finDelivered = true
            return .reset(code: resetCode)
        }
        taken += UInt64(ready.count)
        if output.isEmpty { swap(&output, &ready) } else { output.append(contentsOf: ready) }
        ready.removeAll(keepingCapacity: false)
        if finalSize == nextOffset {
            finDelivered = true
            return .finished
        }
        return .open
    }

    /// - Returns: how many bytes of what was handed out were not reported whole before.
    mutating func complete(_ bytes: UInt64, overhead more: Int) -> UInt64 {
        let fresh = min(bytes, taken - released - whole)
        whole += fresh
        overhead += more
        return fresh
    }

    /// The application is done with `bytes` of what was handed out.
    /// - Returns: how many those are, and how many of them were reported whole.
    mutating func release(_ bytes: UInt64, overhead less: Int) -> (bytes: UInt64, whole: UInt64) {
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
    mutating func releaseAll() -> (bytes: UInt64, whole: UInt64) {
        defer { (taken, released, whole, overhead) = (highest, highest, 0, 0) }
        return (highest - released, whole)
    }

    /// A message that arrives is larger than the window: the peer may send it to its end.
    mutating func extendLimit(to end: UInt64) {
        guard end > limit, finalSize == nil, !stopped else { return }
        limit = end
        limitPending = true
    }

    /// Bytes still to come of the message that arrives.
    var missing: UInt64 { isOver ? 0 : expected - min(expected, highest) }
    private var isOver: Bool { stopped || resetCode != nil || finalSize != nil }

    /// Bytes held or handed out that the application no longer wants; asks the peer to stop.
    mutating func stop(code: UInt64) {
        guard stopCode == nil, resetCode == nil, finalSize == nil || finalSize != nextOffset else {
            // All there, or reset: nobody will come for the news.
            finDelivered = finDelivered || resetCode != nil || finalSize == nextOffset
            ready = []
            return
        }
        stopCode = code
        stopPending = true
        stopped = true
        ready = []
        pieces = []
        nextOffset = highest
        taken = highest
    }
    var isStopped: Bool { stopped }

    mutating func takeStop() -> UInt64? {
        guard stopPending else { return nil }
        stopPending = false
        return stopCode
    }

    /// The peer cancelled before the application ever heard of the stream.
    mutating func abandon() { finDelivered = true }

    mutating func onStopLost() { if !isDone, stopCode != nil { stopPending = true } }
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
