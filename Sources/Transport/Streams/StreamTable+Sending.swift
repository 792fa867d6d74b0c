import MastTimebase

/// What leaves, and what became of it.
extension StreamTable {
    mutating func enqueueControl(_ stream: Stream) {
        guard !stream.controlQueued, !stream.isRetired else { return }
        stream.controlQueued = true
        controlQueue.append(stream)
    }

    mutating func enqueue(_ stream: Stream) {
        guard stream.queue != .ready, !stream.isRetired, stream.send.hasSendable(credit: .max) else { return }
        let isReady = stream.send.hasSendable(credit: connectionCredit)
        switch (stream.queue, isReady) {
        case (.none, false):
            stream.queue = .outOfCredit
            creditQueue.append(stream)
        case (.outOfCredit, true):
            // What it sent was lost, or it ends: that needs no credit.
            creditQueue.removeAll { $0 === stream }
            makeReady(stream)
        case (.none, true): makeReady(stream)
        default: break
        }
    }

    private mutating func makeReady(_ stream: Stream) {
        stream.queue = .ready
        stream.stand = stream.place
        sendQueue.append(stream, at: stream.stand)
    }

    /// Holds for what is sent from now on.
    package mutating func setUrgency(_ id: StreamID, _ urgency: Urgency) {
        guard let stream = find(id), stream.urgency != urgency else { return }
        if stream.send.turn == .waiting {
            outgoing.withdraw(id, stream.urgency)
            outgoing.wait(id, urgency)
        }
        stream.urgency = urgency
        admitTurns()
        // A probe stays in front.
        guard stream.queue == .ready, stream.stand != SendQueue<Stream>.probes else { return }
        sendQueue.remove(at: stream.stand) { $0 === stream }
        makeReady(stream)
    }

    /// The peer named a deadline for a call: our answer has the same.
    package mutating func setDeadline(_ id: StreamID, _ deadline: Instant) { find(id)?.send.deadline = deadline }

    /// Nobody waits for it any more: what is under way stays so, and nothing follows but the reset.
    private mutating func expire(_ stream: Stream) {
        let waiting = stream.send.waiting
        guard resetSending(stream, code: SendStream.expiredCode) else { return }
        expiredBytes += waiting
        enqueueControl(stream)
    }

    /// What waits for credit does not come to the front of `fill`: to be called now and then. Walks all streams.
    package mutating func expireAll(at now: Instant) {
        guard unacknowledged > 0 else { return }
        for store in [ours, theirs] {
            for stream in store.streams where stream.send.waiting > 0 && stream.send.deadline.map({ $0 <= now }) ?? false { expire(stream) }
        }
    }

    /// Credit came: who waited for it goes on, in the same order.
    mutating func resumeWithCredit() {
        while connectionCredit > 0, let stream = creditQueue.popFirst() {
            stream.queue = .none
            enqueue(stream)
        }
    }

    /// Whether `fill` would write anything. Streams found to have nothing to send, or no credit for it, leave the queue.
    package var hasSendable: Bool {
        mutating get {
            if !controlQueue.isEmpty || incoming.limitPending || maxStreamsPending { return true }
            let credit = connectionCredit
            while let stream = sendQueue.first {
                if !stream.isRetired, stream.send.hasSendable(credit: credit) { return true }
                sendQueue.popFirst()
                stream.queue = .none
                enqueue(stream)
            }
            return false
        }
    }

    /// Writes frames up to `limit` bytes and records them in `sent`. True when some of it was sent before.
    package mutating func fill(_ writer: inout ByteWriter, limit: Int, sent: inout SentFrames, at now: Instant) -> Bool {
        var repairs = false
        fillControl(&writer, limit: limit, sent: &sent)
        sendQueue.begin(packet: limit)
        var turns = sendQueue.count
        while turns > 0, limit - writer.count > 24, let (stream, place) = sendQueue.next() {
            stream.queue = .none
            if !stream.isRetired, place != SendQueue<Stream>.probes, stream.place > place {
                // It has grown since it came: that is no turn.
                makeReady(stream)
                continue
            }
            turns -= 1
            guard !stream.isRetired else { continue }
            if let deadline = stream.send.deadline, deadline <= now {
                expire(stream)
                continue
            }
            let headerRoom = ByteWriter.streamHeaderSize(id: stream.id, offset: stream.send.sentOffset) + 8
            let room = limit - writer.count - headerRoom
            if room > 0, let chunk = stream.send.nextChunk(room: room, credit: connectionCredit) {
                dataSent += chunk.fresh
                invariants.check(dataSent <= peerMaxData, "more is sent than the peer's credit")
                invariants.check(stream.send.sentOffset <= stream.send.limit, "more is sent than the stream's credit")
                if chunk.fresh > 0 { sentFresh(stream, chunk.fresh) }
                var remaining: UInt64?
                if chunk.range.lowerBound == 0, isOurs(stream.id), let deadline = stream.send.deadline {
                    remaining = UInt64(max(0, (deadline - now).microseconds))
                }
                writer.streamHeader(
                    id: stream.id, offset: chunk.range.lowerBound, count: chunk.range.count, fin: chunk.fin, deadlineMicroseconds: remaining)
                stream.send.copy(chunk, into: &writer)
                copied.out += UInt64(chunk.range.count)
                repairs = repairs || chunk.isRepair
                sent.append(.stream(stream.id, chunk.range, fin: chunk.fin))
                sendQueue.sent(chunk.range.count, at: place)
            }
            enqueue(stream)
        }
        // Of what has expired just now: without it the packet might be empty.
        if !controlQueue.isEmpty { fillControl(&writer, limit: limit, sent: &sent) }
        return repairs
    }

