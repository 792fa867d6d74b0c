import MastTimebase

/// Following the initiator to another address: only when that has answered a challenge (RFC 9000 sections 8.2 and 9.3).
/// Until then data goes to the proved address, and copies to the candidate, so that a real move costs nothing and
/// somebody who sends copies of packets from elsewhere steers nothing.
extension Connection {
    /// An authentic packet came from `address`.
    mutating func consider(_ address: NetworkAddress, isNewest: Bool, bytes: Int, random: UInt64, at now: Instant) {
        if address == path.address {
            if path.isValidated { return }
            path.received += bytes
        } else if let index = candidates.firstIndex(where: { $0.address == address }) {
            candidates[index].received += bytes
            armCandidates(at: now)
            return
        }
        guard !isInitiator, isNewest, !candidates.contains(where: { $0.address == address }) else { return }
        let isFirst = candidates.isEmpty
        let candidate = PathCandidate(address: address, word: random, received: bytes, expires: now + candidateTime, at: now)
        // A newer packet's address takes the place of the last one's; the others have their time.
        if candidates.count == PathCandidate.limit { candidates[0] = candidate } else { candidates.insert(candidate, at: 0) }
        armCandidates(at: now)
        // Perhaps an answer went where nobody is any more: what of it the limit allows goes along with the challenge.
        // Of several that come at once only with the first, or a peer with many ports would have a probe for each packet.
        if isFirst, isEstablished, path.recovery.sent.ackElicitingInFlight > 0 { probeOldest() }
    }

    /// A packet whose number was seen came from an address of its own: perhaps a faster copy hid where the peer is. Only
    /// while somebody is a candidate, and only if the packet is authentic.
    mutating func considerCopy(_ packet: [UInt8], number: UInt64, from address: NetworkAddress, random: UInt64, at now: Instant) {
        guard !isInitiator, isEstablished, !candidates.isEmpty, address != path.address, let largest = replay.largest,
            number <= largest, largest - number < PathCandidate.copyAge
        else { return }
        let index = candidates.firstIndex { $0.address == address }
        guard index != nil || candidates.count < PathCandidate.limit else { return }
        var packet = packet
        guard protection?.open(&packet, number: number, path: path.identifier) == true else { return }
        if let index {
            candidates[index].received += packet.count
        } else {
            candidates.append(PathCandidate(address: address, word: random, received: packet.count, expires: now + candidateTime, at: now))
        }
        armCandidates(at: now)
    }

    /// Three probe timeouts, and time enough for a path whose round trip is not known yet (RFC 9000 section 8.2.4).
    private var candidateTime: Interval { max(path.recovery.probeInterval() * 3, .seconds(1)) }

    mutating func candidatesDue(at now: Instant) {
        candidates.removeAll { $0.expires <= now }
        armCandidates(at: now)
    }

    /// What is due already leaves with the next packets and needs no timer.
    private mutating func armCandidates(at now: Instant) {
        timers[.candidates] = candidates.map { $0.nextChallenge > now && mayChallenge($0) ? min($0.nextChallenge, $0.expires) : $0.expires }.min()
    }

    private func mayChallenge(_ candidate: PathCandidate) -> Bool {
        candidate.address == path.address ? path.maySend(PathCandidate.packetSize) : candidate.allows(PathCandidate.packetSize)
    }

    /// The next packet that has an address of its own: a copy, an answer to a challenge, or a challenge.
    mutating func pollElsewhere(at now: Instant) -> Transmit? {
        if !copies.isEmpty { return copies.removeFirst() }
        if let (word, address) = pathAnswer {
            pathAnswer = nil
            return pathPacket(.pathResponse(word), to: address, at: now)
        }
        guard let index = candidates.firstIndex(where: { $0.nextChallenge <= now && $0.expires > now && mayChallenge($0) }) else { return nil }
        let (word, address) = (candidates[index].word, candidates[index].address)
        guard let transmit = pathPacket(.pathChallenge(word), to: address, at: now) else { return nil }
        if address == path.address { path.sent += transmit.payload.count } else { candidates[index].sent += transmit.payload.count }
        if candidates[index].challenges == 0 { candidates[index].challengedAt = now }
        let interval = path.recovery.probeInterval()
        candidates[index].nextChallenge = now + interval * Int64(1 << min(candidates[index].challenges, 8))
        candidates[index].challenges += 1
        armCandidates(at: now)
        return transmit
    }

    /// In no window and under no loss timer: it says nothing about the path that data takes.
    private mutating func pathPacket(_ frame: Frame, to address: NetworkAddress, at now: Instant) -> Transmit? {
        skipNumberIfDue(at: now)
        var writer = ByteWriter.packet(capacity: 16)
        writer.frame(frame)
        let number = nextNumber
        guard seal(&writer, flags: 0, at: now) else { return nil }
        let packet = writer.bytes
        path.recovery.passOver()
        note(.packetSent(number: number, bytes: packet.count, retransmission: false, probe: false), at: now)
        counters.packetsSent += 1
        counters.bytesSent += UInt64(packet.count)
        return Transmit(payload: packet, destination: address)
    }

    /// The same bytes to each candidate that may have them; true when one may.
    mutating func copyToCandidates(_ writer: ByteWriter, at now: Instant) -> Bool {
        guard !candidates.isEmpty else { return false }
        let packet = Array(writer.bytes[writer.start...])
        var isCopied = false
        for index in candidates.indices where candidates[index].address != path.address && candidates[index].allows(packet.count) {
            candidates[index].sent += packet.count
            counters.bytesSent += UInt64(packet.count)
            // Taken out before the next packet is made: as many as candidates.
            copies.append(Transmit(payload: packet, destination: candidates[index].address))
            isCopied = true
        }
        armCandidates(at: now)
        return isCopied
    }

    /// The answer to a challenge: the peer is where that was sent, wherever the answer comes from (RFC 9000 section
    /// 8.2.3). A faster copy of it from elsewhere may be all that arrives.
    mutating func validate(_ word: UInt64, at now: Instant) {
        guard let candidate = candidates.first(where: { $0.word == word && $0.challenges > 0 }) else { return }
        let address = candidate.address
        candidates = []
        copies = []
        timers[.candidates] = nil
        guard address != path.address else {
            path.isValidated = true
            return
        }
        let sameHost = address.with(port: 0) == path.address.with(port: 0)
        path.address = address
        path.isValidated = true
        path.recovery.consecutiveProbes = 0
        if !sameHost {
            // Another network: what was learned about the old one no longer holds (RFC 9000 section 9.4).
            path.recovery.onPathChange(at: now)
            if candidate.challenges == 1, let challengedAt = candidate.challengedAt {
                path.recovery.onRoundTrip(now - challengedAt)
            }
        }
        counters.migrations += 1
        events.append(.migrated(handle, to: address))
        note(.migrated(address), at: now)
        repairAfterMove(at: now)
    }

    /// What went to the old address alone goes again, now. It says nothing about congestion: no window is cut.
    private mutating func repairAfterMove(at now: Instant) {
        path.recovery.giveUpUncopied(at: now)
        settleConcluded(counts: false, at: now)
        noteMetrics(at: now)
        probesPending = 1
        elicitPending = true
        armProbe(at: now)
    }
}
