import MastTimebase

/// Frames from the peer.
extension StreamTable {
    /// The stream that the peer speaks of, made if it is new; nil when it existed and is over.
    private mutating func locate(_ id: StreamID) throws(ProtocolViolation) -> Stream? {
        if let stream = find(id) { return stream }
        if isOurs(id) {
            guard id.index < nextIndex else { throw ProtocolViolation(code: .streamState, reason: "frame for a stream never opened") }
            return nil
        }
        guard id.index < maxStreams else { throw ProtocolViolation(code: .streamLimit, reason: "too many streams") }
        if id.index >= peerNextIndex {
            // Opening a stream opens all below it (RFC 9000 section 2.1).
            implicit.insert(peerNextIndex..<id.index)
            peerNextIndex = id.index + 1
        } else {
            guard implicit.contains(id.index) else { return nil }
            implicit.remove(id.index..<(id.index + 1))
        }
        return accept(id)
    }

    package enum News: Equatable { case nothing, opened(deadlineMicroseconds: UInt64?, stopped: UInt64?), readable }

    /// - Parameter clock: without one no window grows.
    package mutating func receive(_ frame: StreamFrame, _ clock: WindowGrowth.Clock? = nil) throws(ProtocolViolation) -> News {
        guard let stream = try locate(frame.id) else { return .nothing }
        let wasReadable = stream.receive.isReadable
        let before = piecesOverhead
        let fresh = try changing(stream) { receive throws(ProtocolViolation) in try receive.receive(frame) }
        copied.in += UInt64(frame.data.count)
        try incoming.receive(fresh, "data beyond the connection's limit", clock)
        if fresh > 0, incoming.isAtEase, let clock {
            stream.receive.grow(to: mostStreamWindow, clock)
            if stream.receive.limitPending { enqueueControl(stream) }
        }
        if fresh > 0 || piecesOverhead > before { lastGrown = frame.id }
        var arrival = News.nothing
        // The frame at offset 0 carries the deadline: the call is announced with it, not before.
        if !stream.announced, frame.offset == 0 {
            stream.announced = true
            arrival = .opened(deadlineMicroseconds: frame.deadlineMicroseconds, stopped: stream.stopBefore)
        } else if stream.announced, stream.receive.isReadable, !wasReadable || frame.fin {
            arrival = .readable
        }
        if stream.receive.isStopped { releaseAll(stream) }
        if !turns.isEmpty { serveTurns() }
        if stream.receive.stopCode != nil { retireIfDone(stream) }
        return arrival
    }

    /// True when the application should hear of it.
    package mutating func receiveReset(_ id: StreamID, code: UInt64, finalSize: UInt64) throws(ProtocolViolation) -> Bool {
        guard let stream = try locate(id) else { return false }
        let fresh = try changing(stream) { receive throws(ProtocolViolation) in try receive.receiveReset(code: code, finalSize: finalSize) }
        try incoming.receive(fresh, "reset beyond the connection's limit")
        let announced = stream.announced
        if stream.receive.isStopped { releaseAll(stream) }
        if !announced {
            // Cancelled before it was ever heard of: nothing to tell, and nothing to answer.
            stream.announced = true
            stream.receive.abandon()
            releaseAll(stream)
            _ = resetSending(stream, code: code)
            enqueueControl(stream)
        }
        retireIfDone(stream)
        return announced && !stream.isRetired
    }

    package mutating func receiveStop(_ id: StreamID, code: UInt64) throws(ProtocolViolation) -> Bool {
        guard let stream = try locate(id) else { return false }
        // Nobody has heard of the stream yet: told behind its announcement.
        if !stream.announced { stream.stopBefore = stream.stopBefore ?? code }
        return stream.announced && !stream.send.isDone && stream.send.resetCode == nil
    }

    package mutating func receiveMaxData(_ limit: UInt64) {
        guard limit > peerMaxData else { return }
        peerMaxData = limit
        resumeWithCredit()
        admitTurns()
    }

    package mutating func receiveMaxStreamData(_ id: StreamID, _ limit: UInt64) throws(ProtocolViolation) {
        guard let stream = try locate(id) else { return }
        stream.send.limit = max(stream.send.limit, limit)
        enqueue(stream)
    }

    /// True when somebody waits to open a stream.
    package mutating func receiveMaxStreams(_ limit: UInt64) -> Bool {
        peerMaxStreams = max(peerMaxStreams, min(limit, 1 << 60))
        guard openerWaits, nextIndex < peerMaxStreams else { return false }
        openerWaits = false
        return true
    }
}