    private mutating func fillControl(_ writer: inout ByteWriter, limit: Int, sent: inout SentFrames) {
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
        while limit - writer.count > 64, let stream = controlQueue.popFirst() {
            stream.controlQueued = false
            guard !stream.isRetired else { continue }
            if stream.receive.limitPending {
                stream.receive.limitPending = false
                writer.frame(.maxStreamData(stream.id, stream.receive.limit))
                sent.append(.maxStreamData(stream.id))
            }
            if let reset = stream.send.takeReset() {
                writer.frame(.resetStream(stream.id, code: reset.code, finalSize: reset.finalSize))
                sent.append(.resetStream(stream.id))
            }
            if let code = stream.receive.takeStop() {
                writer.frame(.stopSending(stream.id, code: code))
                sent.append(.stopSending(stream.id))
            }
        }
    }

    // MARK: fates

    /// True when a waiting writer has room again.
    package mutating func onAcknowledged(stream id: StreamID, _ range: Range<UInt64>, fin: Bool) -> Bool {
        guard let stream = find(id) else { return false }
        let wasSent = invariants.check(range.upperBound <= stream.send.sentOffset, "bytes are acknowledged that were never sent")
        guard wasSent else { return false }
        let before = stream.send.buffered
        stream.send.onAcknowledged(range, fin: fin)
        settle(before - stream.send.buffered)
        let writable = stream.send.takeWritable()
        retireIfDone(stream)
        return writable && !stream.isRetired
    }

    package mutating func onResetAcknowledged(_ id: StreamID) {
        guard let stream = find(id) else { return }
        stream.send.onResetAcknowledged()
        retireIfDone(stream)
    }

    package mutating func onLost(_ frame: SentFrame) {
        switch frame {
        case .stream(let id, let range, let fin):
            guard let stream = find(id) else { return }
            stream.send.onLost(range, fin: fin)
            enqueue(stream)
        case .maxData: incoming.limitPending = true
        case .maxStreams: maxStreamsPending = true
        case .maxStreamData(let id):
            guard let stream = find(id), stream.receive.finalSize == nil else { return }
            stream.receive.limitPending = true
            enqueueControl(stream)
        case .resetStream(let id):
            guard let stream = find(id) else { return }
            stream.send.onResetLost()
            enqueueControl(stream)
        case .stopSending(let id):
            guard let stream = find(id) else { return }
            stream.receive.onStopLost()
            enqueueControl(stream)
        case .ack, .ping: break
        }
    }

    /// Queues the oldest unacknowledged bytes of `id` again for a probe.
    package mutating func probe(_ id: StreamID) -> Bool {
        guard let stream = find(id), stream.send.markOldestLost() else { return false }
        if stream.send.hasUnsentReset { enqueueControl(stream) }
        putFirst(stream)
        return true
    }

    /// Queues what one frame carried for a probe, as far as it is unacknowledged.
    package mutating func probe(_ frame: SentFrame) {
        guard case .stream(let id, let range, let fin) = frame, let stream = find(id) else { return }
        stream.send.onLost(range, fin: fin)
        if stream.send.hasSendable(credit: connectionCredit) { putFirst(stream) }
    }

    /// A probe goes first.
    private mutating func putFirst(_ stream: Stream) {
        switch stream.queue {
        case .ready: sendQueue.remove(at: stream.stand) { $0 === stream }
        case .outOfCredit: creditQueue.removeAll { $0 === stream }
        case .none: break
        }
        stream.queue = .ready
        stream.stand = SendQueue<Stream>.probes
        sendQueue.prepend(stream, at: stream.stand)
    }
}
