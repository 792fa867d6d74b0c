import Logging
import MastTimebase
import MastTransport
import Synchronization

/// One UDP socket's worth of calls: client and server at once, over one endpoint.
///
/// A driver moves its datagrams (`receive`, `handleTimeout`, `pollTransmit`, `nextWakeup`); calls and handlers
/// meet it from their own tasks. Both sides take one lock for a short, synchronous step; what the step resumes
/// is resumed after the lock is free. The host starts no task of its own and reads no clock but the driver's,
/// so the same code runs under virtual time.
public final class RPCHost: Sendable {
    let core: Mutex<HostCore>
    let driver: any EndpointDriver
    let logger: Logger?
    private let secretLog: (any SecretLog)?
    let envelope: EnvelopeLimits
    /// The other cores of this host.
    let group = HostGroup()
    private let ids = Atomic<UInt64>(1)
    /// The key by which peers know this host.
    public let publicKey: PublicKey
    /// Another number for every run; peers see it in the handshake.
    public let incarnation: UInt64

    package init(
        identity: StaticKeyPair, configuration: HostConfiguration = HostConfiguration(),
        entropy: any RandomNumberGenerator & Sendable, driver: any EndpointDriver, logger: Logger? = nil, secretLog: (any SecretLog)? = nil
    ) {
        var configuration = configuration
        configuration.transport.logsKeys = secretLog != nil
        configuration.transport.stopsAtOwnFaults = driver.stopsAtOwnFaults
        let core = HostCore(identity: identity, configuration: configuration, entropy: entropy)
        incarnation = core.endpoint.incarnation
        self.core = Mutex(core)
        self.driver = driver
        self.logger = logger
        self.secretLog = secretLog
        envelope = configuration.envelope
        publicKey = identity.publicKey
    }

    public var localAddress: NetworkAddress { driver.localAddress }
    /// The driver's monotone clock.
    public func now() -> Instant { driver.now() }
    public func wallTime() -> WallTime { driver.wallTime() }

    /// Of this core alone.
    package var ownStatistics: HostStatistics {
        touch(flush: false) { core, _ in
            var statistics = core.statistics
            statistics.runningHandlers = core.runningHandlers
            statistics.waitingCalls = core.admission.waiting
            (statistics.heldBytes, statistics.unreadBytes) = (core.endpoint.held.total, core.endpoint.unread.total)
            return statistics
        }
    }

    /// Records of peers that clients of this host stand for, or that something is under way with.
    package var peerCount: Int { touch(flush: false) { core, _ in core.dialer.count } }

    // MARK: clients

    /// A client that dials on first use, waits until the peer is reachable, and dials again when the connection
    /// is lost. Asking twice for one peer gives clients that share the connection.
    public func client(to address: NetworkAddress, peerKey: PublicKey) -> RPCClient {
        client(at: HostPort(address), peerKey: peerKey)
    }

    /// The same by name: `host:port`, looked up whenever it is dialled. Of several addresses the first that answers with
    /// `peerKey` is used (RFC 8305).
    /// - Throws: `RPCError` (`invalidArgument`) for what is neither a name nor an address with a port.
    public func client(to host: String, peerKey: PublicKey) throws(RPCError) -> RPCClient {
        client(at: try Self.hostPort(host), peerKey: peerKey)
    }

    /// - Parameters:
    ///   - route: not 0: end to end to `peerKey` through the forwarder at `host`, which knows that party by it.
    ///   - control: this host's own client of that forwarder.
    package func client(at host: HostPort, peerKey: PublicKey, route: UInt32 = 0, control: RPCClient? = nil) -> RPCClient {
        let control = control?.peer
        let peer = touch(flush: false) { core, _ in core.makePeer(.dial(host, peerKey, route: route, control: control)) }
        return RPCClient(host: self, peer: peer, target: host.description, peerKey: peerKey)
    }

    private static func hostPort(_ text: String) throws(RPCError) -> HostPort {
        do { return try HostPort(text) } catch { throw RPCError(.invalidArgument, "\(error)", effect: .none, cause: .unreachable) }
    }

