import MastTimebase

extension Endpoint {
    /// Takes one datagram. Size, kind and connection are checked before any cryptography.
    package mutating func receive(_ datagram: RawSpan, from address: NetworkAddress, at now: Instant) {
        let bytes = datagram.withUnsafeBytes { [UInt8]($0) }
        receive(bytes, from: address, at: now)
    }

    package mutating func receive(_ bytes: [UInt8], from address: NetworkAddress, at now: Instant) {
        counters.received += 1
        counters.receivedBytes += UInt64(bytes.count)
        if let reason = dispatch(bytes, from: address, at: now) { counters.drop(reason) }
    }

    private mutating func dispatch(_ bytes: [UInt8], from address: NetworkAddress, at now: Instant) -> DropReason? {
        guard let kind = PacketHeader.kind(of: bytes) else { return bytes.isEmpty ? .tooShort : .unknownKind }
        guard let destination = PacketHeader.destination(of: bytes) else { return .tooShort }
        if destination.route != 0, !localRoutes.contains(destination.route) {
            return forward(bytes, route: destination.route, from: address, at: now)
        }
        if kind != .data, kind != .reset, bytes[1] != PacketHeader.version { return .wrongVersion }
        switch kind {
        case .data: return receiveData(bytes, destination, from: address, at: now)
        case .initiation: return receiveInitiation(bytes, destination, from: address, at: now)
        case .response, .cookieReply: return receiveHandshakeAnswer(kind, bytes, destination, from: address, at: now)
        case .reset: return receiveReset(bytes, at: now)
        case .keyQuery:
            guard let answer = KeyExchange.answer(to: bytes, key: identity.publicKey) else { return .tooShort }
            guard takeResetToken(at: now) else { return .overLimit }
            emit(answer, to: address)
            return nil
        case .keyAnswer:
            guard let (nonce, key) = KeyExchange.parse(answer: bytes) else { return .tooShort }
            return answerKeyQuery(nonce, key: key, from: address)
        }
    }

    private mutating func forward(_ bytes: [UInt8], route: UInt32, from address: NetworkAddress, at now: Instant) -> DropReason? {
        guard let next = forwarder.forward(route, from: address, bytes: bytes.count, at: now) else { return .notForwardable }
        counters.forwarded += 1
        counters.forwardedBytes += UInt64(bytes.count)
        emit(bytes, to: next)
        return nil
    }

    private mutating func receiveData(_ bytes: [UInt8], _ destination: ConnectionID, from address: NetworkAddress, at now: Instant) -> DropReason? {
        guard bytes.count >= PacketHeader.dataHeaderSize + PacketHeader.tagSize else { return .tooShort }
        guard let handle = byLocalID[destination], let slot = slots[handle] else {
            // Shorter than what asked for it, and rarely: two endpoints cannot reset each other in a loop.
            if bytes.count > PacketHeader.resetSize, takeResetToken(at: now) {
                var writer = ByteWriter(capacity: PacketHeader.resetSize)
                writer.byte(PacketKind.reset.rawValue << 4)
                writer.integer(destination.rawValue)
                writer.append(resetToken(for: destination))
                counters.resetsSent += 1
                emit(writer.bytes, to: address)
            }
            return .unknownConnection
        }
        let reason = slot.connection.receiveData(bytes, from: address, at: now, random: entropy.next())
        settle(slot)
        return reason
    }

    /// A stateless reset names the ID that *we* send to; only the token that its owner gave us makes it count.
    private mutating func receiveReset(_ bytes: [UInt8], at now: Instant) -> DropReason? {
        guard bytes.count == PacketHeader.resetSize, let id = PacketHeader.identifier(bytes, at: 1) else { return .tooShort }
        guard let handle = byRemoteID[id], let slot = slots[handle] else { return .unknownConnection }
        let token = slot.connection.peerParameters.resetToken
        guard !token.isEmpty, Hashing.constantTimeEqual(token, bytes[9...]) else { return .unauthentic }
        slot.connection.finish(.reset, at: now)
        settle(slot)
        return nil
    }

    private mutating func receiveHandshakeAnswer(
        _ kind: PacketKind, _ bytes: [UInt8], _ destination: ConnectionID, from address: NetworkAddress, at now: Instant
    ) -> DropReason? {
        guard let handle = byLocalID[destination], let slot = slots[handle] else { return .unknownConnection }
        let reason =
            kind == .response ? slot.connection.receiveResponse(bytes, from: address, at: now) : slot.connection.receiveCookie(bytes, at: now)
        settle(slot)
        return reason
    }

    private mutating func receiveInitiation(_ bytes: [UInt8], _ destination: ConnectionID, from address: NetworkAddress, at now: Instant) -> DropReason? {
        guard bytes.count == PacketHeader.initiationSize, let source = PacketHeader.identifier(bytes, at: 10) else { return .tooShort }
        guard cookies.hasValidMAC1(bytes) else { return .badMAC }
        // The same first message again: one connection, the same answer.
        let key = initiationKey(bytes)
        if let handle = byInitiation[key], let slot = slots[handle] {
            slot.connection.repeatResponse()
            settle(slot)
            return nil
        }
        guard halfOpen < configuration.maximumHalfOpen, slots.count < configuration.maximumConnections else { return .halfOpenLimit }
        if halfOpen >= configuration.halfOpenBeforeCookies || !takeHandshakeToken(at: now) {
            guard cookies.hasValidMAC2(bytes, from: address, at: now, entropy: &entropy) else {
                if let reply = cookies.reply(to: bytes, from: address, at: now, entropy: &entropy) {
                    counters.cookiesSent += 1
                    emit(reply, to: address)
                }
                return .overLimit
            }
        }
        return accept(bytes, destination, source: source, key: key, from: address, at: now)
    }

    private mutating func accept(
        _ bytes: [UInt8], _ destination: ConnectionID, source: ConnectionID, key: UInt64, from address: NetworkAddress, at now: Instant
    ) -> DropReason? {
        guard var handshake = HandshakeResponder(identity: identity, packet: bytes) else { return .handshakeFailed }
        // Arrived by a forwarder: our ID bears the same route, so that the peer's packets come the same way.
        let localID = freshID(route: destination.route)
        var parameters = ourParameters
        parameters.resetToken = resetToken(for: localID)
        guard let (response, secrets) = handshake.respond(destination: source, source: localID, parameters: parameters, entropy: &entropy) else {
            return .handshakeFailed
        }
        let handle = nextConnectionHandle()
        let slot = Slot(
            Connection(
                handle: handle, acceptedFrom: address, peerKey: handshake.initiator, secrets: secrets, peerParameters: handshake.parameters,
                response: response, localID: localID, remoteID: source, configuration: configuration, skip: entropy.next(), at: now))
        slot.initiationKey = key
        slot.countsAsHalfOpen = true
        slots[handle] = slot
        byLocalID[localID] = handle
        byRemoteID[source] = handle
        byInitiation[key] = handle
        halfOpen += 1
        counters.handshakes += 1
        settle(slot)
        return nil
    }

    /// The first 8 bytes of the initiator's ephemeral key, which no two handshakes share.
    private func initiationKey(_ bytes: [UInt8]) -> UInt64 {
        PacketHeader.identifier(bytes, at: PacketHeader.longHeaderSize)?.rawValue ?? 0
    }
}
