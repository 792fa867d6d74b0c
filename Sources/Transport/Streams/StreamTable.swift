import Collections
import MastTimebase

/// All streams of one connection, both windows, and whose turn it is to send.
struct StreamTable: Sendable {
    struct Stream: Sendable {
        var send: SendStream
        var receive: ReceiveStream
        /// The peer opened it and the application has been told.
        var announced: Bool
        var queued = false
    }

    private let isInitiator: Bool
    private let streamWindow: UInt64
    private let connectionWindow: UInt64
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

    // What we allow the peer.
    private(set) var maxData: UInt64
    private var dataReceived: UInt64 = 0
    private var dataRead: UInt64 = 0
    private(set) var maxStreams: UInt64
    private var peerNextIndex: UInt64 = 0
    private var peerStreamsDone: UInt64 = 0
    var maxDataPending = false
    var maxStreamsPending = false
    /// Streams with a credit, reset or stop frame to send.
    private var controlQueue: Deque<StreamID> = []

    init(isInitiator: Bool, configuration: TransportConfiguration) {
        self.isInitiator = isInitiator
        streamWindow = configuration.streamWindow
        connectionWindow = configuration.connectionWindow
        streamLimit = configuration.maximumStreams
        maxData = configuration.connectionWindow
        maxStreams = configuration.maximumStreams
    }

    mutating func apply(_ parameters: TransportParameters) {
        peerStreamWindow = parameters.maxStreamData
        peerMaxStreams = parameters.maxStreams
        peerMaxData = parameters.maxData
    }

    var count: Int { streams.count }
    private func isOurs(_ id: StreamID) -> Bool { id.openedByInitiator == isInitiator }
    var connectionCredit: UInt64 { peerMaxData - min(peerMaxData, dataSent) }

    // MARK: the application's side