    /// Calls back to a peer over a connection that is up, whoever made it. It ends with that connection.
    public func client(on connection: PeerConnection) -> RPCClient {
        // Another core's.
        guard connection.host === self else { return connection.host.client(on: connection) }
        let handle = connection.handle
        let peer = touch(flush: false) { core, _ in core.makePeer(.bound(handle)) }
        return RPCClient(host: self, peer: peer, target: connection.address.description, peerKey: connection.peerKey)
    }

    /// Asks the endpoint at `address` for its key, in the clear: trust on first use is the caller's decision.
    public func peerKey(of address: NetworkAddress, within limit: Interval = .seconds(5)) async throws(RPCError) -> PublicKey {
        try await peerKey(at: HostPort(address), within: limit)
    }

    /// The same by name, of whichever address answers first.
    /// - Parameter expected: the key that belongs to the name; addresses that show another count only if none shows this one.
    public func peerKey(of host: String, expecting expected: PublicKey? = nil, within limit: Interval = .seconds(5)) async throws(RPCError) -> PublicKey {
        try await peerKey(at: try Self.hostPort(host), expecting: expected, within: limit)
    }

    package func peerKey(at host: HostPort, expecting expected: PublicKey? = nil, within limit: Interval = .seconds(5)) async throws(RPCError) -> PublicKey {
        // Answers about keys come to the first core.
        if let first = shards.first, first !== self { return try await first.peerKey(at: host, expecting: expected, within: limit) }
        switch await wait(.key(KeySearch(host, expected: expected)), until: now() + limit) {
        case .key(let key): return key
        case .failed(let error): throw error
        default: throw RPCError(.cancelled, "the caller cancelled", effect: .none, cause: .cancelled)
        }
    }

    // MARK: connections

    /// Of this core alone, oldest first.
    var ownConnections: [PeerConnection] {
        touch(flush: false) { core, _ in core.connections.keys.sorted().compactMap { core.connections[$0]?.info } }
            .map { PeerConnection(host: self, info: $0) }
    }

    /// A new subscription to connections that come, go and move from now on. A subscriber that is more than
    /// 4096 events behind loses the oldest.
    package func connectionEvents() -> AsyncStream<ConnectionEvent> {
        let (stream, continuation) = AsyncStream.makeStream(of: ConnectionEvent.self, bufferingPolicy: .bufferingNewest(4096))
        let id = nextID()
        touch(flush: false) { core, _ in core.subscribers.append((id, continuation)) }
        continuation.onTermination = { [weak self] _ in
            self?.touch(flush: false) { core, _ in core.subscribers.removeAll { $0.id == id } }
        }
        return stream
    }

    /// For what has no call of its own: the forwarder's routes, figures. `body` must not keep the endpoint.
    package func withEndpoint<R: Sendable>(_ body: @Sendable (inout Endpoint, Instant) -> R) -> R {
        touch { core, now in body(&core.endpoint, now) }
    }

    func closeAlone(reason: String) {
        touch { core, now in core.close(reason: reason, at: now) }
    }

    // MARK: time

    /// - Throws: `CancellationError` when the task is cancelled; `RPCError` when the host closes.
    public func sleep(for interval: Interval) async throws {
        switch await wait(.sleep, until: now() + interval) {
        case .elapsed: return
        case .failed(let error): throw error
        default: throw CancellationError()
        }
    }

    func wait(_ kind: WaitKind, until deadline: Instant) async -> WaitOutcome {
        let id = nextID()
        return await withTaskCancellationHandler {
            await withCheckedContinuation { waiter in
                touch { core, now in core.beginWait(id, kind, waiter, until: deadline, at: now) }
                if Task.isCancelled { touch { core, _ in core.endWait(id, .cancelled) } }
            }
        } onCancel: {
            touch { core, _ in core.endWait(id, .cancelled) }
        }
    }

    func nextID() -> UInt64 { ids.add(1, ordering: .relaxed).oldValue }

    // MARK: the lock

    /// One step from the async side.
    @discardableResult
    func touch<R: Sendable>(flush: Bool = true, _ body: @Sendable (inout HostCore, Instant) -> R) -> R {
        let now = driver.now()
        let (result, effects) = core.withLock { core in
            let result = body(&core, now)
            core.drainEvents(at: now)
            return (result, core.takeEffects())
        }
        for effect in effects { effect.perform(self) }
        if flush { driver.scheduleFlush() }
        return result
    }

    // MARK: the driver's side

