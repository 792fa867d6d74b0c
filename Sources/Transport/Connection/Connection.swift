import Collections
import MastTimebase

/// One connection, sans-IO. Its methods fall into four families:
///
/// - *arrivals*: `receiveResponse`, `receiveCookie`, `receiveData` (Connection+Receive)
/// - *time*: `nextWakeup`, `handleTimeout` (Connection+Timers)
/// - *commands* of the application: `open`, `write`, `read`, `reset`, `close`, … (here)
/// - *output*: `pollTransmit` (Connection+Transmit), and `events`, drained by the endpoint after every call
///
///     handshaking ──response──▶ established ──close──▶ closing ──3 probe timeouts──▶ closed
///     (initiator)               ▲       └──peer's close, idle, reset─────────────────▶ closed
///     awaitingConfirmation ─────┘ first authentic packet
///     (responder)
struct Connection: ~Copyable {
    enum Phase {
        indirect case handshaking(HandshakeInitiator)
        case awaitingConfirmation(response: [UInt8])
        case established
        case closing
        case closed
    }

    enum Timer: Int, CaseIterable {
        case handshake, handshakeLimit, loss, probe, acknowledge, pacing, idle, keepAlive, candidates, drain, repair
    }

    let handle: ConnectionHandle
    let isInitiator: Bool
    let localID: ConnectionID
    var remoteID: ConnectionID
    let peerKey: PublicKey
    /// The connection to the forwarder in front of the peer; probed when this one is silent.
    let control: ConnectionHandle?
    private let shared: SharedConfiguration
    var configuration: TransportConfiguration { shared.value }

    var phase: Phase
    var path: Path
    var protection: PacketProtection?
    var handshakeHash: [UInt8] = []
    var peerParameters = TransportParameters()
    var streams: StreamTable
    var events: [EndpointEvent] = []
    var trace: [TracedEvent] = []
    /// Keys for the key log that nobody has taken yet, and the key phases noted so far.
    var keysToLog: [PacketKeys] = []
    var phasesLogged: UInt64 = 0
    var timers = TimerTable<Timer>()

    // Sending.
    var probesPending = 0
    /// The next probe is as long as a packet may be.
    var fillsProbe = false
    var pings: [Instant] = []
    var elicitPending = false
    /// Packets whose calls may go twice, in order of `due`.
    var repairs = Deque<Repair>()
    var initiationPending = false
    /// What a responder says that it speaks, none of them ours.
    var peerVersions: [UInt8] = []
    var initiationAttempts = 0
    var firstInitiationAt: Instant?
    var cookie: [UInt8]?
    var responsePending = false
    var firstResponseAt: Instant?
    var responsesSent = 0
    /// Where the first message came from again, if not from where it came first: the answer goes there too.
    var responseElsewhere: NetworkAddress?
    var wasAnsweredElsewhere = false
    var closeFrame: Frame?
    var closePending = false
    var closeRepliesLeft = 3
    /// Set when a probe timeout fired: the endpoint then probes `control` too.
    var wantsControlProbe = false
    /// Numbers below this are sent as they come; this one is skipped, to catch a peer that acknowledges blindly.
    var skipNumber: UInt64 = .max
    /// How far from the first number the first skipped one is.
    let skipAhead: UInt64
    /// When our key generation began.
    var keysChangedAt: Instant = .zero
    /// The newest key generation seen here.
    var generationSeen: UInt64 = 0

    // Moves and hints.
    var candidates: [PathCandidate] = []
    var copies: [Transmit] = []
    /// The newest challenge and where it came from; a queue of them would be an attacker's memory (CVE-2023-49295).
    var pathAnswer: (word: UInt64, address: NetworkAddress)?
    var lastHint: PathHint?
    var hintedAt: Instant?
    /// Hints acted upon since something authentic arrived.
    var hintsInSilence = 0

    // Receiving.
    var replay = ReplayWindow(first: 0)
    var received = RangeSet64()
    var largestReceivedAt: Instant = .zero
    /// When the newest packets came, for a peer that asked; what came out of order is left out.
    var stamps = Deque<ReceiveTimestamp>()
    var receiveEpoch: Instant = .zero
    /// Of the packet at hand.
    var arrival = Arrival()
    /// Packets that came with each mark; told once there is one.
    var marks = ECNCounts()
    /// The number after the largest received.
    var nextExpected: UInt64 = 0
    var unacknowledgedElicited = 0
    var acknowledgeNow = false
    var idleArmedBySend = false
    var keepAlive: Interval?

    var counters = ConnectionCounters()
    var invariants: Invariants
    /// We broke an invariant of our own, and the connection has ended for it.
    private(set) var isBroken = false
    /// Below this all numbers are used: with a number's second use its key gives everything away (NIST SP 800-38D appendix A).
    var unsealedNumber: UInt64 = 0

