import MastTimebase

extension Endpoint {
    /// Takes one datagram. Size, kind and connection are checked before any cryptography.
    package mutating func receive(_ datagram: RawSpan, from address: NetworkAddress, at now: Instant) {
        receive(datagram.withUnsafeBytes { [UInt8]($0) }, from: address, at: now)
    }

    package mutating func receive(
        _ bytes: consuming [UInt8], from address: NetworkAddress, mark: ECNCodepoint = .notCapable, takenAt: Instant? = nil, at now: Instant
    ) {
        var bytes = bytes
        receive(&bytes, from: address, mark: mark, takenAt: takenAt, at: now)
    }

    /// - Parameters:
    ///   - bytes: opened in place. Nothing of the endpoint keeps them, so that their memory can take the next datagram.
    ///   - takenAt: when the system took it, which may be long before anybody looked; nil for now.
    package mutating func receive(
        _ bytes: inout [UInt8], from address: NetworkAddress, mark: ECNCodepoint = .notCapable, takenAt: Instant? = nil, at now: Instant
    ) {
        receive(&bytes, in: 0..<bytes.count, from: address, mark: mark, takenAt: takenAt, at: now)
    }

    /// The same with one of several datagrams that stand side by side.
    package mutating func receive(
        _ bytes: inout [UInt8], in range: Range<Int>, from address: NetworkAddress, mark: ECNCodepoint = .notCapable, takenAt: Instant? = nil, at now: Instant
    ) {
        arrival = Arrival(mark: mark, takenAt: min(takenAt ?? now, now))
        counters.received += 1
        counters.receivedBytes += UInt64(range.count)
        if let reason = dispatch(&bytes, in: range, from: address, at: now) { counters.drop(reason) }
    }

    private mutating func dispatch(_ bytes: inout [UInt8], in range: Range<Int>, from address: NetworkAddress, at now: Instant) -> DropReason? {
        // Before all else: what cannot be answered is neither answered nor sent on.
        guard address.isAnswerable else { return .badSource }
        guard !range.isEmpty else { return .tooShort }
        if PacketHeader.kind(bytes[range.lowerBound]) == .data, range.count > PacketHeader.destinationOffset + 8,
            let destination = PacketHeader.identifier(bytes, at: range.lowerBound + PacketHeader.destinationOffset),
            destination.route == 0 || localRoutes.contains(destination.route)
        {
            return receiveData(&bytes, in: range, destination, from: address, at: now)
        }
        return dispatch(range.count == bytes.count ? bytes : Array(bytes[range]), from: address, at: now)
    }

    /// What is not a connection's data for us is rare, or sent on: it has memory of its own.
    private mutating func dispatch(_ bytes: [UInt8], from address: NetworkAddress, at now: Instant) -> DropReason? {
        guard let kind = PacketHeader.kind(of: bytes) else { return bytes.isEmpty ? .tooShort : .unknownKind }
        guard let destination = PacketHeader.destination(of: bytes) else { return .tooShort }
        if destination.route != 0, !localRoutes.contains(destination.route) {
            return forward(bytes, route: destination.route, from: address, at: now)
        }
        if kind != .data, kind != .reset, kind != .versions {
            guard let version = PacketHeader.version(of: bytes) else { return .tooShort }
            if version != PacketHeader.version {
                if kind == .initiation { tellVersions(bytes, to: address, at: now) }
                return .wrongVersion
            }
        }
        switch kind {
        case .data: return .tooShort
        case .initiation: return receiveInitiation(bytes, destination, from: address, at: now)
        case .response, .cookieReply: return receiveHandshakeAnswer(kind, bytes, destination, from: address, at: now)
        case .reset: return receiveReset(bytes, at: now)
        case .versions: return receiveVersions(bytes, destination, at: now)
        case .keyQuery:
            guard let answer = KeyExchange.answer(to: bytes, key: identity.publicKey) else { return .tooShort }
            guard keyAnswerBudget.take(TrafficSource(address), at: now) else { return .overLimit }
            emit(answer, to: address)
            return nil
        case .keyAnswer:
            guard let (nonce, key) = KeyExchange.parse(answer: bytes) else { return .tooShort }
            return answerKeyQuery(nonce, key: key, from: address)
        }
    }

    private mutating func forward(_ bytes: [UInt8], route: UInt32, from address: NetworkAddress, at now: Instant) -> DropReason? {
        // Where a packet names its sender's route, it is the sender's own: a receiver answers there, and counts a first message for it.
        switch PacketHeader.kind(of: bytes) {
        case .initiation, .response, .cookieReply, .versions:
            guard let origin = PacketHeader.source(of: bytes), forwarder.isHome(origin.route, at: address) else { return .notForwardable }
        case .data, .reset, .keyQuery, .keyAnswer, nil: break
        }
        guard let next = forwarder.forward(route, from: address, bytes: bytes.count, at: now) else { return .notForwardable }
        counters.forwarded += 1
        counters.forwardedBytes += UInt64(bytes.count)
        emit(bytes, to: next)
        return nil
    }

    private mutating func receiveData(
        _ bytes: inout [UInt8], in range: Range<Int>, _ destination: ConnectionID, from address: NetworkAddress, at now: Instant
    ) -> DropReason? {
        guard range.count >= PacketHeader.dataHeaderSize + PacketHeader.tagSize else { return .tooShort }
        guard let slot = find(destination) else {
            // Shorter than what asked for it, and rarely: two endpoints cannot reset each other in a loop.
            if range.count > PacketHeader.resetSize, resetBudget.take(TrafficSource(address), at: now) {
                var writer = ByteWriter(capacity: PacketHeader.resetSize)
                writer.byte(PacketKind.reset.rawValue)
                writer.integer(destination.rawValue)
                writer.append(resetToken(for: destination))
                counters.resetsSent += 1
                emit(writer.bytes, to: address)
            }
            return .unknownConnection
        }
        slot.connection.arrival = arrival
        let reason = slot.connection.receiveData(&bytes, in: range, from: address, at: now, random: entropy.next())
        if reason == nil { refresh(slot, at: now) }
        settle(slot)
        return reason
    }

    private mutating func find(_ id: ConnectionID) -> Slot? {
        if let recent, recent.connection.localID == id, !recent.isRetired { return recent }
        recent = byLocalID[id]
        return recent
    }

    /// A stateless reset names the ID that *we* send to; only the token that its owner gave us makes it count.
    private mutating func receiveReset(_ bytes: [UInt8], at now: Instant) -> DropReason? {
        guard bytes.count == PacketHeader.resetSize, let id = PacketHeader.destination(of: bytes) else { return .tooShort }
        guard let handle = byReset[ResetName(id: id, token: Array(bytes[9...]))], let slot = slots[handle] else { return .unknownConnection }
        slot.connection.finish(.reset, at: now)
        settle(slot)
        return nil
    }

    /// Who is heard of is asked to leave last. To a second is near enough, and costs a busy connection nothing.
    private mutating func refresh(_ slot: Slot, at now: Instant) {
        guard slot.refreshed.map({ now - $0 >= .seconds(1) }) ?? true else { return }
        slot.refreshed = now
        shares.refresh(slot.connection.handle)
    }

    private mutating func receiveHandshakeAnswer(
        _ kind: PacketKind, _ bytes: [UInt8], _ destination: ConnectionID, from address: NetworkAddress, at now: Instant
    ) -> DropReason? {
        guard let slot = byLocalID[destination] else { return .unknownConnection }
        let reason =
            kind == .response ? slot.connection.receiveResponse(bytes, from: address, at: now) : slot.connection.receiveCookie(bytes, at: now)
        settle(slot)
        return reason
    }
}
