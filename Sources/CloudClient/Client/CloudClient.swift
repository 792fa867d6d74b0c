import Logging
import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import Synchronization

/// A user's side of a cloud: runs applications at the best node there is, whatever happens to nodes and radio.
///
///     try await CloudClient.withConnection(host: host, profile: profile, pool: pool) { client in
///         let outcome = try await client.run("textsearch", input: bytes)
///     }
///
/// A client exists inside `withConnection`, whose scope also bounds the task that listens to the cloud's news.
/// It is safe to run many at once. Everything it waits for is its host's clock and sockets, so it works the
/// same in virtual time.
public final class CloudClient: Sendable {
    public struct Configuration: Sendable {
        /// How often a running attempt is looked at.
        public var watchInterval: Interval = .milliseconds(50)
        /// A ticket with less than this left is renewed before it is used.
        public var ticketMargin: Interval = .seconds(60)
        /// While runs exist, the control connection is used at least this often: below the NAT lifetimes of
        /// mobile networks, which begin at some 30 s.
        public var keepAlive: Interval = .seconds(15)
        /// Age at which a placement is asked for again, and that of one which leads to the center first.
        public var placementLifetime: Interval = .seconds(300)
        public var farPlacementLifetime: Interval = .seconds(5)
        /// The share of answered runs that another node repeats, to find out nodes that lie; 0 for none.
        public var auditRate = 0.01
        /// The share of repetitions that the center does although stations could: those that lie alike confirm each other, and
        /// none can know when it is the center that looks.
        public var centerAuditShare = 0.25
        /// How long `withConnection` waits in the end for repetitions under way.
        public var auditPatience: Interval = .seconds(2)

        public init() {}
    }

    struct KnownPlacement: Sendable {
        var application: String
        var digest: ContentDigest?
        var placement: Placement
        var contacts: [NodeContact]
        var known: Instant
    }

    struct State {
        var policy = FailoverPolicy()
        var choice = NodeChoice()
        var attachedOn: UInt64?
        /// The communication server: the one dialled, and the newest list.
        var servers: ServerChoice
        /// A better server that does not answer is not tried with every attachment.
        var nextMove = Instant.zero
        var ticket: SignedRecord<Ticket>?
        /// On this host's clock: the issuer's may differ.
        var ticketEnds = Instant.zero
        var center: Candidate?
        /// Nodes that runs went to, by the connection they went on.
        var used: [NodeContact] = []
        /// Nodes that have seen the present ticket.
        var shown: [NodeID] = []
        var placements: [KnownPlacement] = []
        /// Newest record of each node: an older one is not believed again.
        var epochs: [(nodeID: NodeID, epoch: UInt64)] = []
        /// Nodes that the center removed: not asked, not believed, from the moment the list is here.
        var revocations = RevocationLog.empty
        var signedRevocations: SignedRecord<RevocationLog>?
        /// Rises with every piece of news; who waits for a change looks at it.
        var news = 0
        /// Nodes that the communication server lost, and when we heard: attempts from before are over.
        var gone: [(nodeID: NodeID, at: Instant)] = []
        var activeRuns = 0
        var audits = AuditQueue()
        /// Of the ticket: who we are, and the most fuel that we get.
        var user: (id: String, fuelPerRun: UInt64)?
        var retransmitted: [(number: UInt64, packets: UInt64)] = []
        var retransmittedBefore: UInt64 = 0
        var statistics = CloudClientStatistics()
        var entropy: any RandomNumberGenerator & Sendable
    }

    let wire: any CloudWire
    let profile: OpenedProfile
    let pool: any ResultPool
    let store: (any ClientStateStore)?
    let configuration: Configuration
    let logger: Logger?
    let state: Mutex<State>
    let control = Turnstile()
    /// Wakes the listener when a control connection is attached.
    let attached: (stream: AsyncStream<Void>, signal: AsyncStream<Void>.Continuation)
    /// Wakes the auditor when a run was drawn.
    let auditing: (stream: AsyncStream<Void>, signal: AsyncStream<Void>.Continuation)

    package init(
        wire: any CloudWire, profile: OpenedProfile, pool: any ResultPool, store: (any ClientStateStore)? = nil,
        entropy: any RandomNumberGenerator & Sendable, configuration: Configuration = .init(), logger: Logger? = nil
    ) {
        (self.wire, self.profile, self.pool, self.store) = (wire, profile, pool, store)
        (self.configuration, self.logger) = (configuration, logger)
        var state = State(servers: profile.servers, entropy: entropy)
        let attached = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.attached = (attached.stream, attached.continuation)
        let auditing = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        self.auditing = (auditing.stream, auditing.continuation)
        let kept = store?.load()
        if let kept { state.restore(kept, rootKey: profile.rootKey, clientKey: profile.identity.publicKey, wall: wire.wallTime(), now: wire.now()) }
        wire.use(state.servers.dialled)
        self.state = Mutex(state)
        if let kept { restore(kept.placements) }
    }

    /// Connects a client for the time of `body`. Nothing is dialled before it is needed.
    ///
    /// - Parameters:
    ///   - host: one socket, made with the profile's identity.
    ///   - store: keeps ticket and placements between processes; nil keeps them in memory.
    /// - Throws: what `body` throws; `TrustError` for a profile that cannot be used.
    public static func withConnection<T: Sendable>(
        host: RPCHost, profile: ClientProfile, pool: any ResultPool, store: (any ClientStateStore)? = nil,
        entropy: any RandomNumberGenerator & Sendable = SystemRandomNumberGenerator(), configuration: Configuration = .init(),
        logger: Logger? = nil, _ body: (CloudClient) async throws -> T
    ) async throws -> T {
        let opened = try profile.opened()
        let wire = RPCWire(host: host, communicationServer: opened.communicationServer, key: opened.communicationServerKey)
        let client = CloudClient(
            wire: wire, profile: opened, pool: pool, store: store, entropy: entropy, configuration: configuration, logger: logger)
        return try await client.whileListening(body)
    }

    /// Runs `body` beside the listener and the auditor.
    package func whileListening<T: Sendable>(_ body: (CloudClient) async throws -> T) async throws -> T {
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { await self.listen() }
            group.addTask { await self.audit() }
            defer { group.cancelAll() }
            let value = try await body(self)
            await finishAudits(within: configuration.auditPatience)
            closeAudits()
            return value
        }
    }

    public var userName: String { profile.userName }
    /// Where the communication server is that is dialled now.
    package var communicationServer: HostPort { state.withLock { $0.servers.dialled.address } }

    public var statistics: CloudClientStatistics {
        noteRetransmissions(of: nil)
        return state.withLock { state in
            var statistics = state.statistics
            statistics.retransmittedPackets = state.retransmittedBefore + state.retransmitted.reduce(0) { $0 + $1.packets }
            return statistics
        }
    }

    /// Remembers a connection's count, which is gone with the connection.
    func noteRetransmissions(of node: NodeContact?) {
        guard let figures = wire.statistics(of: node), figures.number != 0 else { return }
        state.withLock { state in
            if let index = state.retransmitted.firstIndex(where: { $0.number == figures.number }) {
                state.retransmitted[index].packets = figures.retransmitted
            } else {
                state.retransmitted.append((figures.number, figures.retransmitted))
                // Sixteen connections at once is more than a client has; older ones are over.
                if state.retransmitted.count > 16 { state.retransmittedBefore += state.retransmitted.removeFirst().packets }
            }
        }
    }

    func freshRunID() -> RunID {
        state.withLock { state in
            var entropy = state.entropy
            defer { state.entropy = entropy }
            return RunID(using: &entropy)
        }
    }
}
