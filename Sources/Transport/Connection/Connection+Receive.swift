import MastTimebase

extension Connection {
    /// The responder's answer; anything but an authentic one is a drop.
    mutating func receiveResponse(_ packet: [UInt8], from address: NetworkAddress, at now: Instant) -> DropReason? {
        guard case .handshaking(var handshake) = phase else { return .unexpected }
        guard let source = PacketHeader.identifier(packet, at: 10), let (secrets, parameters) = handshake.finish(with: packet) else {
            return .handshakeFailed
        }
        remoteID = source
        protection = PacketProtection(sendSecret: secrets.send, receiveSecret: secrets.receive)
        handshakeHash = secrets.hash
        peerParameters = parameters
        streams.apply(parameters)
        phase = .established
        statistics.packetsReceived += 1
        statistics.bytesReceived += UInt64(packet.count)
        statistics.lastReceived = now
        if initiationAttempts == 1, let sentAt = initiationSentAt { path.rtt.update(sample: now - sentAt, ackDelay: .zero) }
        timers[.handshake] = nil
        timers[.handshakeLimit] = nil
        armIdle(at: now)
        // The responder may not send much before it hears from us with the new keys.
        elicitPending = true
        events.append(.connected(handle, peerKey: peerKey))
        note(.connected, at: now)
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

    /// The initiator repeated its first message: our answer was lost.
    mutating func repeatResponse() {
        if isHalfOpen {
            path.received += PacketHeader.initiationSize
            responsePending = true
        }
    }

    mutating func receiveData(_ packet: [UInt8], from address: NetworkAddress, at now: Instant, random: UInt64) -> DropReason? {
        guard packet.count >= PacketHeader.dataHeaderSize + PacketHeader.tagSize else { return .tooShort }
        guard protection != nil else { return .unexpected }
        if case .closed = phase { return .unknownConnection }
        let truncated = packet[9..<13].reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
        let number = PacketNumber.widen(truncated, largest: replay.largest)
        guard replay.accepts(number) else { return .replayed }
        guard let payload = protection?.open(packet, number: number, path: path.identifier) else { return .unauthentic }
        let isNewest = replay.largest.map { number > $0 } ?? true
        replay.insert(number)

        statistics.packetsReceived += 1
        statistics.bytesReceived += UInt64(packet.count)
        statistics.lastReceived = now
        note(.packetReceived(number: number, bytes: packet.count), at: now)
        if case .closing = phase {
            if closeRepliesLeft > 0 {
                closeRepliesLeft -= 1
                closePending = true
            }
            return nil
        }
        confirm(from: address, at: now)
        follow(address, isNewest: isNewest, bytes: packet.count, random: random, at: now)
        armIdle(at: now)

        var frames = FrameReader(payload)
        var elicits = false
        do throws(ProtocolViolation) {
            while let frame = try frames.next() {
                elicits = try receive(frame, from: address, at: now) || elicits
                guard isUsable else { return nil }
            }
        } catch {
            fail(error, at: now)
            return nil
        }
        acknowledge(number, elicits: elicits, ackNow: packet[0] & PacketHeader.ackNowBit != 0, at: now)
        return nil
    }

    /// The initiator's first authentic packet proves its address and that it holds the keys.
    private mutating func confirm(from address: NetworkAddress, at now: Instant) {
        guard isHalfOpen else { return }
        phase = .established
        timers[.handshakeLimit] = nil
        if address == path.address { path.isValidated = true }
        if responsesSent == 1, let sentAt = responseSentAt { path.rtt.update(sample: now - sentAt, ackDelay: .zero) }
        events.append(.accepted(handle, peerKey: peerKey))
        note(.connected, at: now)
    }

    /// Roams with the initiator: the newest authentic packet says where it is now.
    private mutating func follow(_ address: NetworkAddress, isNewest: Bool, bytes: Int, random: UInt64, at now: Instant) {
        if address == path.address {
            if !path.isValidated { path.received += bytes }
            return
        }
        guard !isInitiator, isNewest else { return }
        let sameHost = address.with(port: 0) == path.address.with(port: 0)
        path.address = address
        path.isValidated = false
        path.received = bytes
        path.sent = 0
        path.challenge = random
        path.challengePending = true
        consecutiveProbes = 0
        if !sameHost {
            // Another network: what was learned about the old one no longer holds (RFC 9000 section 9.4).
            path.controller.onPathChange(at: now)
            path.rtt = RTTEstimator(initial: max(path.rtt.smoothed, configuration.initialRTT))
        }
        statistics.migrations += 1
        events.append(.migrated(handle, to: address))
        note(.migrated(address), at: now)
    }

    /// One frame; true when it asks for an acknowledgement.
    private mutating func receive(_ frame: Frame, from address: NetworkAddress, at now: Instant) throws(ProtocolViolation) -> Bool {
        switch frame {
        case .ack(let ack):
            try receive(ack, at: now)
            return false
        case .close(let code, let reason):
            let closeReason: CloseReason =
                code >= Self.applicationCodeBase ? .peer(code: code - Self.applicationCodeBase, reason: reason) : .violation(code: code, reason: reason)
            finish(closeReason, at: now)
            return false
        case .ping: break
        case .stream(let stream):
            switch try streams.receive(stream) {
            case .nothing: break
            case .opened(let remaining):
                // A remaining time beyond an hour is no deadline worth the name, and cannot overflow.
                let deadline = remaining.map { now + .microseconds(Int64(min($0, 3_600_000_000))) }
                events.append(.streamOpened(handle, stream.id, deadline: deadline))
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
            // The newest challenge is answered; a queue of them would be an attacker's memory (CVE-2023-49295).
            path.responsePending = word
        case .pathResponse(let word):
            if address == path.address, path.challenge == word {
                path.challenge = nil
                path.challengePending = false
                path.isValidated = true
            }
        }
        return true
    }

    private mutating func receive(_ ack: AckFrame, at now: Instant) throws(ProtocolViolation) {
        guard let largest = ack.ranges.first?.upperBound else { return }
        guard largest < sent.nextNumber else {
            throw ProtocolViolation(code: .protocolViolation, reason: "acknowledgement of a packet never sent")
        }
        var newlyAcknowledged = false
        var largestNewly: SentPacket?
        var spurious: UInt64?
        for range in ack.ranges {
            guard range.upperBound >= sent.firstNumber else { break }
            var number = max(range.lowerBound, sent.firstNumber)
            while number <= range.upperBound {
                defer { number += 1 }
                guard let packet = sent[number], packet.state != .acknowledged else { continue }
                guard packet.state != .skipped else {
                    throw ProtocolViolation(code: .protocolViolation, reason: "acknowledgement of a skipped packet number")
                }
                guard let packet = sent.conclude(number, as: .acknowledged) else { continue }
                newlyAcknowledged = true
                note(.packetAcknowledged(number: number), at: now)
                if number == largest { largestNewly = packet }
                if packet.state == .lost { spurious = max(spurious ?? 0, largest - number) }
                conclude(packet, at: now)
            }
        }
        guard newlyAcknowledged else { return }
        detector.onAcknowledged(largest: largest)
        if let packet = largestNewly, packet.ackEliciting {
            let delay = Interval.microseconds(Int64(min(ack.delayMicroseconds, 1_000_000)))
            path.rtt.update(sample: now - packet.sentAt, ackDelay: delay)
            statistics.newestAcknowledged = max(statistics.newestAcknowledged ?? packet.sentAt, packet.sentAt)
        }
        consecutiveProbes = 0
        if let spurious {
            statistics.spuriousLosses += 1
            detector.onSpuriousLoss(distance: spurious)
            path.controller.onSpuriousLoss(at: now)
        }
        detectLosses(at: now)
        sent.prune(lostBefore: now - max(path.rtt.smoothed * 3, .milliseconds(300)))
        armProbe(at: now)
        if configuration.tracing {
            note(
                .metricsUpdated(
                    latestRTT: path.rtt.latest, smoothedRTT: path.rtt.smoothed, minimumRTT: path.rtt.minimum,
                    bytesInFlight: sent.bytesInFlight, window: path.controller.window), at: now)
        }
        // Room in the window: whatever waited for the pacer may ask again.
        timers[.pacing] = nil
    }

    private mutating func conclude(_ packet: SentPacket, at now: Instant) {
        if packet.ackEliciting, packet.state == .outstanding {
            path.controller.onAcknowledged(bytes: packet.bytes, sentAt: packet.sentAt, rtt: path.rtt, limited: packet.windowLimited, at: now)
        }
        for frame in packet.frames {
            switch frame {
            case .stream(let id, let range, let fin):
                if streams.onAcknowledged(stream: id, range, fin: fin) { events.append(.streamWritable(handle, id)) }
            case .resetStream(let id): streams.onResetAcknowledged(id)
            case .ack(let largest): received.remove(0..<largest)
            case .ping(let requestedAt): events.append(.pong(handle, now - requestedAt))
            case .maxData, .maxStreamData, .maxStreams, .stopSending, .pathChallenge: break
            }
        }
    }

    mutating func detectLosses(at now: Instant) {
        let (lost, again) = detector.detect(in: sent, rtt: path.rtt, at: now)
        timers[.loss] = again
        guard !lost.isEmpty else { return }
        var bytes = 0
        var latest = Instant.zero
        for number in lost {
            guard let packet = sent.conclude(number, as: .lost) else { continue }
            bytes += packet.bytes
            latest = max(latest, packet.sentAt)
            statistics.packetsLost += 1
            note(.packetLost(number: number), at: now)
            repair(packet.frames)
        }
        path.controller.onLoss(bytes: bytes, latestSentAt: latest, at: now)
    }

    mutating func repair(_ frames: [SentFrame]) {
        for frame in frames {
            if case .pathChallenge = frame, path.challenge != nil { path.challengePending = true }
            streams.onLost(frame)
        }
    }

    /// Decides when to acknowledge `number` (RFC 9000 section 13.2, with an explicit "now" from the sender).
    private mutating func acknowledge(_ number: UInt64, elicits: Bool, ackNow: Bool, at now: Instant) {
        let outOfOrder = received.last.map { number != $0.upperBound } ?? (number != 0)
        if received.last.map({ number >= $0.upperBound }) ?? true { largestReceivedAt = now }
        received.insert(number..<(number + 1))
        received.keepHighest(AckFrame.maximumRanges)
        guard elicits else { return }
        unacknowledgedElicited += 1
        if outOfOrder || unacknowledgedElicited >= 8 {
            acknowledgeNow = true
            return
        }
        // A millisecond lets the answer to a call carry the acknowledgement; the sender's probe allows for it.
        let patience = ackNow ? .milliseconds(1) : min(max(path.rtt.smoothed / 8, .milliseconds(1)), .milliseconds(10))
        let due = now + patience
        timers[.acknowledge] = min(timers[.acknowledge] ?? due, due)
    }
}
