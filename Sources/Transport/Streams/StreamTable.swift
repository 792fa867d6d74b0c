import Collections
import MastTimebase

/// All streams of one connection, both windows, and whose turn it is to send.
///
/// `@unchecked Sendable` is proved by ownership: the table cannot be copied, and its streams are handed to nobody.
package struct StreamTable: ~Copyable, @unchecked Sendable {
    let isInitiator: Bool
    let streamWindow: UInt64
    let mostStreamWindow: UInt64
    let streamLimit: UInt64
    /// What a stream may have accepted and not seen acknowledged, bytes: its owner raises it with the congestion window.
    package var sendBuffer = SendStream.bufferLimit
    /// Unacknowledged bytes of all streams above which none is given more than the least: half of what holds back a peer's next calls.
    private static let mostAhead = 16 << 20
    private(set) var ours = StreamStore()
    private(set) var theirs = StreamStore()
    /// Streams that can send as far as the connection's credit is concerned, in turn; and those that wait for it.
    var sendQueue = SendQueue<Stream>()
    var creditQueue: Deque<Stream> = []
    /// Streams with a credit, reset or stop frame to send.
    var controlQueue: Deque<Stream> = []

    // What the peer allows us.
    var peerStreamWindow: UInt64 = 0
    var peerMaxStreams: UInt64 = 0
    var peerMaxData: UInt64 = 0
    var dataSent: UInt64 = 0
    var nextIndex: UInt64 = 0
    var openerWaits = false
    var outgoing = SendTurns()

    // What we allow the peer.
    package internal(set) var incoming: ReceiveWindow
    /// What held messages take besides their bytes; and what pieces of messages do that wait for what is before them.
    var overhead = 0
    var piecesOverhead = 0
    var invariants: Invariants
    /// What we got wrong, if anything: the connection must end.
    package var breach: String? { invariants.breach }
    /// Streams with a message that is not whole yet, in the order in which they are granted the rest of it; each once.
    var turns: Deque<Stream> = []
    /// Bytes that were not sent, or not again, because their stream's deadline had passed.
    package internal(set) var expiredBytes: UInt64 = 0
    /// Bytes of streams copied in memory so far: into packets, and out of them until they are taken.
    package internal(set) var copied: (out: UInt64, in: UInt64) = (0, 0)
    /// The stream to which the last new bytes came: whom to ask when too much is held.
    package internal(set) var lastGrown: StreamID?
    package internal(set) var maxStreams: UInt64
    var peerNextIndex: UInt64 = 0
    /// Indexes below `peerNextIndex` whose streams are open only because a higher one was opened: numbers, and no
    /// more, until a frame of their own comes. `streamLimit` bounds how many, and so the ranges.
    var implicit = RangeSet64()
    private var peerStreamsDone: UInt64 = 0
    package var maxStreamsPending = false

    package init(isInitiator: Bool, configuration: TransportConfiguration) {
        self.isInitiator = isInitiator
        streamWindow = configuration.streamWindow
        mostStreamWindow = max(configuration.streamWindow, configuration.maximumStreamWindow)
        streamLimit = configuration.maximumStreams
        incoming = ReceiveWindow(
            window: configuration.connectionWindow, most: configuration.maximumConnectionWindow, shelf: configuration.shelfWindow, assembly: configuration.assemblyWindow)
        maxStreams = configuration.maximumStreams
        invariants = Invariants(stops: configuration.stopsAtOwnFaults)
    }

    package mutating func apply(_ parameters: TransportParameters) {
        peerStreamWindow = parameters.maxStreamData
        peerMaxStreams = parameters.maxStreams
        peerMaxData = parameters.maxData
        outgoing.beside = parameters.maxData / SendTurns.besideShare
    }

    package var count: Int { ours.count + theirs.count }
    /// What a stream takes, and a call on it, beside its bytes: measured at 0.5 and 0.6 kB.
    package static let streamOverhead = 1_024
    /// Bytes that the peer makes us hold: what it sent and nobody is done with, and what goes with that.
    package var held: Int { Int(clamping: incoming.held) + overhead + piecesOverhead + count * Self.streamOverhead }
    /// Bytes of ours that the peer has not acknowledged.
    package private(set) var unacknowledged = 0
    package var isAtEase: Bool {
        get { incoming.isAtEase }
        set { incoming.isAtEase = newValue }
    }
    func isOurs(_ id: StreamID) -> Bool { id.openedByInitiator == isInitiator }
    package var connectionCredit: UInt64 { peerMaxData - min(peerMaxData, dataSent) }

    func find(_ id: StreamID) -> Stream? { isOurs(id) ? ours[id] : theirs[id] }

    // MARK: the application's side

    package mutating func open(deadline: Instant?, urgency: Urgency = .standard) -> StreamID? {
        guard nextIndex < peerMaxStreams else {
            openerWaits = true
            return nil
        }
        let id = StreamID(index: nextIndex, openedByInitiator: isInitiator)
        nextIndex += 1
        ours.insert(
            Stream(
                id, urgency: urgency, send: SendStream(limit: peerStreamWindow, deadline: deadline), receive: ReceiveStream(window: streamWindow),
                announced: true))
        return id
    }

    mutating func accept(_ id: StreamID) -> Stream {
        let stream = Stream(
            id, urgency: .standard, send: SendStream(limit: peerStreamWindow, deadline: nil), receive: ReceiveStream(window: streamWindow),
            announced: false)
        theirs.insert(stream)
        return stream
    }

    package mutating func write(_ id: StreamID, _ bytes: ArraySlice<UInt8>, fin: Bool) -> Int {
        guard let stream = find(id) else { return 0 }
        // Beside others that have much under way a stream gets little: a peer that acknowledges nothing of a thousand answers holds no
        // more than a few large ones would take.
        let limit = unacknowledged < Self.mostAhead ? sendBuffer : SendStream.leastBuffered
        let accepted = stream.send.write(bytes, fin: fin, limit: limit)
        unacknowledged += accepted
        requestTurn(stream)
        enqueue(stream)
        return accepted
    }

    /// Moves out what has arrived; `release` gives its credit back.
    package mutating func take(_ id: StreamID, into output: inout [UInt8]) -> StreamReadState {
        guard let stream = find(id) else { return .reset(code: 0) }
        let before = output.count
        let state = changing(stream) { $0.take(into: &output) }
        if before > 0 { copied.in += UInt64(output.count - before) }
        if case .reset = state { releaseAll(stream) }
        retireIfDone(stream)
        return state
    }

    /// Of what was taken, `bytes` are a whole message whose consumer has not come; it takes `overhead` besides.
    package mutating func complete(_ id: StreamID, _ bytes: Int, overhead more: Int) {
        guard let stream = find(id) else { return }
        let fresh = stream.receive.complete(UInt64(max(0, bytes)), overhead: more)
        overhead += more
        incoming.complete(fresh)
        serveTurns()
    }

    /// The application is done with `bytes` of what it took.
    package mutating func release(_ id: StreamID, _ bytes: Int, overhead less: Int) {
        guard let stream = find(id) else { return }
        let before = stream.receive.overhead
        let done = stream.receive.release(UInt64(max(0, bytes)), overhead: less)
        overhead -= min(less, before)
        giveBack(done)
        if stream.receive.limitPending { enqueueControl(stream) }
        serveTurns()
    }

    mutating func releaseAll(_ stream: Stream) {
        let before = stream.receive.overhead
        let done = stream.receive.releaseAll()
        overhead -= before
        giveBack(done)
        serveTurns()
    }

    private mutating func giveBack(_ done: (bytes: UInt64, whole: UInt64)) {
        invariants.check(done.bytes <= incoming.held && done.whole <= incoming.whole, "more is given back than is held")
        incoming.release(done.bytes, whole: done.whole)
    }

    package mutating func reset(_ id: StreamID, code: UInt64, at now: Instant? = nil) {
        guard let stream = find(id) else { return }
        let waiting = stream.send.waiting
        guard resetSending(stream, code: code) else { return }
        if let now, let deadline = stream.send.deadline, deadline <= now { expiredBytes += waiting }
        enqueueControl(stream)
        retireIfDone(stream)
    }

    /// `bytes` of ours are acknowledged, or given up.
    mutating func settle(_ bytes: Int) {
        unacknowledged -= bytes
        if !invariants.check(unacknowledged >= 0 && bytes >= 0, "more is acknowledged than was written") { unacknowledged = 0 }
    }

    mutating func resetSending(_ stream: Stream, code: UInt64) -> Bool {
        let before = stream.send.buffered
        guard stream.send.reset(code: code) else { return false }
        settle(before)
        withdrawTurn(stream)
        return true
    }

    package mutating func stopSending(_ id: StreamID, code: UInt64) {
        guard let stream = find(id) else { return }
        changing(stream) { $0.stop(code: code) }
        // Nobody hears of it any more, if nobody has.
        stream.announced = true
        releaseAll(stream)
        if stream.receive.stopPending { enqueueControl(stream) }
        retireIfDone(stream)
    }

    /// A change of what a stream has received: what its pieces take is counted with it.
    mutating func changing<Result, Failure>(
        _ stream: Stream, _ change: (inout ReceiveStream) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        piecesOverhead -= stream.receive.piecesOverhead
        defer { piecesOverhead += stream.receive.piecesOverhead }
        return try change(&stream.receive)
    }

    mutating func retireIfDone(_ stream: Stream) {
        guard stream.receive.isDone, stream.send.isDone, !stream.isRetired else { return }
        releaseAll(stream)
        withdrawTurn(stream)
        settle(stream.send.buffered)
        piecesOverhead -= stream.receive.piecesOverhead
        stream.isRetired = true
        if isOurs(stream.id) { ours.remove(stream.id) } else { theirs.remove(stream.id) }
        if count == 0 {
            invariants.check(
                incoming.held == 0 && overhead == 0 && piecesOverhead == 0 && unacknowledged == 0 && outgoing.committed == 0,
                "something is held for streams that are over")
        }
        guard !isOurs(stream.id) else { return }
        peerStreamsDone += 1
        // Renew in steps of a quarter, so that credit frames are few.
        if peerStreamsDone + streamLimit - maxStreams >= max(1, streamLimit / 4) {
            maxStreams = peerStreamsDone + streamLimit
            maxStreamsPending = true
        }
    }

    /// Gives back what only saves time.
    package mutating func rest() {
        sendQueue.rest()
        creditQueue.giveBackRoom()
        controlQueue.giveBackRoom()
        turns.giveBackRoom()
        ours.rest()
        theirs.rest()
    }

    /// In order of their numbers, so that one seed gives one run. Walks all streams: to be called now and then.
    package mutating func stalled(for limit: Interval, at now: Instant) -> [StreamID] {
        guard unacknowledged > 0 else { return [] }
        var stalled: [StreamID] = []
        for store in [ours, theirs] {
            for stream in store.streams {
                if let since = stream.send.stalledSince(at: now), now - since >= limit { stalled.append(stream.id) }
            }
        }
        return stalled.sorted()
    }
}
