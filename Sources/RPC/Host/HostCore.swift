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
        case wait(UInt64)
        case serverDeadline(UInt64)
    }

    enum StreamOwner {
        case client(ClientRecord)
        case server(ServerRecord)
    }

    struct Connection {
        var info: ConnectionInfo
        /// The client that opens calls on it.
        var peer: Peer?
        var streams: [StreamID: StreamOwner] = [:]  // lookup only
        var runningHandlers = 0
        /// Our calls on it.
        var openCalls = 0
    }

    struct Wait {
        var kind: WaitKind
        var waiter: CheckedContinuation<WaitOutcome, Never>
        var timer: TimerQueue<Timer>.Token?
    }

    let configuration: HostConfiguration
    var endpoint: Endpoint
    var timers = TimerQueue<Timer>()
    var effects: [HostEffect] = []
    var statistics = HostStatistics()
    /// For back-off jitter and session names; apart from the endpoint's own entropy.
    var chance: SeededGenerator
    var nextID: UInt64 = 1

    var connections: [ConnectionHandle: Connection] = [:]  // lookup only
    var peers: [UInt64: Peer] = [:]  // lookup only
    /// Dialled peers by target, in order of creation.
    var directory: [Peer] = []
    var clientCalls: [UInt64: ClientRecord] = [:]  // lookup only
    var serverCalls: [UInt64: ServerRecord] = [:]  // lookup only
    var waits: [UInt64: Wait] = [:]  // lookup only
    var subscribers: [(id: UInt64, stream: AsyncStream<ConnectionEvent>.Continuation)] = []

    var server: RPCServer?
    var incoming: AsyncStream<IncomingCall>.Continuation?
    var isDraining = false
    var runningHandlers = 0
    var filter: DuplicateFilter
    var isClosed = false

    init(identity: StaticKeyPair, configuration: HostConfiguration, entropy: any RandomNumberGenerator & Sendable) {
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

    mutating func takeEffects() -> [HostEffect] {
        if effects.isEmpty { return [] }
        defer { effects = [] }
        return effects
    }

    // MARK: time

    mutating func nextWakeup() -> Instant? {
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
            case .wait(let id): endWait(id, .elapsed)
            case .serverDeadline(let id): serverDeadlinePassed(id, at: now)
            }
        }
    }

    // MARK: events of the endpoint

    mutating func drainEvents(at now: Instant) {
        while let event = endpoint.pollEvent() {
            switch event {
            case .connected(let handle, let peerKey): opened(handle, peerKey, isInitiator: true, at: now)
            case .accepted(let handle, let peerKey): opened(handle, peerKey, isInitiator: false, at: now)
            case .streamOpened(let handle, let stream, let deadline): accept(handle, stream, deadline: deadline, at: now)
            case .streamReadable(let handle, let stream):
                switch connections[handle]?.streams[stream] {
                case .client(let call): pumpClient(call, at: now)
                case .server(let call): pumpServer(call, at: now)
                case nil: break
                }
            case .streamWritable(let handle, let stream):
                switch connections[handle]?.streams[stream] {
                case .client(let call): flushClient(call, at: now)
                case .server(let call): flushServer(call, at: now)
                case nil: break
                }
            case .streamStopped(let handle, let stream, let code):
                switch connections[handle]?.streams[stream] {
                case .client(let call): clientStopped(call, code: code, at: now)
                case .server(let call): cancelServer(call, at: now)
                case nil: break
                }
            case .streamsAvailable(let handle):
                if let peer = connections[handle]?.peer { startWaitingCalls(peer, at: now) }
            case .migrated(let handle, let address):
                guard let info = connections[handle]?.info else { continue }
                connections[handle]?.info.address = address
                announce(info, .migrated(address))
            case .pong(let handle, let interval):
                if let peer = connections[handle]?.peer { finishPings(peer, .pong(interval)) }
            case .hinted: break
            case .peerKey(let address, let key):
                for id in waits.keys.sorted() {
                    if case .key(address) = waits[id]?.kind { endWait(id, .key(key)) }
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
        connections[handle] = Connection(info: info)
        statistics.connections += 1
        announce(info, .opened)
        if isInitiator { dialled(handle, at: now) }
    }

    private mutating func closed(_ handle: ConnectionHandle, _ reason: CloseReason, at now: Instant) {
        let connection = connections.removeValue(forKey: handle)
        if let connection {
            statistics.connections -= 1
            announce(connection.info, .closed(reason.description))
            for stream in connection.streams.keys.sorted() {
                switch connection.streams[stream] {
                case .client(let call): attemptFailed(call, .connectionLost(reason.description), at: now)
                case .server(let call): serverConnectionLost(call, at: now)
                case nil: break
                }
            }
        }
        hungUp(handle, connection?.peer, reason, at: now)
    }

    mutating func announce(_ info: ConnectionInfo, _ change: ConnectionChange) {
        for subscriber in subscribers { effects.append(.connection(subscriber.stream, info, change)) }
    }

    // MARK: waits

    mutating func beginWait(_ id: UInt64, _ kind: WaitKind, _ waiter: CheckedContinuation<WaitOutcome, Never>, until deadline: Instant, at now: Instant) {
        guard !isClosed else {
            effects.append(.wait(waiter, .failed(Self.hostClosed)))
            return
        }
        waits[id] = Wait(kind: kind, waiter: waiter, timer: deadline == .distantFuture ? nil : timers.set(.wait(id), at: deadline))
        switch kind {
        case .sleep: break
        case .connected(let peer):
            guard let peer = peers[peer] else { return endWait(id, .failed(Self.connectionClosed)) }
            if let handle = peer.ready { return endWait(id, .connected(handle)) }
            peer.waiters.append(id)
            wake(peer, at: now)
        case .pong(let peer):
            guard let peer = peers[peer] else { return endWait(id, .failed(Self.connectionClosed)) }
            if let handle = peer.ready {
                peer.pings.append(id)
                endpoint.ping(handle, at: now)
            } else {
                peer.waiters.append(id)
                wake(peer, at: now)
            }
        case .key(let address): endpoint.queryKey(of: address, at: now)
        case .drained: if runningHandlers == 0 { endWait(id, .drained) }
        }
    }

    mutating func endWait(_ id: UInt64, _ outcome: WaitOutcome) {
        guard let wait = waits.removeValue(forKey: id) else { return }
        timers.cancel(wait.timer)
        switch wait.kind {
        case .connected(let peer), .pong(let peer):
            peers[peer]?.waiters.removeAll { $0 == id }
            peers[peer]?.pings.removeAll { $0 == id }
        default: break
        }
        effects.append(.wait(wait.waiter, outcome))
    }

    static var hostClosed: RPCError { RPCError(.unavailable, "this host is closed", effect: .none, cause: .closed) }

    /// Ends everything that waits; connections tell their peers.
    mutating func close(reason: String, at now: Instant) {
        guard !isClosed else { return }
        isClosed = true
        for handle in connections.keys.sorted() { endpoint.close(handle, code: 0, reason: reason, at: now) }
        drainEvents(at: now)
        for id in clientCalls.keys.sorted() { failClient(id, Self.hostClosed, at: now) }
        for id in waits.keys.sorted() { endWait(id, .failed(Self.hostClosed)) }
        stopServing()
    }
}