    /// An initiator's connection: the first message leaves with the next `pollTransmit`.
    init(
        handle: ConnectionHandle, connectingTo address: NetworkAddress, peerKey: PublicKey, handshake: HandshakeInitiator,
        localID: ConnectionID, remoteID: ConnectionID, control: ConnectionHandle?, configuration shared: SharedConfiguration, skip: UInt64, at now: Instant
    ) {
        self.handle = handle
        isInitiator = true
        self.localID = localID
        self.remoteID = remoteID
        self.peerKey = peerKey
        self.control = control
        self.shared = shared
        let configuration = shared.value
        phase = .handshaking(handshake)
        // An initiator chose the address itself: nothing to validate.
        path = Path(address: address, validated: true, configuration: configuration)
        streams = StreamTable(isInitiator: true, configuration: configuration)
        skipAhead = 64 + skip % 192
        invariants = Invariants(stops: configuration.stopsAtOwnFaults)
        initiationPending = true
        timers[.handshakeLimit] = now + configuration.handshakeTimeout
    }

    /// A responder's connection, made from an authentic first message.
    init(
        handle: ConnectionHandle, acceptedFrom address: NetworkAddress, peerKey: PublicKey, secrets: Handshake.Secrets,
        suite: CipherSuite, peerParameters: TransportParameters, response: [UInt8], localID: ConnectionID, remoteID: ConnectionID,
        configuration shared: SharedConfiguration, skip: UInt64, at now: Instant
    ) {
        self.handle = handle
        isInitiator = false
        self.localID = localID
        self.remoteID = remoteID
        self.peerKey = peerKey
        control = nil
        self.shared = shared
        let configuration = shared.value
        phase = .awaitingConfirmation(response: response)
        path = Path(address: address, validated: false, configuration: configuration)
        path.received = PacketHeader.initiationSize
        streams = StreamTable(isInitiator: false, configuration: configuration)
        skipAhead = 64 + skip % 192
        invariants = Invariants(stops: configuration.stopsAtOwnFaults)
        responsePending = true
        timers[.handshakeLimit] = now + configuration.halfOpenTimeout
        begin(secrets, suite: suite, peerParameters, at: now)
    }

    /// The handshake gave keys: data packets can be sealed, from each direction's first number on.
    mutating func begin(_ secrets: Handshake.Secrets, suite: CipherSuite, _ parameters: TransportParameters, at now: Instant) {
        protection = PacketProtection(
            sendSecret: secrets.send, receiveSecret: secrets.receive, suite: suite, limits: configuration.protectionLimits)
        handshakeHash = secrets.hash
        peerParameters = parameters
        // What the handshake chose from.
        (peerParameters.versions, peerParameters.suites) = ([], [])
        streams.apply(parameters)
        path.recovery.begin(at: PacketNumber.first(secret: secrets.send, path: path.identifier))
        skipNumber = nextNumber + skipAhead
        replay = ReplayWindow(first: PacketNumber.first(secret: secrets.receive, path: path.identifier))
        nextExpected = replay.expected
        receiveEpoch = now
        keysChangedAt = now
        noteKeys(at: now)
    }

    /// Of the next data packet.
    var nextNumber: UInt64 { path.recovery.sent.nextNumber }

    // MARK: getters

    var isEstablished: Bool { if case .established = phase { true } else { false } }
    var isClosed: Bool { if case .closed = phase { true } else { false } }
    var isHalfOpen: Bool { if case .awaitingConfirmation = phase { true } else { false } }
    var isUsable: Bool {
        switch phase {
        case .handshaking, .awaitingConfirmation, .established: true
        case .closing, .closed: false
        }
    }

    func currentStatistics() -> ConnectionStatistics {
        var now = counters.statistics(peerKey: peerKey, remoteAddress: path.address)
        now.isEstablished = isEstablished
        now.cipherSuite = protection?.suite
        let recovery = path.recovery
        if recovery.rtt.hasSample {
            now.smoothedRTT = recovery.rtt.smoothed
            now.minimumRTT = recovery.rtt.minimum
            now.latestRTT = recovery.rtt.latest
        }
        now.consecutiveProbes = recovery.consecutiveProbes
        now.congestionWindow = recovery.window
        now.bytesInFlight = recovery.sent.bytesInFlight
        now.oldestUnacknowledged = recovery.sent.oldestOutstanding?.packet.sentAt
        now.spuriousLosses = recovery.spuriousLosses
        let estimates = recovery.estimates
        (now.deliveryRate, now.queueingDelay) = (estimates.deliveryRate, estimates.queueingDelay)
        now.streams = streams.count
        now.expiredBytes = streams.expiredBytes
        now.datagramSize = recovery.mtu.size
        return now
    }

    // MARK: commands

    mutating func open(deadline: Instant?, urgency: Urgency) -> StreamID? {
        guard isEstablished else { return nil }
        return streams.open(deadline: deadline, urgency: urgency)
    }

    mutating func ping(at now: Instant) {
        // Four outstanding pings say as much as more.
        if pings.count < 4 { pings.append(now) }
    }

