import MastTimebase

extension Connection {
    /// The next datagram, behind those in `batch`; false when there is none. Call until then after every arrival, timeout or command.
    mutating func pollTransmit(into batch: inout DatagramBatch, at now: Instant) -> Bool {
        endIfBroken(at: now)
        if isEstablished {
            if let transmit = pollElsewhere(at: now) { batch.append(transmit.payload, to: transmit.destination) } else {
                return isEstablished && nextPacket(into: &batch, at: now)
            }
            return true
        }
        guard let transmit = pollHandshake(at: now) else { return false }
        batch.append(transmit.payload, to: transmit.destination)
        return true
    }

    /// Before the connection is established, and after its end.
    private mutating func pollHandshake(at now: Instant) -> Transmit? {
        switch phase {
        case .handshaking(var handshake):
            guard initiationPending else { return nil }
            let packet = handshake.packet(cookie: cookie)
            phase = .handshaking(handshake)
            initiationPending = false
            initiationAttempts += 1
            if initiationAttempts > 1 { counters.packetsRetransmitted += 1 }
            firstInitiationAt = firstInitiationAt ?? now
            note(.handshakeSent(attempt: initiationAttempts), at: now)
            let interval = initiationInterval
            timers[.handshake] = now + interval
            return account(packet)
        case .awaitingConfirmation(let response):
            if let address = responseElsewhere {
                // A quarter of the repeat that asked for it.
                responseElsewhere = nil
                counters.packetsSent += 1
                counters.bytesSent += UInt64(response.count)
                return Transmit(payload: response, destination: address)
            }
            guard responsePending, path.maySend(response.count) else { return nil }
            responsePending = false
            responsesSent += 1
            firstResponseAt = firstResponseAt ?? now
            return account(response)
        case .closing:
            guard closePending, let closeFrame else { return nil }
            closePending = false
            var writer = ByteWriter.packet(capacity: 64)
            writer.frame(closeFrame)
            guard seal(&writer, flags: 0, at: now) else { return nil }
            // A number of its own each time: under one key none is used twice.
            path.recovery.passOver()
            return account(writer.bytes)
        case .established, .closed: return nil
        }
    }

    /// Between repeats of the first message: a round trip as assumed, and half of one longer each time, to one second. With 100 ms it
    /// leaves at 0, 100, 250, 450, 700 ms: the first of so many is mostly lost for good where it is lost, and costs a packet where not.
    private var initiationInterval: Interval {
        let first = max(Interval.milliseconds(100), configuration.initialRTT)
        return min(first * Int64(initiationAttempts + 1) / 2, .seconds(1))
    }

    private mutating func account(_ bytes: Int) {
        counters.packetsSent += 1
        counters.bytesSent += UInt64(bytes)
        if !path.isValidated { path.sent += bytes }
    }

    private mutating func account(_ packet: [UInt8]) -> Transmit {
        account(packet.count)
        return Transmit(payload: packet, destination: path.address)
    }

    /// False when the key may seal no more: the connection is over then (RFC 9001 section 6.6).
    mutating func seal(_ packet: inout ByteWriter, flags: UInt8, at now: Instant) -> Bool {
        guard invariants.check(nextNumber >= unsealedNumber, "a packet number is used twice") else {
            finish(.violation(code: TransportErrorCode.internalError.rawValue, reason: "a packet number is used twice"), at: now)
            return false
        }
        unsealedNumber = nextNumber + 1
        changeKeysIfDue(at: now)
        let number = nextNumber
        guard protection?.seal(&packet, destination: remoteID, number: number, flags: flags, path: path.identifier) == true else {
            let isWornOut = protection?.isWornOut ?? false
            let violation =
                isWornOut ? ProtocolViolation(code: .aeadLimit, reason: "the peer never confirmed the key in use")
                : ProtocolViolation(code: .internalError, reason: "packet protection failed")
            finish(.violation(code: violation.code.rawValue, reason: violation.reason), at: now)
            return false
        }
        return true
    }

    /// Whether the window and the pacer let a data packet go; a blocked pacer sets its timer.
    private mutating func mayCarryData(at now: Instant) -> Bool {
        switch path.recovery.maySend(datagramSize, at: now) {
        case .now: return true
        case .later: return false
        case .at(let until):
            timers[.pacing] = until
            return false
        }
    }

    private mutating func nextPacket(into batch: inout DatagramBatch, at now: Instant) -> Bool {
        let room = path.allowance(datagramSize)
        guard room >= 64 else { return false }
        let isProbe = probesPending > 0
        let wantsData = elicitPending || !pings.isEmpty || streams.hasSendable
        if !wantsData { path.recovery.onNothingToSend(full: datagramSize) }
        let carriesData = wantsData && (isProbe || mayCarryData(at: now))
        guard carriesData || acknowledgeNow else { return false }

        let size = carriesData && !isProbe ? sizeToTry(at: now) : nil
        let limit = (size ?? room) - PacketHeader.tagSize
        var writer = ByteWriter.packet(behind: &batch.bytes, capacity: limit - PacketHeader.dataHeaderSize)
        let isMade =
            size == nil
            ? fill(&writer, limit: limit, carriesData: carriesData, isProbe: isProbe, at: now) : trySize(&writer, limit: limit, at: now)
        if isMade { account(writer.count) } else { writer.drop() }
        writer.giveBack(to: &batch.bytes)
        if isMade { batch.close(to: path.address) }
        return isMade
    }

