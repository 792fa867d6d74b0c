import Collections
import MastTimebase
import MastTransport

/// Everything of a host that its lock guards: the endpoint, and the calls on its streams.
///
/// Synchronous and without clocks: whoever touches it says what time it is, and carries out `effects` when the
/// lock is free again. Nothing here iterates over a dictionary unless sorted, so one seed gives one run.
struct HostCore: ~Copyable {
    enum Timer: Sendable {
        case clientDeadline(UInt64)
        case clientRetry(UInt64)
        case redial(UInt64)
        /// Of a dialling peer, and of a wait for a key.
        case nextAddress(UInt64)
        case nextKeyAddress(UInt64)
        case wait(UInt64)
        case serverDeadline(UInt64)
        /// Calls wait for a handler.
        case admission
        /// Answers on this connection are not acknowledged yet.
        case answers(ConnectionHandle)
    }

    let configuration: HostConfiguration
    var endpoint: Endpoint
    var timers = TimerQueue<Timer>()
    var effects: [HostEffect] = []
    var statistics = HostStatistics()
    /// For back-off jitter and session names; apart from the endpoint's own entropy.
    var chance: SeededGenerator
    var nextID: UInt64 = 1

    var connections: [ConnectionHandle: CallMultiplexer] = [:]  // lookup only
    /// Asked for last, and mostly next.
    private var recent: CallMultiplexer?
    var dialer = Dialer()
    var clientCalls: [UInt64: ClientRecord] = [:]  // lookup only
    var serverCalls: [UInt64: ServerRecord] = [:]  // lookup only
    var waits = Waits()
    var subscribers: [(id: UInt64, stream: AsyncStream<ConnectionEvent>.Continuation)] = []

    var server: RPCServer?
    var workers = Workers()
    var isDraining = false
    /// Which of the calls that came may run.
    var admission = ServerAdmission(limits: .init())
    var admissionTimer: TimerQueue<Timer>.Token?
    var runningHandlers: Int { admission.running }
    var filter: DuplicateFilter
    var isClosed = false

    init(identity: StaticKeyPair, configuration: HostConfiguration, entropy: any RandomNumberGenerator & Sendable) {
        var configuration = configuration
        // The largest message fits, and what an honest sender begins beside it (a sixteenth of the window).
        let largest = UInt64(configuration.envelope.messageBytes + configuration.envelope.headBytes)
        let needed = largest + configuration.transport.connectionWindow / 16
        configuration.transport.assemblyWindow = max(configuration.transport.assemblyWindow, needed)
        self.configuration = configuration
        var entropy = entropy
        chance = SeededGenerator(seed: entropy.next())
        endpoint = Endpoint(identity: identity, configuration: configuration.transport, entropy: entropy)
        filter = DuplicateFilter(incarnation: endpoint.incarnation)
    }

    mutating func makeID() -> UInt64 {
        defer { nextID += 1 }
        return nextID
    }

    /// Into a list that is empty.
    mutating func takeEffects(into effects: inout HostEffects) { swap(&self.effects, &effects.list) }

    mutating func takeEffects() -> [HostEffect] {
        if effects.isEmpty { return [] }
        defer { effects = [] }
        return effects
    }

    // MARK: time

    mutating func nextWakeup() -> Instant? {
        endpoint.forgetPassedWakeups()
        guard let ours = timers.next() else { return endpoint.nextWakeup }
        return endpoint.nextWakeup.map { min($0, ours) } ?? ours
    }

    mutating func handleTimeout(at now: Instant) {
        endpoint.handleTimeout(at: now)
        drainEvents(at: now)
        while let timer = timers.takeDue(at: now) {
            switch timer {
            case .clientDeadline(let id): clientDeadlinePassed(id, at: now)
            case .clientRetry(let id): if let call = clientCalls[id] { startAttempt(call, at: now) }
            case .redial(let peer): redial(peer, at: now)
            case .nextAddress(let id): if let peer = dialer[id] { tryNext(peer, at: now) }
            case .nextKeyAddress(let id): askNextForKey(id, at: now)
            case .wait(let id):
                if case .key(let search) = waits[id] { endWait(id, search.outcome) } else { endWait(id, .elapsed) }
            case .serverDeadline(let id): serverDeadlinePassed(id, at: now)
            case .admission:
                admissionTimer = nil
                startWaiting(at: now)
            case .answers(let handle): sweepAnswers(handle, at: now)
            }
        }
    }

    // MARK: events of the endpoint

    /// The calls of an open connection.
    mutating func calls(_ handle: ConnectionHandle) -> CallMultiplexer? {
        if let recent, recent.handle == handle, recent.isOpen { return recent }
        recent = connections[handle]
        return recent
    }

