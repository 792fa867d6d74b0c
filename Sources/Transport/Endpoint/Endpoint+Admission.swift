import MastTimebase

/// Who may open a connection: a new first message is checked against what was seen, against its source's share of each
/// table, and against the rate of key agreements, before it costs one.
extension Endpoint {
    /// What a newcomer would take the place of.
    private struct Room {
        var halfOpen: ConnectionHandle?
        var connection: ConnectionHandle?
        var isTaken: Bool { halfOpen != nil || connection != nil }
    }

    mutating func receiveInitiation(_ bytes: [UInt8], _ destination: ConnectionID, from address: NetworkAddress, at now: Instant) -> DropReason? {
        guard bytes.count == PacketHeader.initiationSize, let origin = PacketHeader.source(of: bytes) else { return .tooShort }
        guard cookies.hasValidMAC1(bytes) else { return .badMAC }
        // The same first message again: one connection, the same answer, and nothing once that is over.
        let name = register.name(of: bytes)
        if let handle = byInitiation[name], let slot = slots[handle] {
            slot.connection.repeatResponse(to: address)
            settle(slot)
            return nil
        }
        let memory = register.memory(of: name)
        guard memory != .seen else { return .replayed }

        let source = source(address, destination: destination, origin: origin)
        guard halfOpen.count(of: source) < halfOpen.allowance(of: source, of: configuration.maximumHalfOpen, alone: configuration.maximumHalfOpen),
            shares.count(of: source)
                < shares.allowance(of: source, of: configuration.maximumConnections, alone: configuration.maximumConnections / 2)
        else { return .sourceLimit }
        guard let room = room(for: source) else { return .halfOpenLimit }

        // Whoever takes another's place, or what is short, proves its address first.
        var isPaid = false
        var needsProof = memory == .perhapsOld || room.isTaken || halfOpen.count >= configuration.halfOpenBeforeCookies
        if !needsProof {
            isPaid = takeHandshakeToken(at: now)
            needsProof = !isPaid
        }
        if needsProof {
            guard cookies.hasValidMAC2(bytes, from: address, at: now, entropy: &entropy) else {
                if let reply = cookies.reply(to: bytes, from: address, at: now, entropy: &entropy) {
                    counters.cookiesSent += 1
                    emit(reply, to: address)
                }
                return .overLimit
            }
            guard isPaid || takeHandshakeToken(at: now) || handshakeBudget.take(source, at: now) else { return .overLimit }
        }
        return accept(bytes, destination, origin: origin, name: name, room: room, from: address, at: now)
    }

    /// Nil when both tables are full of those who have no more than `source`.
    private func room(for source: TrafficSource) -> Room? {
        var room = Room()
        if halfOpen.count >= configuration.maximumHalfOpen {
            room.halfOpen = halfOpen.displaced(by: source)
            if room.halfOpen == nil { return nil }
        }
        // A half-open connection that goes makes room in this table too.
        if slots.count >= configuration.maximumConnections, room.halfOpen == nil {
            room.connection = shares.displaced(by: source, fairlyOf: configuration.maximumConnections)
            if room.connection == nil { return nil }
        }
        return room
    }

    private mutating func accept(
        _ bytes: [UInt8], _ destination: ConnectionID, origin: ConnectionID, name: UInt64, room: Room, from address: NetworkAddress, at now: Instant
    ) -> DropReason? {
        guard var handshake = HandshakeResponder(identity: identity, packet: bytes),
            // Somebody took a version that both ends have from the list in the clear.
            TransportParameters.best(configuration.versions, handshake.parameters.versions) == PacketHeader.version,
            let suite = CipherSuite.choose(offered: handshake.parameters.suites, own: configuration.cipherSuites)
        else { return .handshakeFailed }
        // Arrived by a forwarder: our ID bears the same route, so that the peer's packets come the same way.
        let localID = freshID(route: destination.route)
        var parameters = ourParameters
        parameters.resetToken = resetToken(for: localID)
        parameters.suites = [suite]
        guard let (response, secrets) = handshake.respond(destination: origin, source: localID, parameters: parameters, entropy: &entropy) else {
            return .handshakeFailed
        }
        if let handle = room.halfOpen { displace(handle, at: now) }
        if let handle = room.connection { displace(handle, at: now) }
        let handle = nextConnectionHandle()
        let slot = Slot(
            Connection(
                handle: handle, acceptedFrom: address, peerKey: handshake.initiator, secrets: secrets, suite: suite, peerParameters: handshake.parameters,
                response: response, localID: localID, remoteID: origin, configuration: shared, skip: entropy.next(), at: now))
        slot.initiation = name
        slots[handle] = slot
        byLocalID[localID] = slot
        byInitiation[name] = handle
        register.insert(name)
        nameReset(slot)
        index(slot)
        halfOpen.add(handle, of: source(slot))
        counters.handshakes += 1
        settle(slot)
        return nil
    }

    /// Ends a connection so that another has its place at once. Its peer is told once; asking later gets it a reset.
    private mutating func displace(_ handle: ConnectionHandle, at now: Instant) {
        guard let slot = slots[handle] else { return }
        if halfOpen.source(of: handle) != nil, let name = slot.initiation { register.forget(name) }
        if let farewell = slot.connection.displace(at: now) { emit(farewell.payload, to: farewell.destination) }
        counters.displaced += 1
        collect(slot)
        retireIfClosed(slot)
    }

    private mutating func takeHandshakeToken(at now: Instant) -> Bool {
        let rate = configuration.handshakesPerSecond
        let elapsed = max(0, min((now - handshakeRefilled).milliseconds, 1_000))
        let earned = Int(elapsed) * rate / 1_000
        if earned > 0 {
            handshakeTokens = min(rate, handshakeTokens + earned)
            handshakeRefilled = now
        }
        guard handshakeTokens > 0 else { return false }
        handshakeTokens -= 1
        return true
    }
}
