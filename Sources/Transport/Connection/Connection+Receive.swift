import MastTimebase

extension Connection {
    /// The responder's answer; anything but an authentic one is a drop.
    mutating func receiveResponse(_ packet: [UInt8], from address: NetworkAddress, at now: Instant) -> DropReason? {
        guard case .handshaking(var handshake) = phase else { return .unexpected }
        guard let source = PacketHeader.source(of: packet), let (secrets, parameters) = handshake.finish(with: packet) else {
            return .handshakeFailed
        }
        // A responder that speaks something newer in common did not see our list: somebody kept it from us.
        guard TransportParameters.best(configuration.versions, parameters.versions) == PacketHeader.version,
            let suite = parameters.suites.first, parameters.suites.count == 1, configuration.cipherSuites.contains(suite)
        else { return .handshakeFailed }
        remoteID = source
        begin(secrets, suite: suite, parameters, at: now)
        phase = .established
        counters.packetsReceived += 1
        counters.bytesReceived += UInt64(packet.count)
        counters.lastReceived = now
        if initiationAttempts <= Self.mostRepeatsOfASample, let sentAt = firstInitiationAt { path.recovery.onRoundTrip(now - sentAt) }
        timers[.handshake] = nil
        timers[.handshakeLimit] = nil
        armIdle(at: now)
        // The responder may not send much before it hears from us with the new keys.
        elicitPending = true
        events.append(.connected(handle, peerKey: peerKey))
        note(.connected, at: now)
        return nil
    }

    /// The responder speaks none of our versions, or somebody on the way says so.
    mutating func receiveVersions(_ versions: [UInt8], at now: Instant) -> DropReason? {
        guard case .handshaking = phase, peerVersions.isEmpty else { return .unexpected }
        peerVersions = versions
        let end = now + .seconds(1)
        timers[.handshakeLimit] = min(timers[.handshakeLimit] ?? end, end)
        return nil
    }

    mutating func receiveCookie(_ packet: [UInt8], at now: Instant) -> DropReason? {
        guard case .handshaking(let handshake) = phase else { return .unexpected }
        // One cookie an attempt: a forged reply cannot make us send more than the timer would.
        guard cookie == nil, let opened = AddressCookie.open(reply: packet, responder: handshake.responder, mac1: handshake.lastMAC1) else {
            return .unauthentic
        }
        cookie = opened
        initiationPending = true
        return nil
    }

    /// The initiator repeated its first message: our answer was lost. It goes where the repeat came from, which may be
    /// elsewhere by now; then nobody knows which of the answers arrived.
    mutating func repeatResponse(to address: NetworkAddress) {
        guard isHalfOpen else { return }
        if address == path.address {
            path.received += PacketHeader.initiationSize
            responsePending = true
        } else {
            responseElsewhere = address
            wasAnsweredElsewhere = true
        }
    }

    /// - Parameter packets: where it stands, in `range`.
    mutating func receiveData(
        _ packets: inout [UInt8], in range: Range<Int>, from address: NetworkAddress, at now: Instant, random: UInt64
    ) -> DropReason? {
        guard range.count >= PacketHeader.dataHeaderSize + PacketHeader.tagSize else { return .tooShort }
        guard protection != nil else { return .unexpected }
        if case .closed = phase { return .unknownConnection }
        guard let truncated = PacketHeader.numberLow(packets, at: range.lowerBound) else { return .tooShort }
        let number = PacketNumber.widen(truncated, largest: replay.expected == 0 ? nil : replay.expected - 1)
        guard replay.accepts(number) else {
            if !candidates.isEmpty { considerCopy(Array(packets[range]), number: number, from: address, random: random, at: now) }
            return .replayed
        }
        guard protection?.open(&packets, in: range, number: number, path: path.identifier) == true else {
            if protection?.isForgedOut == true { endForForgeries(at: now) }
            return .unauthentic
        }
        noteKeys(at: now)
        let isNewest = replay.largest.map { number > $0 } ?? true
        replay.insert(number)
        marks.count(arrival.mark)

        counters.packetsReceived += 1
        counters.bytesReceived += UInt64(range.count)
        counters.lastReceived = now
        hintsInSilence = 0
        note(.packetReceived(number: number, bytes: range.count), at: now)
        if case .closing = phase {
            if closeRepliesLeft > 0 {
                closeRepliesLeft -= 1
                closePending = true
            }
            return nil
        }
        confirm(from: address, at: now)
        consider(address, isNewest: isNewest, bytes: range.count, random: random, at: now)
        armIdle(at: now)

        let ackNow = packets[range.lowerBound] & PacketHeader.ackNowBit != 0
        var frames = FrameReader(packets, in: range)
        var elicits = false
        var isAcknowledging = false
        do throws(ProtocolViolation) {
            while let frame = try frames.next() {
                if case .ack = frame {
                    // The second says nothing new, and costs as much as the first: a packet has room for hundreds.
                    guard !isAcknowledging else {
                        throw ProtocolViolation(code: .protocolViolation, reason: "two acknowledgements in a packet")
                    }
                    isAcknowledging = true
                }
                elicits = try receive(frame, from: address, at: now) || elicits
                guard isUsable else { return nil }
            }
        } catch {
            fail(error, at: now)
            return nil
        }
        acknowledge(number, elicits: elicits, ackNow: ackNow, at: now)
        endIfUnheard(at: now)
        return nil
    }