    mutating func drainEvents(at now: Instant) {
        while let event = endpoint.pollEvent() {
            switch event {
            case .connected(let handle, let peerKey): opened(handle, peerKey, isInitiator: true, at: now)
            case .accepted(let handle, let peerKey): opened(handle, peerKey, isInitiator: false, at: now)
            case .streamOpened(let handle, let stream, let deadline): accept(handle, stream, deadline: deadline, at: now)
            case .streamReadable(let handle, let stream):
                switch calls(handle)?[stream] {
                case .client(let call): pumpClient(call, at: now)
                case .server(let call): pumpServer(call, at: now)
                case nil: break
                }
            case .streamWritable(let handle, let stream):
                switch calls(handle)?[stream] {
                case .client(let call): flushClient(call, at: now)
                case .server(let call): flushServer(call, at: now)
                case nil: break
                }
            case .streamStopped(let handle, let stream, let code):
                switch calls(handle)?[stream] {
                case .client(let call): clientStopped(call, code: code, at: now)
                case .server(let call):
                    // Also of an answer that is all with the transport.
                    endpoint.reset(handle, stream, code: code, at: now)
                    cancelServer(call, code: code, at: now)
                // What the transport still has of a call that is over here.
                case nil: endpoint.reset(handle, stream, code: code, at: now)
                }
            case .streamsAvailable(let handle):
                if let peer = connections[handle]?.peer { startWaitingCalls(peer, at: now) }
            case .migrated(let handle, let address):
                guard let calls = connections[handle] else { continue }
                let before = calls.info
                calls.info = before.moved(to: address)
                if let source = endpoint.source(handle) { calls.source = source }
                announce(before, .migrated(address))
            case .pong(let handle, let interval):
                if let peer = connections[handle]?.peer { finishPings(peer, .pong(interval)) }
            case .hinted(let handle, let hint): hinted(handle, hint, at: now)
            case .peerKey(let address, let key): keyArrived(from: address, key, at: now)
            case .overdrawn(let handle, let stream):
                switch calls(handle)?[stream] {
                case .client(let call): clientOverdrawn(call, at: now)
                case .server(let call): serverOverdrawn(call, at: now)
                case nil:
                    endpoint.reset(handle, stream, code: CallResetCode.refused, at: now)
                    endpoint.stopSending(handle, stream, code: CallResetCode.refused, at: now)
                }
            case .closed(let handle, let reason): closed(handle, reason, at: now)
            }
        }
    }

    private mutating func opened(_ handle: ConnectionHandle, _ peerKey: PublicKey, isInitiator: Bool, at now: Instant) {
        let info = ConnectionInfo(
            handle: handle, peerKey: peerKey, address: endpoint.remoteAddress(handle) ?? NetworkAddress(ipv4: 0, port: 0),
            isInitiator: isInitiator, incarnation: endpoint.peerIncarnation(handle) ?? 0,
            handshakeHash: endpoint.handshakeHash(handle) ?? [])
        guard !isInitiator || dialer.isWanted(handle) else {
            return endpoint.close(handle, code: 0, reason: "another address answered first", at: now)
        }
        connections[handle] = CallMultiplexer(info, source: endpoint.source(handle) ?? TrafficSource(info.address))
        statistics.connections += 1
        announce(info, .opened)
        if isInitiator { dialled(handle, at: now) }
    }

    private mutating func closed(_ handle: ConnectionHandle, _ reason: CloseReason, at now: Instant) {
        let connection = connections.removeValue(forKey: handle)
        if let connection {
            statistics.connections -= 1
            announce(connection.info, .closed(reason.description))
            for owner in connection.close() {
                switch owner {
                case .client(let call): attemptFailed(call, .connectionLost(reason.description), at: now)
                case .server(let call): serverConnectionLost(call, at: now)
                }
            }
        }
        hungUp(handle, connection?.peer, reason, at: now)
    }

    mutating func announce(_ info: ConnectionInfo, _ change: ConnectionChange) {
        for subscriber in subscribers { effects.append(.connection(subscriber.stream, info, change)) }
    }

    // MARK: the end

    static var hostClosed: RPCError { RPCError(.unavailable, "this host is closed", effect: .none, cause: .closed) }

    /// Ends everything that waits; connections tell their peers.
    mutating func close(reason: String, at now: Instant) {
        guard !isClosed else { return }
        isClosed = true
        for handle in connections.keys.sorted() { endpoint.close(handle, code: 0, reason: reason, at: now) }
        drainEvents(at: now)
        for id in clientCalls.keys.sorted() { failClient(id, Self.hostClosed, at: now) }
        for id in waits.ids { endWait(id, .failed(Self.hostClosed)) }
        stopServing()
    }
}
