import MastTimebase

/// Reading, and what is held until the reader is done with it.
///
///     endpoint.take(…, into: &bytes)      moves out what has arrived
///     endpoint.expect(…, more: count)     its message goes on for so many bytes
///     endpoint.complete(…, bytes)         a message is whole, and waits
///     endpoint.release(…, bytes)          done with it: the credit goes back
extension Endpoint {
    /// What the ledgers were told of a connection.
    struct Charge {
        var source: TrafficSource?
        var held = 0
        var unread = 0
    }

    /// Appends what has arrived and releases it at once. Read until the state is not `.open` or nothing came:
    /// `streamReadable` reports the change from nothing to something.
    package mutating func read(_ handle: ConnectionHandle, _ stream: StreamID, into output: inout [UInt8], at now: Instant) -> StreamReadState {
        let before = output.count
        let state = take(handle, stream, into: &output, at: now)
        release(handle, stream, output.count - before)
        return state
    }

    /// As `read`, but the bytes count as held until `release`, or until the stream is over or stopped.
    package mutating func take(_ handle: ConnectionHandle, _ stream: StreamID, into output: inout [UInt8], at now: Instant) -> StreamReadState {
        guard let slot = find(handle) else { return .reset(code: 0) }
        let state = slot.connection.streams.take(stream, into: &output)
        settle(slot)
        return state
    }

    /// The application is done with `bytes` of what it took, and with `overhead` of what it stated beside them.
    package mutating func release(_ handle: ConnectionHandle, _ stream: StreamID, _ bytes: Int, overhead: Int = 0) {
        guard bytes > 0 || overhead > 0, let slot = find(handle) else { return }
        slot.connection.streams.release(stream, bytes, overhead: overhead)
        settle(slot)
    }

    /// Of what was taken, `bytes` are a whole message that waits for its consumer, and takes `overhead` besides. That may
    /// take long, and must not stop the streams beside it: up to a bound their credit returns now.
    package mutating func complete(_ handle: ConnectionHandle, _ stream: StreamID, _ bytes: Int, overhead: Int = 0) {
        guard let slot = find(handle) else { return }
        slot.connection.streams.complete(stream, bytes, overhead: overhead)
        settle(slot)
    }

    /// What was taken is the beginning of a message of which `bytes` are still to come. They may come even if the windows
    /// have no room for them, one large message after the other.
    package mutating func expect(_ handle: ConnectionHandle, _ stream: StreamID, more bytes: Int) {
        guard let slot = find(handle) else { return }
        slot.connection.streams.expect(stream, more: bytes)
        settle(slot)
    }

    /// As `expect`; what was taken of the message goes back with `beginning`, and comes again with the rest, in one piece. Messages
    /// larger than that is good for stay with the caller.
    package mutating func gather(_ handle: ConnectionHandle, _ stream: StreamID, _ beginning: inout [UInt8], more bytes: Int) -> Bool {
        guard let slot = find(handle) else { return false }
        defer { settle(slot) }
        return slot.connection.streams.gather(stream, &beginning, more: bytes)
    }

    /// Bytes that have come on a stream, whoever has them.
    package mutating func arrived(_ handle: ConnectionHandle, _ stream: StreamID) -> UInt64 {
        find(handle)?.connection.streams.find(stream)?.receive.highest ?? 0
    }

    /// Bytes of a connection's streams copied in memory: into packets, and out of them until they were taken.
    package func copied(_ handle: ConnectionHandle) -> (out: UInt64, in: UInt64) { slots[handle]?.connection.streams.copied ?? (0, 0) }

    /// Bytes of ours, on all its streams, that the peer has not acknowledged.
    package func unacknowledged(_ handle: ConnectionHandle) -> Int { slots[handle]?.connection.streams.unacknowledged ?? 0 }

    /// What this connection makes us hold: bytes, streams, and what the owner stated beside them.
    package func heldBytes(_ handle: ConnectionHandle) -> Int { slots[handle]?.connection.streams.held ?? 0 }

    /// Streams on which none of our bytes was acknowledged for `limit`, though the connection lives.
    package mutating func stalledStreams(_ handle: ConnectionHandle, for limit: Interval, at now: Instant) -> [StreamID] {
        slots[handle]?.connection.streams.stalled(for: limit, at: now) ?? []
    }

    /// Streams whose deadline has passed and that wait for credit are reset, as the others are when it is their turn to send.
    package mutating func expireStreams(_ handle: ConnectionHandle, at now: Instant) { with(handle) { $0.streams.expireAll(at: now) } }

    // MARK: the ledgers

    /// Held outside any stream of a connection, because of that source: a request whose connection is gone.
    package mutating func charge(_ source: TrafficSource, held bytes: Int) {
        own(held.charge(source, bytes), "more is given back than a source holds")
    }
    /// Waiting to be written to that source.
    package mutating func charge(_ source: TrafficSource, unread bytes: Int) {
        own(unread.charge(source, bytes), "more is given back than waits for a source")
    }

    /// After any touch of a connection: tells the ledgers what has changed.
    mutating func charge(_ slot: Slot) {
        let (nowHeld, nowUnread) = (slot.connection.streams.held, slot.connection.streams.unacknowledged)
        guard nowHeld != slot.charge.held || nowUnread != slot.charge.unread else { return }
        let grew = nowHeld > slot.charge.held
        guard !slot.isRetired else { return }
        let source = source(slot)
        if let before = slot.charge.source, before != source { discharge(slot) }
        charge(source, held: nowHeld - slot.charge.held)
        charge(source, unread: nowUnread - slot.charge.unread)
        slot.charge = Charge(source: source, held: nowHeld, unread: nowUnread)
        let isAtEase = held.isAtEase(source)
        if slot.connection.streams.isAtEase != isAtEase { slot.connection.streams.isAtEase = isAtEase }
        if grew, !held.allows(source), let stream = slot.connection.streams.lastGrown {
            events.append(.overdrawn(slot.connection.handle, stream))
        }
    }

    mutating func discharge(_ slot: Slot) {
        guard let source = slot.charge.source else { return }
        charge(source, held: -slot.charge.held)
        charge(source, unread: -slot.charge.unread)
        slot.charge = Charge()
    }

    /// An invariant of the endpoint rather than of one connection: what breaks it is counted, and set right.
    private mutating func own(_ condition: Bool, _ what: StaticString, file: StaticString = #fileID, line: UInt = #line) {
        if !invariants.check(condition, what, file: file, line: line) { counters.ownFaults += 1 }
    }
}