    /// RFC 9001 section 6.6: so many forgeries may have told something about the key.
    private mutating func endForForgeries(at now: Instant) {
        switch phase {
        case .handshaking, .awaitingConfirmation, .established:
            fail(ProtocolViolation(code: .aeadLimit, reason: "too many forged packets"), at: now)
        case .closing: finish(.violation(code: TransportErrorCode.aeadLimit.rawValue, reason: "too many forged packets"), at: now)
        case .closed: break
        }
    }

    /// A peer that sends and never acknowledges is as good as silent, and would cost more.
    private mutating func endIfUnheard(at now: Instant) {
        guard isEstablished, let idleTimeout, path.recovery.sent.ackElicitingInFlight > 0,
            let since = path.recovery.unacknowledgedSince, now - since >= idleTimeout
        else { return }
        fail(ProtocolViolation(code: .protocolViolation, reason: "the peer sends but acknowledges nothing"), at: now)
    }

    /// Which of several equal packets was answered nobody can tell (Karn). With up to three the round trip counts from the first: on a path
    /// of up to 450 ms that is right, and where the first was lost no worse a guess than the one to begin with.
    private static let mostRepeatsOfASample = 3

    /// The initiator's first authentic packet, wherever it comes from, proves that it holds the keys, and so that our
    /// answer arrived where it was sent.
    private mutating func confirm(from address: NetworkAddress, at now: Instant) {
        guard isHalfOpen else { return }
        phase = .established
        timers[.handshakeLimit] = nil
        if wasAnsweredElsewhere {
            // It was sent to two addresses: where the peer is has yet to be asked.
            if address != path.address { (path.address, path.received, path.sent) = (address, 0, 0) }
        } else {
            path.isValidated = true
        }
        if responsesSent <= Self.mostRepeatsOfASample, !wasAnsweredElsewhere, let sentAt = firstResponseAt {
            path.recovery.onRoundTrip(now - sentAt)
        }
        events.append(.accepted(handle, peerKey: peerKey))
        note(.connected, at: now)
    }

    /// One frame; true when it asks for an acknowledgement.
    private mutating func receive(_ frame: Frame, from address: NetworkAddress, at now: Instant) throws(ProtocolViolation) -> Bool {
        switch frame {
        case .ack(let ack):
            try receive(ack, at: now)
            return false
        case .close(let code, let reason):
            finish(Self.reason(code, reason), at: now)
            return false
        case .ping: break
        case .stream(let stream):
            let rtt = path.recovery.rtt
            let clock = rtt.hasSample ? WindowGrowth.Clock(now: now, roundTrip: max(rtt.smoothed, .milliseconds(1))) : nil
            switch try streams.receive(stream, clock) {
            case .nothing: break
            case .opened(let remaining, let stopped):
                // A remaining time beyond an hour is no deadline worth the name, and cannot overflow.
                let deadline = remaining.map { now + .microseconds(Int64(min($0, 3_600_000_000))) }
                if let deadline { streams.setDeadline(stream.id, deadline) }
                events.append(.streamOpened(handle, stream.id, deadline: deadline))
                if let stopped { events.append(.streamStopped(handle, stream.id, code: stopped)) }
            case .readable: events.append(.streamReadable(handle, stream.id))
            }
        case .maxData(let limit): streams.receiveMaxData(limit)
        case .maxStreamData(let id, let limit): try streams.receiveMaxStreamData(id, limit)
        case .maxStreams(let limit): if streams.receiveMaxStreams(limit) { events.append(.streamsAvailable(handle)) }
        case .resetStream(let id, let code, let finalSize):
            if try streams.receiveReset(id, code: code, finalSize: finalSize) { events.append(.streamReadable(handle, id)) }
        case .stopSending(let id, let code):
            if try streams.receiveStop(id, code: code) { events.append(.streamStopped(handle, id, code: code)) }
        case .pathChallenge(let word):
            // Answered where it came from (RFC 9000 section 8.2.2). The responder is where we dialled it: from anywhere
            // else, somebody would have us prove his address as ours.
            if !isInitiator || address == path.address { pathAnswer = (word, address) }
        case .pathResponse(let word): validate(word, at: now)
        }
        return true
    }