    mutating func open(deadline: Instant?) -> StreamID? {
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

    mutating func write(_ id: StreamID, _ bytes: ArraySlice<UInt8>, fin: Bool) -> Int {
        guard let accepted = streams[id]?.send.write(bytes, fin: fin) else { return 0 }
        enqueue(id)
        return accepted
    }

    mutating func read(_ id: StreamID, into output: inout [UInt8]) -> StreamReadState {
        let before = output.count
        guard let state = streams[id]?.receive.read(into: &output) else { return .reset(code: 0) }
        consumed(UInt64(output.count - before))
        if streams[id]?.receive.limitPending == true { controlQueue.append(id) }
        retireIfDone(id)
        return state
    }

    private mutating func consumed(_ bytes: UInt64) {
        dataRead += bytes
        if dataRead + connectionWindow - maxData >= connectionWindow / 2 {
            maxData = dataRead + connectionWindow
            maxDataPending = true
        }
    }

    mutating func reset(_ id: StreamID, code: UInt64) {
        guard streams[id]?.send.reset(code: code) == true else { return }
        controlQueue.append(id)
        retireIfDone(id)
    }

    mutating func stopSending(_ id: StreamID, code: UInt64) {
        guard streams[id] != nil else { return }
        streams[id]?.receive.stop(code: code)
        if streams[id]?.receive.stopPending == true { controlQueue.append(id) }
        retireIfDone(id)
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
        guard id.index >= peerNextIndex else { return false }
        // Opening a stream opens all below it (RFC 9000 section 2.1); the limit bounds this loop.
        while peerNextIndex <= id.index {
            let new = StreamID(index: peerNextIndex, openedByInitiator: !isInitiator)
            streams[new] = Stream(
                send: SendStream(limit: peerStreamWindow, deadline: nil), receive: ReceiveStream(window: streamWindow), announced: false)
            peerNextIndex += 1
        }
        return true
    }

    enum Arrival { case nothing, opened(deadlineMicroseconds: UInt64?), readable }

    mutating func receive(_ frame: StreamFrame) throws(ProtocolViolation) -> Arrival {
        guard try locate(frame.id) else { return .nothing }
        guard var stream = streams[frame.id] else { return .nothing }
        streams[frame.id] = nil
        let wasReadable = stream.receive.isReadable
        let fresh = try stream.receive.receive(frame)
        dataReceived += fresh
        guard dataReceived <= maxData else { throw ProtocolViolation(code: .flowControl, reason: "data beyond the connection's limit") }
        var arrival = Arrival.nothing
        // The frame at offset 0 carries the deadline: the call is announced with it, not before.
        if !stream.announced, frame.offset == 0 {
            stream.announced = true
            arrival = .opened(deadlineMicroseconds: frame.deadlineMicroseconds)
        } else if stream.announced, stream.receive.isReadable, !wasReadable || frame.fin {
            arrival = .readable
        }
        streams[frame.id] = stream
        if stream.receive.stopCode != nil { retireIfDone(frame.id) }
        return arrival
    }

    /// True when the application should hear of it.
    mutating func receiveReset(_ id: StreamID, code: UInt64, finalSize: UInt64) throws(ProtocolViolation) -> Bool {
        guard try locate(id), streams[id] != nil else { return false }
        guard let fresh = try streams[id]?.receive.receiveReset(code: code, finalSize: finalSize) else { return false }
        dataReceived += fresh
        guard dataReceived <= maxData else { throw ProtocolViolation(code: .flowControl, reason: "reset beyond the connection's limit") }
        let announced = streams[id]?.announced == true
        if !announced {
            // Cancelled before it was ever heard of: nothing to tell, and nothing to answer.
            streams[id]?.announced = true
            streams[id]?.receive.abandon()
            _ = streams[id]?.send.reset(code: code)
            controlQueue.append(id)
        }
        retireIfDone(id)
        return announced && streams[id] != nil
    }

    mutating func receiveStop(_ id: StreamID, code: UInt64) throws(ProtocolViolation) -> Bool {
        guard try locate(id), let stream = streams[id] else { return false }
        return stream.announced && !stream.send.isDone && stream.send.resetCode == nil
    }

    mutating func receiveMaxData(_ limit: UInt64) { peerMaxData = max(peerMaxData, limit) }

    mutating func receiveMaxStreamData(_ id: StreamID, _ limit: UInt64) throws(ProtocolViolation) {
        guard try locate(id), let old = streams[id]?.send.limit else { return }
        streams[id]?.send.limit = max(old, limit)
        enqueue(id)
    }

    /// True when somebody waits to open a stream.
    mutating func receiveMaxStreams(_ limit: UInt64) -> Bool {
        peerMaxStreams = max(peerMaxStreams, min(limit, 1 << 60))
        guard openerWaits, nextIndex < peerMaxStreams else { return false }
        openerWaits = false
        return true
    }

    // MARK: sending

    private mutating func enqueue(_ id: StreamID) {
        guard let stream = streams[id], !stream.queued, stream.send.hasSendable(credit: .max) else { return }
        streams[id]?.queued = true
        sendQueue.append(id)
    }

    var hasSendable: Bool {
        if !controlQueue.isEmpty || maxDataPending || maxStreamsPending { return true }
        let credit = connectionCredit
        // The front of the queue speaks for all: what cannot send is rotated out by `fill`.
        return sendQueue.contains { streams[$0]?.send.hasSendable(credit: credit) == true }
    }

    /// Writes frames up to `limit` bytes and records them in `sent`. True when some of it was sent before.
    mutating func fill(_ writer: inout ByteWriter, limit: Int, sent: inout [SentFrame], at now: Instant) -> Bool {
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
                var remaining: UInt64?
                if chunk.offset == 0, let deadline = streams[id]?.send.deadline {
                    remaining = UInt64(max(0, (deadline - now).microseconds))
                }
                writer.streamHeader(id: id, offset: chunk.offset, count: chunk.data.count, fin: chunk.fin, deadlineMicroseconds: remaining)
                writer.append(chunk.data)
                repairs = repairs || chunk.isRepair
                sent.append(.stream(id, chunk.offset..<(chunk.offset + UInt64(chunk.data.count)), fin: chunk.fin))
            }
            if streams[id]?.send.hasSendable(credit: .max) == true {
                streams[id]?.queued = true
                sendQueue.append(id)
            }
        }
        return repairs
    }

    private mutating func fillControl(_ writer: inout ByteWriter, limit: Int, sent: inout [SentFrame]) {
        if maxDataPending, limit - writer.count > 16 {
            maxDataPending = false
            writer.frame(.maxData(maxData))
            sent.append(.maxData)
        }
        if maxStreamsPending, limit - writer.count > 16 {
            maxStreamsPending = false
            writer.frame(.maxStreams(maxStreams))
            sent.append(.maxStreams)
        }
        while limit - writer.count > 64, let id = controlQueue.popFirst() {
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
    mutating func onAcknowledged(stream id: StreamID, _ range: Range<UInt64>, fin: Bool) -> Bool {
        guard streams[id] != nil else { return false }
        streams[id]?.send.onAcknowledged(range, fin: fin)
        let writable = streams[id]?.send.takeWritable() == true
        retireIfDone(id)
        return writable && streams[id] != nil
    }

    mutating func onResetAcknowledged(_ id: StreamID) {
        streams[id]?.send.onResetAcknowledged()
        retireIfDone(id)
    }

    mutating func onLost(_ frame: SentFrame) {
        switch frame {
        case .stream(let id, let range, let fin):
            streams[id]?.send.onLost(range, fin: fin)
            enqueue(id)
        case .maxData: maxDataPending = true
        case .maxStreams: maxStreamsPending = true
        case .maxStreamData(let id):
            if streams[id] != nil, streams[id]?.receive.finalSize == nil {
                streams[id]?.receive.limitPending = true
                controlQueue.append(id)
            }
        case .resetStream(let id):
            streams[id]?.send.onResetLost()
            controlQueue.append(id)
        case .stopSending(let id):
            streams[id]?.receive.onStopLost()
            controlQueue.append(id)
        case .ack, .ping: break
        }
    }

    /// Queues the oldest unacknowledged bytes of `id` again for a probe.
    mutating func probe(_ id: StreamID) -> Bool {
        guard streams[id]?.send.markOldestLost() == true else { return false }
        if streams[id]?.send.hasUnsentReset == true { controlQueue.append(id) }
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
        streams[id] = nil
        consumed(stream.receive.unread)
        guard !isOurs(id) else { return }
        peerStreamsDone += 1
        // Renew in steps of a quarter, so that credit frames are few.
        if peerStreamsDone + streamLimit - maxStreams >= max(1, streamLimit / 4) {
            maxStreams = peerStreamsDone + streamLimit
            maxStreamsPending = true
        }
    }

    func exists(_ id: StreamID) -> Bool { streams[id] != nil }
    func isFinishedSending(_ id: StreamID) -> Bool { streams[id]?.send.isFinished ?? true }
    func isReadable(_ id: StreamID) -> Bool { streams[id]?.receive.isReadable ?? false }
}
