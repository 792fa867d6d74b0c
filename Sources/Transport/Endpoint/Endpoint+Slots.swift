import MastTimebase

/// What the parts of an endpoint share: making, touching and retiring connections.
extension Endpoint {
    /// Stateless answers and forwarded packets waiting for the driver: two full socket batches.
    private static let outgoingLimit = 4_096
    /// What a driver's receive buffer holds: any UDP payload of an IPv4 packet.
    private static let largestDatagram: UInt64 = 65_507

    var ourParameters: TransportParameters {
        var parameters = TransportParameters()
        parameters.idleTimeoutMilliseconds = UInt64(max(0, configuration.idleTimeout.milliseconds))
        parameters.maxData = configuration.connectionWindow
        parameters.maxStreamData = configuration.streamWindow
        parameters.maxStreams = configuration.maximumStreams
        parameters.incarnation = incarnation
        parameters.versions = configuration.versions
        parameters.suites = configuration.cipherSuites
        parameters.maximumDatagramSize = Self.largestDatagram
        parameters.timestampsPerAck = max(configuration.timestampsPerAck, configuration.congestionControl.timestampsPerAck)
        return parameters
    }

    func resetToken(for id: ConnectionID) -> [UInt8] {
        var writer = ByteWriter(capacity: 8)
        writer.integer(id.rawValue)
        return Array(Hashing.hmac(key: resetKey, writer.bytes).prefix(16))
    }

    mutating func freshID(route: UInt32) -> ConnectionID {
        // 24 random bits against at most 20,000 connections: the loop ends at once.
        while true {
            let id = ConnectionID(route: route, shard: configuration.shard, random: UInt32(truncatingIfNeeded: entropy.next()))
            if id.rawValue != 0, byLocalID[id] == nil { return id }
        }
    }

    mutating func nextConnectionHandle() -> ConnectionHandle {
        defer { nextHandle += 1 }
        return ConnectionHandle(number: nextHandle)
    }

    /// A datagram that belongs to no connection's queue: answers and forwarded packets.
    mutating func emit(_ payload: [UInt8], to destination: NetworkAddress) {
        guard outgoing.count < Self.outgoingLimit else { return counters.drop(.overLimit) }
        outgoing.append(Transmit(payload: payload, destination: destination))
    }

    mutating func find(_ handle: ConnectionHandle) -> Slot? {
        if let recent, recent.connection.handle == handle, !recent.isRetired { return recent }
        recent = slots[handle]
        return recent
    }

    mutating func with(_ handle: ConnectionHandle, _ body: (inout Connection) -> Void) {
        guard let slot = find(handle) else { return }
        body(&slot.connection)
        settle(slot)
    }

    /// After any touch: events out, queue for sending, timer known.
    mutating func settle(_ slot: Slot) {
        if !slot.isQueued {
            slot.isQueued = true
            ready.append(slot)
        }
        collect(slot)
    }

    mutating func collect(_ slot: Slot) {
        defer { charge(slot) }
        if slot.connection.isBroken, !slot.isCountedBroken {
            slot.isCountedBroken = true
            counters.ownFaults += 1
        }
        if !slot.connection.events.isEmpty {
            for event in slot.connection.events {
                switch event {
                case .accepted:
                    halfOpen.remove(slot.connection.handle)
                    index(slot)
                case .migrated: index(slot)
                case .connected: nameReset(slot)
                default: break
                }
                events.append(event)
            }
            slot.connection.events.removeAll(keepingCapacity: true)
        }
        if !slot.connection.trace.isEmpty {
            traced += slot.connection.trace
            if traced.count > 65_536 { traced.removeFirst(traced.count - 65_536) }
            slot.connection.trace = []
        }
        if !slot.connection.keysToLog.isEmpty {
            keysToLog += slot.connection.keysToLog
            slot.connection.keysToLog = []
            // As many as connections may begin between two of the driver's turns, for a driver that never takes them.
            if keysToLog.count > 65_536 { keysToLog.removeFirst(keysToLog.count - 65_536) }
        }
        schedule(slot)
    }

    mutating func schedule(_ slot: Slot) {
        guard let wakeup = slot.connection.nextWakeup, slot.scheduled.last.map({ wakeup < $0 }) ?? true else { return }
        slot.scheduled.append(wakeup)
        wakeups.insert(Wakeup(time: wakeup, handle: slot.connection.handle))
    }

    mutating func retireIfClosed(_ slot: Slot) {
        guard slot.connection.isClosed else { return }
        discharge(slot)
        slot.isRetired = true
        if recent === slot { recent = nil }
        let handle = slot.connection.handle
        slots[handle] = nil
        byLocalID[slot.connection.localID] = nil
        if let name = ResetName(of: slot.connection), byReset[name] == handle { byReset[name] = nil }
        if let name = slot.initiation, byInitiation[name] == handle { byInitiation[name] = nil }
        atAddress.remove(handle)
        shares.remove(handle)
        halfOpen.remove(handle)
    }

    /// A reset finds its connection. What a peer names as its ID and token never takes another connection's place.
    mutating func nameReset(_ slot: Slot) {
        if let name = ResetName(of: slot.connection), byReset[name] == nil { byReset[name] = slot.connection.handle }
    }

    /// The connection is found by where it sends to now, and counts for whoever is there.
    mutating func index(_ slot: Slot) {
        let handle = slot.connection.handle
        if slot.address != slot.connection.path.address {
            slot.address = slot.connection.path.address
            atAddress.append(handle, to: slot.connection.path.address)
        }
        guard !slot.connection.isInitiator else { return }
        let source = source(slot)
        if shares.source(of: handle) != source { shares.add(handle, of: source) }
    }

    func source(_ slot: Slot) -> TrafficSource {
        source(slot.connection.path.address, destination: slot.connection.localID, origin: slot.connection.remoteID)
    }

    /// Whom a packet from `address` counts for, whose connection IDs are `destination` (ours) and `origin`.
    func source(_ address: NetworkAddress, destination: ConnectionID, origin: ConnectionID) -> TrafficSource {
        guard forwarderAddresses.contains(address), localRoutes.contains(destination.route) else { return TrafficSource(address) }
        return TrafficSource(route: origin.route)
    }
}