    /// What the peer's close code says.
    private static func reason(_ code: UInt64, _ text: String) -> CloseReason {
        if code >= applicationCodeBase { return .peer(code: code - applicationCodeBase, reason: text) }
        return code == TransportErrorCode.connectionRefused.rawValue ? .displaced : .violation(code: code, reason: text)
    }

    private mutating func receive(_ ack: AckFrame, at now: Instant) throws(ProtocolViolation) {
        guard ack.path == path.identifier else { throw ProtocolViolation(code: .protocolViolation, reason: "acknowledgement of an unknown path") }
        let size = path.recovery.mtu.size
        guard let sample = try path.recovery.onAcknowledgement(ack, at: now) else { return }
        protection?.onAcknowledged(sample.largest)
        if let sentAt = sample.sentAt { counters.newestAcknowledged = max(counters.newestAcknowledged ?? sentAt, sentAt) }
        streams.sendBuffer = min(SendStream.mostBuffered, max(SendStream.bufferLimit, 2 * path.recovery.window))
        settleConcluded(at: now)
        timers[.loss] = path.recovery.lossTime
        armProbe(at: now)
        if path.recovery.mtu.size != size { note(.datagramSizeUpdated(path.recovery.mtu.size), at: now) }
        noteMetrics(at: now)
        // Room in the window: whatever waited for the pacer may ask again.
        timers[.pacing] = nil
    }

    /// What became of packets: their frames are done with, or go again.
    /// - Parameter counts: whether what is lost is the network's loss.
    mutating func settleConcluded(counts: Bool = true, at now: Instant) {
        while let concluded = path.recovery.nextConcluded() {
            let packet = concluded.packet
            if concluded.arrived {
                note(.packetAcknowledged(number: packet.number), at: now)
                if concluded.isSpuriousLoss { note(.spuriousLoss(number: packet.number), at: now) }
                settle(packet.frames, at: now)
                continue
            }
            guard invariants.check(packet.state == .outstanding, "a packet is lost twice") else { continue }
            note(.packetLost(number: packet.number), at: now)
            if counts, !packet.triesSize { counters.packetsLost += 1 }
            repair(packet.frames)
        }
        invariants.check(path.recovery.isSound, "what is in flight does not add up")
    }

    private mutating func settle(_ frames: SentFrames, at now: Instant) {
        for frame in frames {
            switch frame {
            case .stream(let id, let range, let fin):
                if streams.onAcknowledged(stream: id, range, fin: fin) { events.append(.streamWritable(handle, id)) }
            case .resetStream(let id): streams.onResetAcknowledged(id)
            case .ack(let largest): received.remove(0..<largest)
            case .ping(let requestedAt): events.append(.pong(handle, now - requestedAt))
            case .maxData, .maxStreamData, .maxStreams, .stopSending: break
            }
        }
    }

    mutating func detectLosses(at now: Instant) {
        path.recovery.detectLosses(at: now)
        timers[.loss] = path.recovery.lossTime
        if path.recovery.sent.ackElicitingInFlight == 0 { timers[.probe] = nil }
        settleConcluded(at: now)
        noteMetrics(at: now)
    }

    mutating func repair(_ frames: SentFrames) {
        for frame in frames {
            streams.onLost(frame)
        }
    }

    private mutating func stamp(_ number: UInt64, at now: Instant) {
        guard peerParameters.timestampsPerAck > 0 else { return }
        if stamps.count == AckFrame.maximumTimestamps { stamps.removeLast() }
        // The system's clock may be set back between two packets.
        let steps = max(UInt64(max(0, (now - receiveEpoch).microseconds / ReceiveTimestamp.stepMicroseconds)), stamps.first?.steps ?? 0)
        stamps.prepend(ReceiveTimestamp(number: number, steps: steps))
    }

    /// Decides when to acknowledge `number` (RFC 9000 section 13.2, with an explicit "now" from the sender).
    private mutating func acknowledge(_ number: UInt64, elicits: Bool, ackNow: Bool, at now: Instant) {
        let outOfOrder = number != nextExpected
        if number >= nextExpected {
            nextExpected = number + 1
            largestReceivedAt = now
            stamp(number, at: max(arrival.takenAt, receiveEpoch))
        }
        received.insert(number..<(number + 1))
        received.keepHighest(AckFrame.maximumRanges)
        guard elicits else { return }
        unacknowledgedElicited += 1
        if outOfOrder || unacknowledgedElicited >= 8 {
            acknowledgeNow = true
            return
        }
        // A millisecond lets the answer to a call carry the acknowledgement; the sender's probe allows for it.
        let patience = ackNow ? .milliseconds(1) : min(max(path.recovery.rtt.smoothed / 8, .milliseconds(1)), .milliseconds(10))
        let due = now + patience
        timers[.acknowledge] = min(timers[.acknowledge] ?? due, due)
    }
}