    private mutating func fill(_ writer: inout ByteWriter, limit: Int, carriesData: Bool, isProbe: Bool, at now: Instant) -> Bool {
        var frames = SentFrames()
        if !received.isEmpty, acknowledgeNow || unacknowledgedElicited > 0 || carriesData { writeAck(&writer, &frames, limit: limit, at: now) }
        var elicits = false
        var repairs = false
        if carriesData { elicits = writeData(&writer, &frames, limit: limit, isProbe: isProbe, repairs: &repairs, at: now) }
        guard writer.count > PacketHeader.dataHeaderSize else { return false }
        if isProbe, fillsProbe {
            fillsProbe = false
            writer.pad(to: limit)
        }

        // Nothing left to say: ask to hear at once whether this arrived, so that tail loss is found in a round trip.
        let ackNow = elicits && (isProbe || !streams.hasSendable)
        skipNumberIfDue(at: now)
        let number = nextNumber
        guard seal(&writer, flags: ackNow ? PacketHeader.ackNowBit : 0, at: now) else { return false }
        let isCopied = copyToCandidates(writer, at: now)
        if repairs { counters.packetsRetransmitted += 1 }
        if elicits, !repairs { considerRepair(of: frames, number: number, at: now) }
        record(writer.count, elicits: elicits, isCopied: isCopied, frames: frames, at: now)
        note(.packetSent(number: number, bytes: writer.count, retransmission: repairs, probe: isProbe && elicits), at: now)
        return true
    }

    /// How large a packet of nothing may be that is larger than those before, while more is to follow: what follows shows what became
    /// of it. It goes in the place of a full packet, though the window may have no room for the few bytes more.
    private mutating func sizeToTry(at now: Instant) -> Int? {
        guard path.isValidated, candidates.isEmpty, streams.hasSendable else { return nil }
        return path.recovery.sizeToTry(peer: Int(clamping: peerParameters.maximumDatagramSize), at: now)
    }

    private mutating func trySize(_ writer: inout ByteWriter, limit: Int, at now: Instant) -> Bool {
        skipNumberIfDue(at: now)
        let number = nextNumber
        writer.frame(.ping)
        writer.pad(to: limit)
        guard seal(&writer, flags: 0, at: now) else { return false }
        record(writer.count, elicits: true, isCopied: false, triesSize: true, frames: SentFrames(), at: now)
        note(.packetSent(number: number, bytes: writer.count, retransmission: false, probe: false), at: now)
        return true
    }

    private mutating func writeAck(_ writer: inout ByteWriter, _ frames: inout SentFrames, limit: Int, at now: Instant) {
        guard let last = received.last else { return }
        let largest = last.upperBound - 1
        var told = ShortArray<ReceiveTimestamp>()
        // Where a packet must be small, what it carries goes before what is good to know.
        let most = limit >= 1_000 ? Int(clamping: peerParameters.timestampsPerAck) : 0
        for stamp in stamps where stamp.number <= largest && told.count < most { told.append(stamp) }
        let ranges = received.count
        writer.ackFrame(
            path: path.identifier, count: ranges,
            range: { [received] index in
                let range = received[ranges - 1 - index]
                return range.lowerBound...(range.upperBound - 1)
            },
            delayMicroseconds: UInt64(max(0, (now - largestReceivedAt).microseconds)), marks: marks == ECNCounts() ? nil : marks, timestamps: told)
        // Told once: should this be lost, the next ones tell of later packets.
        if !stamps.isEmpty { stamps.removeAll(keepingCapacity: true) }
        frames.append(.ack(largest: largest))
        acknowledgeNow = false
        unacknowledgedElicited = 0
        timers[.acknowledge] = nil
    }

    /// True when the packet now asks for an acknowledgement.
    private mutating func writeData(_ writer: inout ByteWriter, _ frames: inout SentFrames, limit: Int, isProbe: Bool, repairs: inout Bool, at now: Instant) -> Bool {
        let start = writer.count
        for requestedAt in pings {
            writer.frame(.ping)
            frames.append(.ping(requestedAt: requestedAt))
        }
        pings = []
        repairs = streams.fill(&writer, limit: limit, sent: &frames, at: now)
        if elicitPending {
            elicitPending = false
            if writer.count == start { writer.frame(.ping) }
        }
        if isProbe { probesPending = 0 }
        return writer.count > start
    }

    mutating func skipNumberIfDue(at now: Instant) {
        guard nextNumber == skipNumber else { return }
        path.recovery.skip(at: now)
        // Ever further apart: an optimistic acknowledger must guess right each time (quiche does likewise).
        skipNumber += 256 + skipNumber % 509
    }

    private mutating func record(_ bytes: Int, elicits: Bool, isCopied: Bool, triesSize: Bool = false, frames: SentFrames, at now: Instant) {
        // What asks for no acknowledgement may never get one: nothing is kept of it.
        guard elicits else { return path.recovery.passOver() }
        path.recovery.onSent(bytes: bytes, full: datagramSize, isCopied: isCopied, triesSize: triesSize, frames: frames, at: now)
        // Into silence it is the probes that count, which carry calls: what leaves beside them, be it a ping, puts none off.
        if path.recovery.consecutiveProbes == 0 || timers[.probe] == nil { armProbe(at: now) }
        armIdleBySend(at: now)
    }
}