    /// Something ack-eliciting will be sent, without a pong event: probes a path.
    mutating func elicit() { elicitPending = true }

    /// More often would be a flood, and without a pause at all there would be no end.
    private static let shortestKeepAlive = Interval.milliseconds(10)

    /// - Parameter interval: nil, and what is no pause, ends it.
    mutating func setKeepAlive(_ interval: Interval?, at now: Instant) {
        keepAlive = interval.flatMap { $0 > .zero ? max($0, Self.shortestKeepAlive) : nil }
        timers[.keepAlive] = keepAlive.map { now + $0 }
    }

    mutating func close(code: UInt64, reason: String, at now: Instant) {
        switch phase {
        case .handshaking, .awaitingConfirmation: finish(.local(code: code), at: now)
        case .established:
            events.append(.closed(handle, .local(code: code)))
            enterClosing(.close(code: Self.applicationCodeBase + code, reason: reason), at: now)
        case .closing, .closed: break
        }
    }

    /// Close codes from here up are the application's; below they are the transport's.
    static let applicationCodeBase: UInt64 = 0x100

    mutating func fail(_ violation: ProtocolViolation, at now: Instant) {
        guard isEstablished else { return finish(.violation(code: violation.code.rawValue, reason: violation.reason), at: now) }
        events.append(.closed(handle, .violation(code: violation.code.rawValue, reason: violation.reason)))
        enterClosing(.close(code: violation.code.rawValue, reason: violation.reason), at: now)
    }

    /// What it says can no longer be trusted to be right: after a breach it says that, and nothing else.
    mutating func endIfBroken(at now: Instant) {
        guard !isBroken, let breach = invariants.breach ?? streams.breach else { return }
        isBroken = true
        fail(ProtocolViolation(code: .internalError, reason: breach), at: now)
    }

    private mutating func enterClosing(_ frame: Frame, at now: Instant) {
        closeFrame = frame
        closePending = true
        phase = .closing
        timers = TimerTable()
        candidates = []
        // RFC 9000 section 10.2: long enough for our close to be repeated to a peer that missed it.
        timers[.drain] = now + path.recovery.probeInterval() * 3
    }

    /// Ends at once, with nothing more to send.
    mutating func finish(_ reason: CloseReason, at now: Instant) {
        if case .closed = phase { return }
        if case .closing = phase {} else {
            events.append(.closed(handle, reason))
            note(.closed(reason), at: now)
        }
        phase = .closed
        timers = TimerTable()
    }

    /// Ends at once in favour of another connection; what tells the peer, if there is one that would understand.
    mutating func displace(at now: Instant) -> Transmit? {
        var farewell: Transmit?
        if isEstablished {
            var writer = ByteWriter.packet(capacity: 16)
            writer.frame(.close(code: TransportErrorCode.connectionRefused.rawValue, reason: ""))
            if seal(&writer, flags: 0, at: now) { farewell = Transmit(payload: writer.bytes, destination: path.address) }
            path.recovery.passOver()
        }
        finish(.displaced, at: now)
        return farewell
    }

    /// After anything that may have begun a key generation: its time, and its keys if anybody asked for them.
    mutating func noteKeys(at now: Instant) {
        guard let generation = protection?.sendGeneration else { return }
        if generation != generationSeen {
            generationSeen = generation
            keysChangedAt = now
        }
        guard configuration.logsKeys, generation >= phasesLogged, let keys = protection?.newestKeys() else { return }
        phasesLogged = generation + 1
        keysToLog.append(
            PacketKeys(
                initiator: isInitiator ? localID : remoteID, responder: isInitiator ? remoteID : localID, generation: generation,
                toResponder: isInitiator ? keys.send : keys.receive, toInitiator: isInitiator ? keys.receive : keys.send))
    }

    /// The next key generation begins once the one in use is acknowledged and three of the largest probe timeouts old: nothing
    /// of the one before it is under way then (RFC 9001 section 6.5).
    mutating func changeKeysIfDue(at now: Instant) {
        guard let protection, protection.isDue, protection.isConfirmed else { return }
        guard now - keysChangedAt >= path.recovery.probeInterval() * 3 else { return }
        self.protection?.changeSendKey()
        noteKeys(at: now)
    }

    /// UDP payload bytes of the largest packet that may go: what the path carries, and what the peer takes.
    var datagramSize: Int { min(path.recovery.mtu.limit(consecutiveProbes: path.recovery.consecutiveProbes), Int(clamping: peerParameters.maximumDatagramSize)) }

    mutating func note(_ event: TraceEvent, at now: Instant) {
        // Bounded, so that a driver that never drains it costs 4096 events and no more.
        guard configuration.tracing, trace.count < 4_096 else { return }
        trace.append(TracedEvent(time: now, connection: handle, event: event))
    }

    /// They are made for a trace alone.
    mutating func noteMetrics(at now: Instant) {
        if configuration.tracing { note(.metricsUpdated(path.recovery.metrics), at: now) }
    }
}
