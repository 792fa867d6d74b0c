import MastTimebase

/// Whose large message goes first, each way.
extension StreamTable {
    // MARK: what comes

    /// Beyond what was taken, `bytes` belong to a message that has begun: they may come whatever the windows say, once
    /// it is the stream's turn.
    package mutating func expect(_ id: StreamID, more bytes: Int) {
        guard let stream = find(id) else { return }
        stream.receive.expected = stream.receive.taken + UInt64(max(0, bytes))
        if !stream.receive.isInTurns {
            stream.receive.isInTurns = true
            turns.append(stream)
        }
        serveTurns()
    }

    /// As `expect`, and takes back in `beginning` what has come of that message: it is handed out again with the rest, in one piece.
    /// - Returns: false when it is larger than what is gathered so, or too much is; then it stays with the caller.
    package mutating func gather(_ id: StreamID, _ beginning: inout [UInt8], more bytes: Int) -> Bool {
        expect(id, more: bytes)
        guard let stream = find(id), beginning.count + bytes <= Self.mostGathered, piecesOverhead + bytes <= Self.mostReserved else { return false }
        // To where the rest will be.
        copied.in += UInt64(beginning.count)
        changing(stream) { $0.putBack(&beginning, missing: bytes) }
        return beginning.isEmpty
    }

    /// A message that is gathered before it is handed out, with its memory taken in advance; and that memory, of all streams.
    private static var mostGathered: Int { 64 << 10 }
    private static var mostReserved: Int { 1 << 20 }

    /// Streams looked at for their turn at once: what fits `assembly` is seldom more, and this runs for each packet.
    private static var turnsAtOnce: Int { 8 }
    /// Granted beyond a message's end, for what says that it was the last: its reader may not let go of it before.
    private static var trailing: UInt64 { 4_096 }

    /// Grants the rest of the first messages that wait, as many as can be granted whole. What others take of that credit
    /// is granted again, so the first always gets to its end unless the bound of `incoming` is reached.
    mutating func serveTurns() {
        var missing: UInt64 = 0
        var index = 0
        while index < min(turns.count, Self.turnsAtOnce) {
            let stream = turns[index]
            let needed = stream.isRetired ? 0 : stream.receive.missing
            guard needed > 0 else {
                stream.receive.isInTurns = false
                turns.remove(at: index)
                continue
            }
            missing += needed + Self.trailing
            guard incoming.grant(missing) else { return }
            stream.receive.extendLimit(to: stream.receive.expected + Self.trailing)
            if stream.receive.limitPending { enqueueControl(stream) }
            index += 1
        }
    }

    // MARK: what goes

    /// Before new bytes of a stream may be sent: a message that is more than a packet or so waits until it can be finished.
    mutating func requestTurn(_ stream: Stream) {
        guard stream.send.turn == .free, stream.send.resetCode == nil, stream.send.promised > stream.send.sentOffset + SendTurns.small else { return }
        stream.send.turn = .waiting
        outgoing.wait(stream.id, stream.urgency)
        admitTurns()
    }

    mutating func withdrawTurn(_ stream: Stream) {
        guard stream.send.turn != .free else { return }
        if stream.send.turn == .waiting { outgoing.withdraw(stream.id, stream.urgency) }
        invariants.check(outgoing.end(stream.id, unsent: stream.send.turnLeft), "a turn gives back more than it had")
        stream.send.turn = .free
        admitTurns()
    }

    mutating func sentFresh(_ stream: Stream, _ bytes: UInt64) {
        guard case .until(let end) = stream.send.turn else { return }
        invariants.check(outgoing.sent(stream.id, bytes), "more is sent than was begun")
        guard stream.send.sentOffset >= end else { return }
        invariants.check(outgoing.end(stream.id, unsent: 0), "a turn gives back more than it had")
        stream.send.turn = .free
        requestTurn(stream)
        admitTurns()
    }

    mutating func admitTurns() {
        while let id = outgoing.first {
            guard let stream = find(id), stream.send.turn == .waiting else {
                outgoing.removeFirst()
                continue
            }
            guard outgoing.admit(id, bytes: stream.send.promised - stream.send.sentOffset, credit: connectionCredit) else { return }
            stream.send.turn = .until(stream.send.promised)
            enqueue(stream)
        }
    }
}
