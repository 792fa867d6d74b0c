import MastTimebase

/// When the operating system says that this machine's network changed.
extension Connection {
    /// - Parameter isNewPath: packets to the peer now leave from another address than before.
    mutating func networkChanged(isNewPath: Bool, at now: Instant) {
        hintsInSilence = 0
        switch phase {
        case .handshaking: initiationPending = true
        case .established:
            if isNewPath, isInitiator { forgetPath(at: now) }
            // The peer finds out where we are by hearing from us; a responder is where it was dialled.
            if isInitiator || path.recovery.sent.ackElicitingInFlight > 0 { lookForPeer(at: now) }
        case .awaitingConfirmation, .closing, .closed: break
        }
    }

    /// What was learned about the old path no longer holds (RFC 9000 section 9.4), and what is under way there is as good as
    /// lost: it goes again, in the initial window. That says nothing about congestion.
    private mutating func forgetPath(at now: Instant) {
        path.recovery.onPathChange(at: now)
        path.recovery.giveUpUncopied(at: now)
        settleConcluded(counts: false, at: now)
        noteMetrics(at: now)
        armProbe(at: now)
    }

    /// Sends at once, with the oldest bytes of a call that nobody has acknowledged. As long as a packet may be, so that a peer
    /// that does not know where it comes from may answer with three times as much (RFC 9000 sections 8.1 and 8.2.1).
    private mutating func lookForPeer(at now: Instant) {
        path.recovery.consecutiveProbes = 0
        fillsProbe = isInitiator
        probeOldest()
    }

    /// Packets looked at for what a probe may carry: calls, and the probes that carried them before.
    private static let mostProbed = 256
    /// Header, tag, and an acknowledgement of some ranges.
    private static let probeOverhead = 100

    /// The next packet goes past window and pacer, and carries the small calls that wait, the oldest first, as many as fit; what else was in
    /// the oldest packet comes behind them. When silence ends, they are there with the first packet that comes through.
    mutating func probeOldest() {
        probesPending = 1
        elicitPending = true
        let waiting = path.recovery.sent.oldestWithFrames(Self.mostProbed)
        guard let oldest = waiting.first else { return }
        var room = datagramSize - Self.probeOverhead
        var calls: [(id: StreamID, frame: SentFrame, isOldest: Bool)] = []
        for packet in waiting where room > 0 {
            for frame in packet.frames where Self.isSmallCall(frame) {
                guard case .stream(let id, let range, _) = frame, !calls.contains(where: { $0.id == id }) else { continue }
                let bytes = range.count + ByteWriter.streamHeaderSize(id: id, offset: range.lowerBound) + 8
                guard bytes <= room else { continue }
                room -= bytes
                calls.append((id, frame, packet.number == oldest.number))
            }
        }
        for frame in oldest.frames {
            switch frame {
            case .stream(let id, _, _): if !calls.contains(where: { $0.id == id }) { _ = streams.probe(id) }
            case .ack, .ping: break
            default: streams.onLost(frame)
            }
        }
        // Each goes before the others.
        for call in calls.reversed() {
            if call.isOldest { _ = streams.probe(call.id) } else { streams.probe(call.frame) }
        }
    }
}