    package func receive(_ datagrams: [ReceivedDatagram], at now: Instant) {
        var datagrams = datagrams
        receive(&datagrams, count: datagrams.count, at: now)
    }

    /// - Parameter datagrams: the first `count` are opened where they are; afterwards their memory is the caller's again.
    package func receive(_ datagrams: inout [ReceivedDatagram], count: Int, at now: Instant) {
        var effects = HostEffects()
        receive(&datagrams, count: count, &effects, at: now)
    }

    /// - Parameters:
    ///   - bytes: of several datagrams side by side, which are opened where they are; afterwards the memory is the caller's again.
    ///   - places: one for each of them.
    package func receive(_ bytes: inout [UInt8], _ places: [ReceivedPlace], _ effects: inout HostEffects, at now: Instant) {
        core.withLock { core in
            for place in places {
                core.endpoint.receive(&bytes, in: place.range, from: place.source, mark: place.mark, takenAt: place.takenAt, at: now)
                core.drainEvents(at: now)
            }
            core.takeEffects(into: &effects)
        }
        effects.perform(self)
    }

    package func receive(_ datagrams: inout [ReceivedDatagram], count: Int, _ effects: inout HostEffects, at now: Instant) {
        core.withLock { core in
            for index in 0..<min(count, datagrams.count) {
                let (source, mark, takenAt) = (datagrams[index].source, datagrams[index].mark, datagrams[index].takenAt)
                core.endpoint.receive(&datagrams[index].bytes, from: source, mark: mark, takenAt: takenAt, at: now)
                core.drainEvents(at: now)
            }
            core.takeEffects(into: &effects)
        }
        effects.perform(self)
    }

    /// The system said something about sending to `address`: a hint to look, never a proof.
    package func hint(_ hint: PathHint, about address: NetworkAddress, at now: Instant) {
        let effects = core.withLock { core in
            core.endpoint.hint(address, hint, at: now)
            core.drainEvents(at: now)
            core.keyHinted(address, hint, at: now)
            return core.takeEffects()
        }
        for effect in effects { effect.perform(self) }
    }

    package func handleTimeout(at now: Instant) {
        let effects = core.withLock { core in
            core.handleTimeout(at: now)
            core.drainEvents(at: now)
            return core.takeEffects()
        }
        for effect in effects { effect.perform(self) }
    }

    /// Whose a connection of this host is; nil once it is gone.
    package func peerKey(of connection: ConnectionHandle) -> PublicKey? { core.withLock { $0.endpoint.statistics(connection)?.peerKey } }

    /// What the transport traced since the last time; nothing unless its configuration asks for it.
    package func takeTrace() -> [TracedEvent] { core.withLock { $0.endpoint.pollTrace() } }

    package func pollTransmit(at now: Instant) -> Transmit? {
        let (transmit, effects) = core.withLock { core in
            let transmit = core.endpoint.pollTransmit(at: now)
            core.drainEvents(at: now)
            return (transmit, core.takeEffects())
        }
        for effect in effects { effect.perform(self) }
        logKeys()
        return transmit
    }

    private func logKeys() {
        guard let secretLog else { return }
        for keys in core.withLock({ $0.endpoint.pollKeys() }) { secretLog.add(keys) }
    }

    /// For the key log, if there is one.
    func nameMethod(_ path: String, _ number: UInt32) { secretLog?.add(method: path, number: number) }

    package var nextWakeup: Instant? { core.withLock { core in core.nextWakeup() } }

    /// A driver's turn after it has handed over what came, under one lock: does what is due, and appends up to `limit`
    /// datagrams to `output`.
    /// - Returns: whether there may be more to send, and when to come back.
    package func turn(
        into output: inout DatagramBatch, _ effects: inout HostEffects, limit: Int, at now: Instant
    ) -> (more: Bool, wakeup: Instant?) {
        let before = output.count
        let wakeup = core.withLock { core in
            if let due = core.nextWakeup(), due <= now { core.handleTimeout(at: now) }
            while output.count - before < limit, core.endpoint.pollTransmit(into: &output, at: now) {}
            core.drainEvents(at: now)
            core.takeEffects(into: &effects)
            return core.nextWakeup()
        }
        effects.perform(self)
        logKeys()
        return (limit > 0 && output.count - before == limit, wakeup)
    }
}
