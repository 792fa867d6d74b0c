import Collections
import MastTimebase

/// All connections of one UDP socket, sans-IO, and the forwarder in front of others.
///
/// The one rule for callers: after *any* call, poll `pollTransmit` and `pollEvent` until nil, and arm one timer
/// for `nextWakeup`.
///
///     endpoint.receive(datagram, from: peer, at: now)       // or handleTimeout(at:), or a command
///     while let transmit = endpoint.pollTransmit(at: now) { socket.send(transmit) }
///     while let event = endpoint.pollEvent() { … }
///     timer.arm(endpoint.nextWakeup)
///
/// Peer input never traps and is never thrown at the caller: it ends as an event, or as a drop in `counters`.
package struct Endpoint: ~Copyable {
    /// Holds a connection in place: one reference, one exclusivity check per event.
    final class Slot {
        // Exclusivity holds by ownership: an endpoint cannot be copied, and hands its connections to nobody.
        @exclusivity(unchecked) var connection: Connection
        var isQueued = false
        /// This connection's entries among the endpoint's wake-ups. Each is earlier than the one before it, so the
        /// last is the next to come; an entry is added only when none comes in time. A busy connection thus keeps
        /// one entry for its idle timeout, not one for every packet that moved it.
        var scheduled: [Instant] = []
        /// Responders only: the name under which a repeated first message finds its connection.
        var initiation: UInt64?
        /// Where the endpoint's index has it.
        var address: NetworkAddress?
        /// When it was last sent to the end of its source's queue.
        var refreshed: Instant?
        /// Out of all tables: whatever still happens to it counts nowhere.
        var isRetired = false
        /// What the ledgers were told of this connection.
        var charge = Charge()
        /// In the queue of those that may pause.
        var mayRest = false
        /// Its fault of ours is counted.
        var isCountedBroken = false
        init(_ connection: consuming Connection) { self.connection = connection }
    }

    struct Wakeup: Comparable {
        var time: Instant
        var handle: ConnectionHandle
        static func < (a: Wakeup, b: Wakeup) -> Bool { (a.time, a.handle) < (b.time, b.handle) }
    }

    struct KeyQuery {
        var address: NetworkAddress
        var nonce: UInt64
        var nextAt: Instant
        var attemptsLeft: Int
    }

    let identity: StaticKeyPair
    let configuration: TransportConfiguration
    /// The same, for connections.
    let shared: SharedConfiguration
    var entropy: any RandomNumberGenerator & Sendable
    /// Random number of this run; a peer that sees another one knows that we restarted.
    package let incarnation: UInt64
    /// Routes by which packets for us arrive from a forwarder. Connection IDs that we choose for end-to-end
    /// connections begin with the first.
    package var localRoutes: [UInt32] = []
    /// Addresses of the forwarders that this endpoint is registered with: what they bring for our routes counts for the
    /// initiator's route, not for them.
    package var forwarderAddresses: [NetworkAddress] = []
    package var forwarder = RouteTable()
    package var counters = EndpointCounters()
    var invariants: Invariants
    /// What peers make this endpoint hold: theirs that nobody is done with, and ours that they do not acknowledge.
    package internal(set) var held: SourceLedger
    package internal(set) var unread: SourceLedger

    var slots: [ConnectionHandle: Slot] = [:]  // lookup only
    /// Asked for last, and mostly next.
    var recent: Slot?
    var byLocalID: [ConnectionID: Slot] = [:]  // lookup only
    /// By what would reset it: the ID we send to and its token, which nobody else knows.
    var byReset: [ResetName: ConnectionHandle] = [:]  // lookup only
    var byInitiation: [UInt64: ConnectionHandle] = [:]  // lookup only
    /// Connections by the address they send to.
    var atAddress = QueueTable<NetworkAddress, ConnectionHandle>()
    /// Accepted connections, each source's longest silent first; ours, dialled, are nobody's share.
    var shares = SourceShares()
    /// Those of them whose peer has not yet proved that it receives, each source's oldest first.
    var halfOpen = SourceShares()
    var register: InitiationRegister
    var nextHandle: UInt64 = 1
    var ready: Deque<Slot> = []
    var wakeups = Heap<Wakeup>()
    var resting = RestQueue()
    var outgoing: Deque<Transmit> = []
    /// Memory for callers that want one at a time.
    private var single = DatagramBatch()
    var events: Deque<EndpointEvent> = []
    /// Of the datagram at hand.
    var arrival = Arrival()
    var traced: [TracedEvent] = []
    var keysToLog: [PacketKeys] = []
    var keyQueries: [KeyQuery] = []
    var cookies: AddressCookie
    let resetKey: [UInt8]
    var handshakeTokens: Int
    var handshakeRefilled = Instant.zero
    /// Key agreements beyond what all share.
    var handshakeBudget: SourceBudget
    /// Connections that look after their way because of hints about one address. Without it ten thousand connections of a
    /// client that is gone would answer each other's probes' ICMP messages with probes.
    var hintBudget: SourceBudget
    /// A source of many connections learns of our restart within seconds. All together: 131,072 resets a second,
    /// 3 MB, each smaller than what asked for it.
    var resetBudget: SourceBudget
    /// One question and its repeats for each of a few users of a source. All together: 65,536 answers a second, 3 MB.
    var keyAnswerBudget: SourceBudget

    package init(identity: StaticKeyPair, configuration: TransportConfiguration, entropy: any RandomNumberGenerator & Sendable) {
        self.identity = identity
        self.configuration = configuration
        shared = SharedConfiguration(configuration)
        var entropy = entropy
        held = SourceLedger(perSource: configuration.heldBytesPerSource, inAll: configuration.heldBytes)
        unread = SourceLedger(perSource: configuration.unreadBytesPerSource, inAll: configuration.unreadBytes)
        invariants = Invariants(stops: configuration.stopsAtOwnFaults)
        incarnation = entropy.next()
        let salts = (0..<8).map { _ in entropy.next() }
        self.entropy = entropy
        cookies = AddressCookie(responder: identity.publicKey)
        // From the key, so that a restarted endpoint can still reset what it has forgotten.
        resetKey = Hashing.hmac(key: identity.privateBytes, Array("mast/2 reset".utf8))
        handshakeTokens = configuration.handshakesPerSecond
        let share = configuration.handshakesPerSecond / 64
        handshakeBudget = SourceBudget(perSecond: share, burst: share, salt: (salts[0], salts[1]))
        resetBudget = SourceBudget(perSecond: 32, burst: 64, salt: (salts[2], salts[3]))
        keyAnswerBudget = SourceBudget(perSecond: 16, burst: 32, salt: (salts[4], salts[5]))
        hintBudget = SourceBudget(perSecond: 256, burst: 256, salt: (salts[1], salts[2]))
        register = InitiationRegister(
            key: salts[6...].flatMap { word in withUnsafeBytes(of: word) { Array($0) } }, limit: configuration.rememberedInitiations)
    }

    // MARK: getters

    package var publicKey: PublicKey { identity.publicKey }
    package var connectionCount: Int { slots.count }
    /// Entries in the queue of wake-ups: a few for each connection.
    package var wakeupCount: Int { wakeups.count }
    /// Accepted connections whose peer has not yet proved that it receives.
    package var halfOpenCount: Int { halfOpen.count }
    package func statistics(_ handle: ConnectionHandle) -> ConnectionStatistics? { slots[handle]?.connection.currentStatistics() }
    package func isEstablished(_ handle: ConnectionHandle) -> Bool { slots[handle]?.connection.isEstablished ?? false }
    package func isUsable(_ handle: ConnectionHandle) -> Bool { slots[handle]?.connection.isUsable ?? false }
    package func peerKey(_ handle: ConnectionHandle) -> PublicKey? { slots[handle]?.connection.peerKey }
    package func peerIncarnation(_ handle: ConnectionHandle) -> UInt64? { slots[handle]?.connection.peerParameters.incarnation }
    /// 32 bytes, the same on both sides of a connection and on no other.
    package func handshakeHash(_ handle: ConnectionHandle) -> [UInt8]? { slots[handle]?.connection.handshakeHash }
    package func remoteAddress(_ handle: ConnectionHandle) -> NetworkAddress? { slots[handle]?.connection.path.address }

    /// Whom the connection counts for: its peer's address, or the peer's route where a forwarder of ours brings it.
    package func source(_ handle: ConnectionHandle) -> TrafficSource? { slots[handle].map { source($0) } }

    // MARK: commands

    /// Dials `peerKey` at `address`. The result is an event: `connected` or `closed`.
    /// - Parameters:
    ///   - route: 0 for the endpoint at `address` itself; else the party that a forwarder there knows by it.
    ///   - control: the connection to that forwarder, probed whenever this one is silent.
    package mutating func connect(
        to address: NetworkAddress, peerKey: PublicKey, route: UInt32 = 0, control: ConnectionHandle? = nil, at now: Instant
    ) -> ConnectionHandle {
        let handle = ConnectionHandle(number: nextHandle)
        nextHandle += 1
        let localID = freshID(route: route == 0 ? 0 : localRoutes.first ?? 0)
        let remoteID = ConnectionID(route: route, local: 0)
        var parameters = ourParameters
        parameters.resetToken = resetToken(for: localID)
        guard slots.count < configuration.maximumConnections,
            let handshake = HandshakeInitiator(
                identity: identity, responder: peerKey, destination: remoteID, source: localID, parameters: parameters, entropy: &entropy)
        else {
            events.append(.closed(handle, .violation(code: TransportErrorCode.internalError.rawValue, reason: "no room for another connection, or an unusable peer key")))
            return handle
        }
        let slot = Slot(
            Connection(
                handle: handle, connectingTo: address, peerKey: peerKey, handshake: handshake, localID: localID, remoteID: remoteID,
                control: control, configuration: shared, skip: entropy.next(), at: now))
        slots[handle] = slot
        byLocalID[localID] = slot
        index(slot)
        settle(slot)
        return handle
    }

    package mutating func close(_ handle: ConnectionHandle, code: UInt64, reason: String, at now: Instant) {
        with(handle) { $0.close(code: code, reason: reason, at: now) }
    }

    /// Nil when the connection is not established or the peer's limit is reached (`streamsAvailable` follows).
    /// - Parameter deadline: from then on nothing of the stream is sent but a reset (`SendStream.expiredCode`). The peer hears how much
    ///   time is left, and its answer ends in the same way.
    package mutating func openStream(
        _ handle: ConnectionHandle, deadline: Instant?, urgency: Urgency = .standard, at now: Instant
    ) -> StreamID? {
        guard let slot = find(handle) else { return nil }
        return slot.connection.open(deadline: deadline, urgency: urgency)
    }

    /// Of what is sent from now on. The peer does not hear of it.
    package mutating func setUrgency(_ handle: ConnectionHandle, _ stream: StreamID, _ urgency: Urgency, at now: Instant) {
        with(handle) { $0.streams.setUrgency(stream, urgency) }
    }

    /// Bytes accepted into the stream's bounded buffer; `fin` counts only if all were. `streamWritable` follows
    /// a short write once there is room.
    package mutating func write(_ handle: ConnectionHandle, _ stream: StreamID, _ bytes: ArraySlice<UInt8>, fin: Bool, at now: Instant) -> Int {
        var accepted = 0
        with(handle) { if $0.isUsable { accepted = $0.streams.write(stream, bytes, fin: fin) } }
        return accepted
    }

    package mutating func reset(_ handle: ConnectionHandle, _ stream: StreamID, code: UInt64, at now: Instant) {
        with(handle) { $0.streams.reset(stream, code: code, at: now) }
    }

    package mutating func stopSending(_ handle: ConnectionHandle, _ stream: StreamID, code: UInt64, at now: Instant) {
        with(handle) { $0.streams.stopSending(stream, code: code) }
    }

    package mutating func ping(_ handle: ConnectionHandle, at now: Instant) { with(handle) { $0.ping(at: now) } }

    package mutating func setKeepAlive(_ handle: ConnectionHandle, _ interval: Interval?, at now: Instant) {
        with(handle) { $0.setKeepAlive(interval, at: now) }
    }

    /// An invariant of the endpoint's owner about one connection: where it does not hold, that connection ends as it does for
    /// a fault of the transport's own.
    package mutating func check(
        _ handle: ConnectionHandle, _ condition: Bool, _ what: StaticString, file: StaticString = #fileID, line: UInt = #line
    ) {
        with(handle) { $0.invariants.check(condition, what, file: file, line: line) }
    }

    /// Begins the next key generation on our side, as happens by itself after 2^20 packets; nothing while the one in use is not
    /// acknowledged.
    package mutating func changeKeys(_ handle: ConnectionHandle, at now: Instant) {
        with(handle) {
            guard $0.protection?.isConfirmed == true else { return }
            $0.protection?.changeSendKey()
            $0.noteKeys(at: now)
        }
    }

    /// Asks whoever listens at `address` for its static key. The question is longer than the answer.
    package mutating func queryKey(of address: NetworkAddress, at now: Instant) {
        guard keyQueries.count < 64 else {
            events.append(.peerKey(address, nil))
            return
        }
        keyQueries.append(KeyQuery(address: address, nonce: entropy.next(), nextAt: now, attemptsLeft: 6))
        advanceKeyQueries(at: now)
    }

    // MARK: output

    /// The next datagram in memory of its own; see `pollTransmit(into:at:)`.
    package mutating func pollTransmit(at now: Instant) -> Transmit? {
        var batch = DatagramBatch()
        swap(&batch, &single)
        defer {
            batch.removeAll()
            swap(&batch, &single)
        }
        guard pollTransmit(into: &batch, at: now), let datagram = batch.datagrams.last else { return nil }
        return Transmit(payload: Array(batch.bytes[datagram.range]), destination: datagram.destination, mark: datagram.mark)
    }

    /// Appends the next datagram to `batch`; false when there is none.
    package mutating func pollTransmit(into batch: inout DatagramBatch, at now: Instant) -> Bool {
        let before = batch.bytes.count
        guard next(into: &batch, at: now) else { return false }
        counters.sent += 1
        counters.sentBytes += UInt64(batch.bytes.count - before)
        return true
    }

    private mutating func next(into batch: inout DatagramBatch, at now: Instant) -> Bool {
        if let transmit = outgoing.popFirst() {
            batch.append(transmit.payload, to: transmit.destination, mark: transmit.mark)
            return true
        }
        while let slot = ready.popFirst() {
            guard !slot.isRetired else { continue }
            if !slot.mayRest {
                slot.mayRest = true
                resting.append(slot.connection.handle, used: now)
            }
            if slot.connection.pollTransmit(into: &batch, at: now) {
                // Round robin between connections, one datagram each.
                ready.append(slot)
                collect(slot)
                return true
            }
            slot.isQueued = false
            collect(slot)
            retireIfClosed(slot)
        }
        return false
    }

    package mutating func pollEvent() -> EndpointEvent? { events.popFirst() }

    package mutating func pollTrace() -> [TracedEvent] {
        defer { traced = [] }
        return traced
    }

    /// Keys of connections and key phases that began, if the configuration asks for them.
    package mutating func pollKeys() -> [PacketKeys] {
        defer { keysToLog = [] }
        return keysToLog
    }

    // MARK: time

    package var nextWakeup: Instant? {
        var next = wakeups.min?.time
        for query in keyQueries where next.map({ query.nextAt < $0 }) ?? true { next = query.nextAt }
        guard let rest = resting.next else { return next }
        return next.map { min($0, rest) } ?? rest
    }

    /// Takes out wake-ups in front whose timers have been cleared or moved since: nobody need wake up for them.
    package mutating func forgetPassedWakeups() {
        while let first = wakeups.min {
            guard let slot = slots[first.handle] else {
                _ = wakeups.popMin()
                continue
            }
            let next = slot.connection.nextWakeup
            guard next.map({ $0 > first.time }) ?? true else { return }
            _ = wakeups.popMin()
            if slot.scheduled.last == first.time { slot.scheduled.removeLast() }
            schedule(slot)
        }
    }

    package mutating func handleTimeout(at now: Instant) {
        advanceKeyQueries(at: now)
        while let first = wakeups.min, first.time <= now {
            _ = wakeups.popMin()
            guard let slot = slots[first.handle] else { continue }
            if slot.scheduled.last == first.time { slot.scheduled.removeLast() }
            slot.connection.handleTimeout(at: now)
            if slot.connection.wantsControlProbe {
                slot.connection.wantsControlProbe = false
                if let control = slot.connection.control { with(control) { $0.elicit() } }
            }
            settle(slot)
        }
        rest(at: now)
    }

    /// Connections that pause give back what they have for speed.
    private mutating func rest(at now: Instant) {
        while let handle = resting.takeDue(at: now) {
            guard let slot = slots[handle] else { continue }
            let used = slot.connection.lastUsed
            slot.mayRest = now - used < RestQueue.pause
            if slot.mayRest { resting.append(handle, used: used) } else { slot.connection.rest() }
        }
    }

    private mutating func advanceKeyQueries(at now: Instant) {
        var kept: [KeyQuery] = []
        for var query in keyQueries {
            if query.nextAt <= now {
                guard query.attemptsLeft > 0 else {
                    events.append(.peerKey(query.address, nil))
                    continue
                }
                query.attemptsLeft -= 1
                query.nextAt = now + .milliseconds(500)
                emit(KeyExchange.query(nonce: query.nonce), to: query.address)
            }
            kept.append(query)
        }
        keyQueries = kept
    }

    mutating func answerKeyQuery(_ nonce: UInt64, key: PublicKey, from address: NetworkAddress) -> DropReason? {
        guard let index = keyQueries.firstIndex(where: { $0.nonce == nonce && $0.address == address }) else { return .unexpected }
        keyQueries.remove(at: index)
        events.append(.peerKey(address, key))
        return nil
    }
}
