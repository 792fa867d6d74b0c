import Collections
import MastTimebase

/// All streams of one connection, both windows, and whose turn it is to send.
///
/// `@unchecked Sendable` is proved by ownership: the table cannot be copied, and its streams are handed to nobody.
package struct StreamTable: ~Copyable, @unchecked Sendable {
    /// A class to stay in place: each packet touches a stream several times.
    private final class Stream {
        var send: SendStream
        var receive: ReceiveStream
        /// The peer opened it and the application has been told.
        var announced: Bool
        /// The peer stopped it before its first bytes came.
        var stopBefore: UInt64?
        /// Whether its number stands in `sendQueue`, and in `controlQueue`: in each once at most.
        var queued = false
        var controlQueued = false

        init(send: SendStream, receive: ReceiveStream, announced: Bool) {
            (self.send, self.receive, self.announced) = (send, receive, announced)
        }
    }

    private let isInitiator: Bool
    private let streamWindow: UInt64
    private let streamLimit: UInt64
    private var streams: [StreamID: Stream] = [:]  // lookup only
    private var sendQueue: Deque<StreamID> = []

    // What the peer allows us.
    private var peerStreamWindow: UInt64 = 0
    private var peerMaxStreams: UInt64 = 0
    private var peerMaxData: UInt64 = 0
    private var dataSent: UInt64 = 0
    private var nextIndex: UInt64 = 0
    private var openerWaits = false
    private var outgoing = SendTurns()

    // What we allow the peer.
    package private(set) var incoming: ReceiveWindow
    /// What held messages take besides their bytes; and what pieces of messages do that wait for what is before them.
    private var overhead = 0
    private var piecesOverhead = 0
    private var invariants: Invariants
    /// What we got wrong, if anything: the connection must end.
    package var breach: String? { invariants.breach }
    /// Streams with a message that is not whole yet, in the order in which they are granted the rest of it; each once.
    private var turns: Deque<StreamID> = []
    /// The stream to which the last new bytes came: whom to ask when too much is held.
    package private(set) var lastGrown: StreamID?
    package private(set) var maxStreams: UInt64
    private var peerNextIndex: UInt64 = 0
    /// Indexes below `peerNextIndex` whose streams are open only because a higher one was opened: numbers, and no
    /// more, until a frame of their own comes. `streamLimit` bounds how many, and so the ranges.
    private var implicit = RangeSet64()
    private var peerStreamsDone: UInt64 = 0
    package var maxStreamsPending = false
    /// Streams with a credit, reset or stop frame to send.
    private var controlQueue: Deque<StreamID> = []

    package init(isInitiator: Bool, configuration: TransportConfiguration) {
        self.isInitiator = isInitiator
        streamWindow = configuration.streamWindow
        streamLimit = configuration.maximumStreams
        incoming = ReceiveWindow(
            window: configuration.connectionWindow, shelf: configuration.shelfWindow, assembly: configuration.assemblyWindow)
        maxStreams = configuration.maximumStreams
        invariants = Invariants(stops: configuration.stopsAtOwnFaults)
    }

    package mutating func apply(_ parameters: TransportParameters) {
        peerStreamWindow = parameters.maxStreamData
        peerMaxStreams = parameters.maxStreams
        peerMaxData = parameters.maxData
        outgoing.beside = parameters.maxData / SendTurns.besideShare
    }

    package var count: Int { streams.count }
    /// What a stream takes, and a call on it, beside its bytes: measured at 0.5 and 0.6 kB.
    package static let streamOverhead = 1_024
    /// Bytes that the peer makes us hold: what it sent and nobody is done with, and what goes with that.
    package var held: Int { Int(clamping: incoming.held) + overhead + piecesOverhead + streams.count * Self.streamOverhead }
    /// Bytes of ours that the peer has not acknowledged.
    package private(set) var unacknowledged = 0
    package var isAtEase: Bool {
        get { incoming.isAtEase }
        set { incoming.isAtEase = newValue }
    }
    private func isOurs(_ id: StreamID) -> Bool { id.openedByInitiator == isInitiator }
    package var connectionCredit: UInt64 { peerMaxData - min(peerMaxData, dataSent) }

    // MARK: the application's side

    package mutating func open(deadline: Instant?) -> StreamID? {
        guard nextIndex < peerMaxStreams else {
            openerWaits = true
            return nil
        }
        let id = StreamID(index: nextIndex, openedByInitiator: isInitiator)
        nextIndex += 1
        streams[id] = Stream(
            send: SendStream(limit: peerStreamWindow, deadline: deadline), receive: ReceiveStream(window: streamWindow), announced: true)
        return id
    }

    package mutating func write(_ id: StreamID, _ bytes: ArraySlice<UInt8>, fin: Bool) -> Int {
        guard let accepted = streams[id]?.send.write(bytes, fin: fin) else { return 0 }
        unacknowledged += accepted
        requestTurn(id)
        enqueue(id)
        return accepted
    }

    /// Moves out what has arrived; `release` gives its credit back.
    package mutating func take(_ id: StreamID, into output: inout [UInt8]) -> StreamReadState {
        guard let state = streams[id]?.receive.take(into: &output) else { return .reset(code: 0) }
        if case .reset = state { releaseAll(id) }
        retireIfDone(id)
        return state
    }

    /// Of what was taken, `bytes` are a whole message whose consumer has not come; it takes `overhead` besides.
    package mutating func complete(_ id: StreamID, _ bytes: Int, overhead more: Int) {
        guard let fresh = streams[id]?.receive.complete(UInt64(max(0, bytes)), overhead: more) else { return }
        overhead += more
        incoming.complete(fresh)
        serveTurns()
    }

    /// The application is done with `bytes` of what it took.
    package mutating func release(_ id: StreamID, _ bytes: Int, overhead less: Int) {
        guard let before = streams[id]?.receive.overhead, let done = streams[id]?.receive.release(UInt64(max(0, bytes)), overhead: less) else { return }
        overhead -= min(less, before)
        giveBack(done)
        if streams[id]?.receive.limitPending == true { enqueueControl(id) }
        serveTurns()
    }

    private mutating func releaseAll(_ id: StreamID) {
        guard let before = streams[id]?.receive.overhead, let done = streams[id]?.receive.releaseAll() else { return }
        overhead -= before
        giveBack(done)
        serveTurns()
    }

    private mutating func giveBack(_ done: (bytes: UInt64, whole: UInt64)) {
        invariants.check(done.bytes <= incoming.held && done.whole <= incoming.whole, "more is given back than is held")
        incoming.release(done.bytes, whole: done.whole)
    }

    /// Beyond what was taken, `bytes` belong to a message that has begun: they may come whatever the windows say, once
    /// it is the stream's turn.
    package mutating func expect(_ id: StreamID, more bytes: Int) {
        guard let stream = streams[id] else { return }
        streams[id]?.receive.expected = stream.receive.taken + UInt64(max(0, bytes))
        if !stream.receive.isInTurns {
            streams[id]?.receive.isInTurns = true
            turns.append(id)
        }
        serveTurns()
    }

    /// Streams looked at for their turn at once: what fits `assembly` is seldom more, and this runs for each packet.
    private static let turnsAtOnce = 8
    /// Granted beyond a message's end, for what says that it was the last: its reader may not let go of it before.
    private static let trailing: UInt64 = 4_096

    /// Grants the rest of the first messages that wait, as many as can be granted whole. What others take of that credit
    /// is granted again, so the first always gets to its end unless the bound of `incoming` is reached.
    private mutating func serveTurns() {
        var missing: UInt64 = 0
        var index = 0
        while index < min(turns.count, Self.turnsAtOnce) {
            let id = turns[index]
            let needed = streams[id]?.receive.missing ?? 0
            guard needed > 0 else {
                streams[id]?.receive.isInTurns = false
                turns.remove(at: index)
                continue
            }
            missing += needed + Self.trailing
            guard incoming.grant(missing) else { return }
            if let expected = streams[id]?.receive.expected { streams[id]?.receive.extendLimit(to: expected + Self.trailing) }
            if streams[id]?.receive.limitPending == true { enqueueControl(id) }
            index += 1
        }
    }

    package mutating func reset(_ id: StreamID, code: UInt64) {
        guard resetSending(id, code: code) else { return }
        enqueueControl(id)
        retireIfDone(id)
    }

    /// `bytes` of ours are acknowledged, or given up.
    private mutating func settle(_ bytes: Int) {
        unacknowledged -= bytes
        if !invariants.check(unacknowledged >= 0 && bytes >= 0, "more is acknowledged than was written") { unacknowledged = 0 }
    }

    private mutating func resetSending(_ id: StreamID, code: UInt64) -> Bool {
        let before = streams[id]?.send.buffered ?? 0
        guard streams[id]?.send.reset(code: code) == true else { return false }
        settle(before)
        withdrawTurn(id)
        return true
    }

    package mutating func stopSending(_ id: StreamID, code: UInt64) {
        guard streams[id] != nil else { return }
        if let stream = streams[id] { changing(stream) { $0.stop(code: code) } }
        // Nobody hears of it any more, if nobody has.
        streams[id]?.announced = true
        releaseAll(id)
        if streams[id]?.receive.stopPending == true { enqueueControl(id) }
        retireIfDone(id)
    }

    // MARK: turns of our own messages

    /// Before new bytes of `id` may be sent: a message that is more than a packet or so waits until it can be finished.
    private mutating func requestTurn(_ id: StreamID) {
        guard let send = streams[id]?.send, send.turn == .free, send.resetCode == nil, send.promised > send.sentOffset + SendTurns.small else { return }
        streams[id]?.send.turn = .waiting
        outgoing.wait(id)
        admitTurns()
    }

    private mutating func withdrawTurn(_ id: StreamID) {
        guard let send = streams[id]?.send, send.turn != .free else { return }
        invariants.check(outgoing.end(id, unsent: send.turnLeft), "a turn gives back more than it had")
        streams[id]?.send.turn = .free
        admitTurns()
    }

    private mutating func sentFresh(_ id: StreamID, _ bytes: UInt64) {
        guard case .until(let end)? = streams[id]?.send.turn else { return }
        invariants.check(outgoing.sent(id, bytes), "more is sent than was begun")
        guard let send = streams[id]?.send, send.sentOffset >= end else { return }
        invariants.check(outgoing.end(id, unsent: 0), "a turn gives back more than it had")
        streams[id]?.send.turn = .free
        requestTurn(id)
        admitTurns()
    }

    private mutating func admitTurns() {
        while let id = outgoing.first {
            guard let send = streams[id]?.send, send.turn == .waiting else {
                outgoing.removeFirst()
                continue
            }
            guard outgoing.admit(id, bytes: send.promised - send.sentOffset, credit: connectionCredit) else { return }
            streams[id]?.send.turn = .until(send.promised)
            enqueue(id)
        }
    }

    // MARK: frames from the peer

    /// Makes sure a stream the peer speaks of exists; false when it existed and is over.
    private mutating func locate(_ id: StreamID) throws(ProtocolViolation) -> Bool {
        if streams[id] != nil { return true }
        if isOurs(id) {
            guard id.index < nextIndex else { throw ProtocolViolation(code: .streamState, reason: "frame for a stream never opened") }
            return false
        }
        guard id.index < maxStreams else { throw ProtocolViolation(code: .streamLimit, reason: "too many streams") }
        if id.index >= peerNextIndex {
            // Opening a stream opens all below it (RFC 9000 section 2.1).
            implicit.insert(peerNextIndex..<id.index)
            peerNextIndex = id.index + 1
        } else {
            guard implicit.contains(id.index) else { return false }
            implicit.remove(id.index..<(id.index + 1))
        }
        streams[id] = Stream(
            send: SendStream(limit: peerStreamWindow, deadline: nil), receive: ReceiveStream(window: streamWindow), announced: false)
        return true
    }

    package enum Arrival: Equatable { case nothing, opened(deadlineMicroseconds: UInt64?, stopped: UInt64?), readable }

    package mutating func receive(_ frame: StreamFrame) throws(ProtocolViolation) -> Arrival {
        guard try locate(frame.id) else { return .nothing }
        guard let stream = streams[frame.id] else { return .nothing }
        let wasReadable = stream.receive.isReadable
        let before = piecesOverhead
        let fresh = try changing(stream) { receive throws(ProtocolViolation) in try receive.receive(frame) }
        try incoming.receive(fresh, "data beyond the connection's limit")
        if fresh > 0 || piecesOverhead > before { lastGrown = frame.id }
        var arrival = Arrival.nothing
        // The frame at offset 0 carries the deadline: the call is announced with it, not before.
        if !stream.announced, frame.offset == 0 {
            stream.announced = true
            arrival = .opened(deadlineMicroseconds: frame.deadlineMicroseconds, stopped: stream.stopBefore)
        } else if stream.announced, stream.receive.isReadable, !wasReadable || frame.fin {
            arrival = .readable
        }
        if stream.receive.isStopped { releaseAll(frame.id) }
        if !turns.isEmpty { serveTurns() }
        if stream.receive.stopCode != nil { retireIfDone(frame.id) }
        return arrival
    }

    /// A change of what a stream has received: what its pieces take is counted with it.
    private mutating func changing<Result, Failure>(
        _ stream: Stream, _ change: (inout ReceiveStream) throws(Failure) -> Result
    ) throws(Failure) -> Result {
        piecesOverhead -= stream.receive.piecesOverhead
        defer { piecesOverhead += stream.receive.piecesOverhead }
        return try change(&stream.receive)
    }

    /// True when the application should hear of it.
    package mutating func receiveReset(_ id: StreamID, code: UInt64, finalSize: UInt64) throws(ProtocolViolation) -> Bool {
        guard try locate(id), let stream = streams[id] else { return false }
        let fresh = try changing(stream) { receive throws(ProtocolViolation) in try receive.receiveReset(code: code, finalSize: finalSize) }
        try incoming.receive(fresh, "reset beyond the connection's limit")
        let announced = streams[id]?.announced == true
        if streams[id]?.receive.isStopped == true { releaseAll(id) }
        if !announced {
            // Cancelled before it was ever heard of: nothing to tell, and nothing to answer.
            streams[id]?.announced = true
            streams[id]?.receive.abandon()
            releaseAll(id)
            _ = resetSending(id, code: code)
            enqueueControl(id)
        }
        retireIfDone(id)
        return announced && streams[id] != nil
    }

    package mutating func receiveStop(_ id: StreamID, code: UInt64) throws(ProtocolViolation) -> Bool {
        guard try locate(id), let stream = streams[id] else { return false }
        // Nobody has heard of the stream yet: told behind its announcement.
        if !stream.announced { stream.stopBefore = stream.stopBefore ?? code }
        return stream.announced && !stream.send.isDone && stream.send.resetCode == nil
    }

    package mutating func receiveMaxData(_ limit: UInt64) {
        guard limit > peerMaxData else { return }
        peerMaxData = limit
        admitTurns()
    }

    package mutating func receiveMaxStreamData(_ id: StreamID, _ limit: UInt64) throws(ProtocolViolation) {
        guard try locate(id), let old = streams[id]?.send.limit else { return }
        streams[id]?.send.limit = max(old, limit)
        enqueue(id)
    }

    /// True when somebody waits to open a stream.
    package mutating func receiveMaxStreams(_ limit: UInt64) -> Bool {
        peerMaxStreams = max(peerMaxStreams, min(limit, 1 << 60))
        guard openerWaits, nextIndex < peerMaxStreams else { return false }
        openerWaits = false
        return true
    }

    // MARK: sending

    private mutating func enqueueControl(_ id: StreamID) {
        guard streams[id]?.controlQueued == false else { return }
        streams[id]?.controlQueued = true
        controlQueue.append(id)
    }

    private mutating func enqueue(_ id: StreamID) {
        guard let stream = streams[id], !stream.queued, stream.send.hasSendable(credit: .max) else { return }
        streams[id]?.queued = true
        sendQueue.append(id)
    }

    package var hasSendable: Bool {
        if !controlQueue.isEmpty || incoming.limitPending || maxStreamsPending { return true }
        let credit = connectionCredit
        // The front of the queue speaks for all: what cannot send is rotated out by `fill`.
        return sendQueue.contains { streams[$0]?.send.hasSendable(credit: credit) == true }
    }

    /// Writes frames up to `limit` bytes and records them in `sent`. True when some of it was sent before.
    package mutating func fill(_ writer: inout ByteWriter, limit: Int, sent: inout [SentFrame], at now: Instant) -> Bool {
        var repairs = false
        fillControl(&writer, limit: limit, sent: &sent)
        var turns = sendQueue.count
        while turns > 0, limit - writer.count > 24, let id = sendQueue.popFirst() {
            turns -= 1
            guard streams[id] != nil else { continue }
            streams[id]?.queued = false
            let credit = connectionCredit
            let headerRoom = ByteWriter.streamHeaderSize(id: id, offset: streams[id]?.send.sentOffset ?? 0) + 8
            let room = limit - writer.count - headerRoom
            if room > 0, let chunk = streams[id]?.send.nextChunk(room: room, credit: credit) {
                dataSent += chunk.fresh
                invariants.check(dataSent <= peerMaxData, "more is sent than the peer's credit")
                if let send = streams[id]?.send { invariants.check(send.sentOffset <= send.limit, "more is sent than the stream's credit") }
                if chunk.fresh > 0 { sentFresh(id, chunk.fresh) }
                var remaining: UInt64?
                if chunk.offset == 0, let deadline = streams[id]?.send.deadline {
                    remaining = UInt64(max(0, (deadline - now).microseconds))
                }
                writer.streamHeader(id: id, offset: chunk.offset, count: chunk.data.count, fin: chunk.fin, deadlineMicroseconds: remaining)
                writer.append(chunk.data)
                repairs = repairs || chunk.isRepair
                sent.append(.stream(id, chunk.offset..<(chunk.offset + UInt64(chunk.data.count)), fin: chunk.fin))
            }
            enqueue(id)
        }
        return repairs
    }

    private mutating func fillControl(_ writer: inout ByteWriter, limit: Int, sent: inout [SentFrame]) {
        if incoming.limitPending, limit - writer.count > 16 {
            incoming.limitPending = false
            writer.frame(.maxData(incoming.limit))
            sent.append(.maxData)
        }
        if maxStreamsPending, limit - writer.count > 16 {
            maxStreamsPending = false
            writer.frame(.maxStreams(maxStreams))
            sent.append(.maxStreams)
        }
        while limit - writer.count > 64, let id = controlQueue.popFirst() {
            streams[id]?.controlQueued = false
            if streams[id]?.receive.limitPending == true, let limit = streams[id]?.receive.limit {
                streams[id]?.receive.limitPending = false
                writer.frame(.maxStreamData(id, limit))
                sent.append(.maxStreamData(id))
            }
            if let reset = streams[id]?.send.takeReset() {
                writer.frame(.resetStream(id, code: reset.code, finalSize: reset.finalSize))
                sent.append(.resetStream(id))
            }
            if let code = streams[id]?.receive.takeStop() {
                writer.frame(.stopSending(id, code: code))
                sent.append(.stopSending(id))
            }
        }
    }

    // MARK: fates

    /// True when a waiting writer has room again.
    package mutating func onAcknowledged(stream id: StreamID, _ range: Range<UInt64>, fin: Bool) -> Bool {
        guard let stream = streams[id] else { return false }
        let wasSent = invariants.check(range.upperBound <= stream.send.sentOffset, "bytes are acknowledged that were never sent")
        guard wasSent else { return false }
        let before = stream.send.buffered
        stream.send.onAcknowledged(range, fin: fin)
        settle(before - stream.send.buffered)
        let writable = streams[id]?.send.takeWritable() == true
        retireIfDone(id)
        return writable && streams[id] != nil
    }

    package mutating func onResetAcknowledged(_ id: StreamID) {
        streams[id]?.send.onResetAcknowledged()
        retireIfDone(id)
    }

    package mutating func onLost(_ frame: SentFrame) {
        switch frame {
        case .stream(let id, let range, let fin):
            streams[id]?.send.onLost(range, fin: fin)
            enqueue(id)
        case .maxData: incoming.limitPending = true
        case .maxStreams: maxStreamsPending = true
        case .maxStreamData(let id):
            if streams[id] != nil, streams[id]?.receive.finalSize == nil {
                streams[id]?.receive.limitPending = true
                enqueueControl(id)
            }
        case .resetStream(let id):
            streams[id]?.send.onResetLost()
            enqueueControl(id)
        case .stopSending(let id):
            streams[id]?.receive.onStopLost()
            enqueueControl(id)
        case .ack, .ping: break
        }
    }

    /// Queues the oldest unacknowledged bytes of `id` again for a probe.
    package mutating func probe(_ id: StreamID) -> Bool {
        guard streams[id]?.send.markOldestLost() == true else { return false }
        if streams[id]?.send.hasUnsentReset == true { enqueueControl(id) }
        if let stream = streams[id], stream.queued, let index = sendQueue.firstIndex(of: id) {
            // A probe goes first.
            sendQueue.remove(at: index)
            sendQueue.prepend(id)
        } else if streams[id] != nil {
            streams[id]?.queued = true
            sendQueue.prepend(id)
        }
        return true
    }

    private mutating func retireIfDone(_ id: StreamID) {
        guard let stream = streams[id], stream.receive.isDone, stream.send.isDone else { return }
        releaseAll(id)
        withdrawTurn(id)
        settle(stream.send.buffered)
        piecesOverhead -= stream.receive.piecesOverhead
        streams[id] = nil
        if streams.isEmpty {
            invariants.check(
                incoming.held == 0 && overhead == 0 && piecesOverhead == 0 && unacknowledged == 0 && outgoing.committed == 0,
                "something is held for streams that are over")
        }
        guard !isOurs(id) else { return }
        peerStreamsDone += 1
        // Renew in steps of a quarter, so that credit frames are few.
        if peerStreamsDone + streamLimit - maxStreams >= max(1, streamLimit / 4) {
            maxStreams = peerStreamsDone + streamLimit
            maxStreamsPending = true
        }
    }

    /// In order of their numbers, so that one seed gives one run. Walks all streams: to be called now and then.
    package mutating func stalled(for limit: Interval, at now: Instant) -> [StreamID] {
        guard unacknowledged > 0 else { return [] }
        return streams.keys.sorted().filter { id in
            guard let since = streams[id]?.send.stalledSince(at: now) else { return false }
            return now - since >= limit
        }
    }
}
