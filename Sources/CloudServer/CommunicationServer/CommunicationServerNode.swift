import Logging
import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// How the communication server behaves.
package struct CommunicationServerConfiguration: Sendable {
    package var heartbeatInterval = Interval.seconds(1)
    /// Heartbeats missed until a node counts as down.
    package var missedHeartbeats: Int64 = 3
    /// Memory of the application processing module.
    package var processorBytes = 256 << 20
    /// How long one node may take to verify an identity before the next is asked.
    package var identityPatience = Interval.seconds(2)
    /// Clients attached at once.
    package var maximumClients = 50_000

    package init() {}
}

/// A client that said who it is on its control connection.
struct ClientSession: Sendable {
    var clientKey: PublicKey
    var ticket: Ticket
    /// On this host's monotone clock: no calendar ends a session early.
    var ends: Instant
    var route: UInt32
}

/// The communication server: everybody dials it, it dials nobody. It knows who is up and what they hold, tells
/// clients where to run, passes on questions of identity without storing credentials, keeps copies of applications,
/// and forwards packets between clients and nodes without reading them.
package actor CommunicationServerNode {
    let host: RPCHost
    let rootKey: SigningPublicKey
    let configuration: CommunicationServerConfiguration
    let log: Logger
    let engine: LookupEngine
    let processor: ApplicationProcessor

    var registry = NodeRegistry()
    var routes: RouteBook
    var sessions: [PeerConnection: ClientSession] = [:]
    var failedAttachments: [PeerConnection: Int] = [:]
    var hub = EventHub()
    var releases = ReleaseIndex.empty
    var signedReleases: SignedRecord<ReleaseIndex>?
    var numbers = StateNumbers()
    var shelf: RevocationShelf
    var servers: ServerListShelf
    /// What a center that came back from an older copy has lost, until it was told.
    var lost = LostState()
    /// The median of all clocks minus this one's; nil while there are fewer than three. Refreshed twice a heartbeat.
    var clockMedian: Interval?
    var joinsUnderWay = 0
    var reportsUnderWay = 0
    private var lastSightings = Instant.zero
    var vigils = Vigils()

    /// What is told to nodes on the side, so that nobody's call waits for it.
    enum Errand: Sendable {
        case announce
        case tellCenter
        /// Nodes that were removed: told so, and their connections closed.
        case dismiss([PeerConnection])
    }
    private let errands: AsyncStream<Errand>
    let errand: AsyncStream<Errand>.Continuation

    /// - Parameters:
    ///   - host: made with the server's own identity.
    ///   - rootKey: whose signature makes a node part of this cloud.
    ///   - routeSecret: 32 bytes that stay the same across restarts.
    ///   - files: keeps the revocations across restarts.
    package init(
        host: RPCHost, rootKey: SigningPublicKey, routeSecret: [UInt8], files: any BlobStore = MemoryBlobStore(),
        configuration: CommunicationServerConfiguration = CommunicationServerConfiguration(), log: Logger
    ) {
        self.host = host
        self.rootKey = rootKey
        self.configuration = configuration
        self.log = log
        engine = LookupEngine(heartbeatInterval: configuration.heartbeatInterval)
        processor = ApplicationProcessor(capacityBytes: configuration.processorBytes, now: { host.now() }, log: log)
        routes = RouteBook(secret: routeSecret)
        shelf = RevocationShelf(root: rootKey, store: files, logger: log)
        numbers.revocations = shelf.log.number
        servers = ServerListShelf(root: rootKey, store: files, logger: log)
        numbers.servers = servers.number
        // Errands repeat what later ones say anyway; the oldest may go.
        (errands, errand) = AsyncStream.makeStream(of: Errand.self, bufferingPolicy: .bufferingNewest(1024))
    }

    /// Serves until cancelled, or until `shutDown` has drained the host.
    package func run() async throws {
        let events = host.connectionEvents()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await self.host.serve(self.server()) }
            group.addTask { await self.follow(events) }
            group.addTask { try await self.sweep() }
            group.addTask { try await self.runErrands() }
            defer { group.cancelAll() }
            try await group.next()
        }
        await host.settle(reason: "the communication server stops")
    }

    /// Refuses new calls and lets those under way finish for at most `grace`, then tells all peers. `run` returns
    /// by itself.
    package func shutDown(grace: Interval) async {
        hub.endAll()
        await host.drain(grace: grace)
        await host.settle(reason: "the communication server stops")
    }

    // MARK: Methods and rights

    private nonisolated func server() -> RPCServer {
        RPCServer(authorize: { context in try await self.authorize(context) }, placement: .taskThreads) {
            ControlMethods.join.handle { request, context in try await self.join(request, context) }
            ControlMethods.register.handle { request, context in try await self.register(request, context) }
            ControlMethods.heartbeat.handle { request, context in try await self.heartbeat(request, context) }
            ControlMethods.sync.handle { request in try await self.sync(request) }
            ControlMethods.announce.handle { announcement in
                try await self.announced(announcement)
                return Nothing()
            }
            ControlMethods.fetchReplica.handle { request, writer, context in
                try await ReplicaTransfer.send(try await self.replica(request.digest, for: context), to: writer)
            }
            ControlMethods.attach.handle { request, context in try await self.attach(request, context) }
            ControlMethods.lookup.handle { request, context in try await self.lookup(request, context) }
            ControlMethods.watch.handle { _, writer, context in
                for await event in await self.watch(context) { try await writer.send(event) }
            }
            ControlMethods.servers.handle { _ in
                guard let signed = await self.servers.signed else {
                    throw RPCError(.notFound, "no node has brought the list of communication servers yet", effect: .none)
                }
                return CommunicationServersReply(servers: signed)
            }
            ControlMethods.reportDivergence.handle { divergence in try await self.reported(divergence) }
            ControlMethods.status.handle { _ in await self.status() }
        }
    }

    private func authorize(_ context: CallContext) throws {
        let node = registry.node(on: context.connection)
        switch MethodRight.needed(for: context.method) {
        case .anonymous: return
        case .user: _ = try session(context)
        case .node where node != nil: return
        case .station where node?.record.role == .station: return
        case .center where node?.record.role == .center: return
        case .node, .station, .center:
            // A node that is told so registers again.
            throw RPCError(.failedPrecondition, "\(context.method) is for registered nodes", effect: .none)
        default:
            throw RPCError(.permissionDenied, "\(context.method) is not served here", effect: .none)
        }
    }

    /// The attached client on this connection.
    func session(_ context: CallContext) throws -> ClientSession {
        guard let session = sessions[context.connection] else {
            throw RunRefusal.ticketNeeded.error("attach first: this connection has not said who it is")
        }
        guard host.now() <= session.ends else {
            throw RunRefusal.ticketNeeded.error("the ticket has expired: attach again")
        }
        do { try shelf.log.check(session.ticket) } catch { throw RunRefusal.ticketNeeded.error("\(error): attach again") }
        return session
    }

    // MARK: Connections

    private func follow(_ events: AsyncStream<ConnectionEvent>) async {
        for await event in events {
            switch event {
            case .opened: break
            case .closed(let connection, _): lost(connection)
            case .migrated(let connection, let address): moved(connection, to: address)
            }
        }
    }

    private func lost(_ connection: PeerConnection) {
        hub.end(connection)
        failedAttachments[connection] = nil
        if let session = sessions.removeValue(forKey: connection) { release(session.route, connection) }
        let route = registry.node(on: connection)?.route
        if let node = registry.lost(connection) { down(node, reason: "connection closed") }
        if let route { release(route, connection) }
    }

    func release(_ route: UInt32, _ connection: PeerConnection) {
        if routes.release(connection, route: route) { host.forwarding.remove(route) }
    }

    private func moved(_ connection: PeerConnection, to address: NetworkAddress) {
        let route = sessions[connection]?.route ?? registry.node(on: connection)?.route
        guard let route, routes.serves(route, on: connection) else { return }
        _ = forward(route, to: address)
        log.debug("party moved", metadata: ["route": "\(route)", "to": "\(address)"])
    }

    /// A route for the peer of this call, with the forwarder pointing at it.
    func openRoute(_ context: CallContext, asNode: Bool) throws -> UInt32 {
        let party = RouteBook.Party(key: context.peerKey, incarnation: asNode ? nil : context.connection.incarnation)
        guard let route = routes.route(for: party, on: context.connection), forward(route, to: context.connection.address)
        else { throw RPCError(.resourceExhausted, "no route is free", effect: .none, retryAfter: .seconds(5)) }
        return route
    }

    private func forward(_ route: UInt32, to address: NetworkAddress) -> Bool {
        host.forwarding.set(route, to: address)
    }

    // MARK: Silence

    private func sweep() async throws {
        let limit = configuration.heartbeatInterval * max(1, configuration.missedHeartbeats)
        while true {
            try await host.sleep(for: configuration.heartbeatInterval / 2)
            let now = host.now()
            for node in registry.expire(at: now, after: limit) { down(node, reason: "heartbeats missed") }
            shelf.keep(at: now)
            servers.keep(at: now)
            compareClocks()
            if now - lastSightings >= Self.sightingInterval { errand.yield(.tellCenter) }
        }
    }

    /// What goes wrong here, a line each.
    var troubles: [String] { shelf.troubles + servers.troubles + [servers.farewell(from: host.publicKey), time.complaint].compactMap(\.self) }

    // MARK: Time

    /// This server's own clock is one among the others.
    var time: CloudTime { CloudTime(own: host.wallTime(), offset: clockMedian.map { .zero - $0 }) }

    /// A node's clock minus the median.
    func clockOffset(_ node: RegisteredNode) -> Interval? {
        guard let clockMedian, let ahead = node.clockAhead else { return nil }
        return ahead - clockMedian
    }

    func compareClocks() {
        let before = time.complaint
        clockMedian = registry.clockMedian
        if before == nil, let complaint = time.complaint { log.warning("\(complaint)") }
    }

    func clockAhead(_ milliseconds: Int64?, _ context: CallContext) -> Interval? {
        guard let milliseconds else { return nil }
        let roundTrip = context.connection.statistics?.smoothedRTT ?? .zero
        return (WallTime(milliseconds: milliseconds) - host.wallTime()) + roundTrip / 2
    }

    func down(_ node: RegisteredNode, reason: String) {
        log.warning("node down", metadata: ["node": "\(node.record.name)", "id": "\(node.nodeID)", "reason": "\(reason)"])
        vigils.endAll(node.nodeID)
        hub.publish(NodeEvent(.routeGone, nodeID: node.nodeID, route: node.route))
    }

    // MARK: Errands

    private func runErrands() async throws {
        for await errand in errands {
            try Task.checkCancellation()
            switch errand {
            case .announce: await tellStations()
            case .tellCenter: await tellCenter()
            case .dismiss(let connections): await dismiss(connections)
            }
        }
    }

    /// How often the center hears how its stations do.
    static let sightingInterval = Interval.seconds(10)

    private func tellCenter() async {
        guard let center = registry.center else { return }
        lastSightings = host.now()
        let seen = NodesSeen(sightings: registry.ordered.filter { $0.record.role == .station }.map { sighting($0) })
        guard !seen.sightings.isEmpty else { return }
        var options = CallOptions()
        options.deadline = .in(.seconds(5))
        guard let reply = try? await host.client(on: center.connection).call(CenterMethods.nodesSeen, seen, options: options) else { return }
        let unknown = (reply.unknown ?? []).prefix(64).compactMap { registry[$0] }
        if !unknown.isEmpty {
            let shown = NodesSeen(sightings: unknown.map { sighting($0) }, records: unknown.map(\.signed))
            _ = try? await host.client(on: center.connection).call(CenterMethods.nodesSeen, shown, options: options)
        }
        for signed in reply.records.prefix(NodeRegistry.maximumNodes) {
            guard let record = try? signed.verified(by: rootKey), let known = registry[record.nodeID], known.record.epoch < record.epoch,
                known.record.signingKey == record.signingKey
            else { continue }
            registry.update(record.nodeID, record, signed)
            hub.publish(NodeEvent(.placementChanged, nodeID: record.nodeID))
            await tellRecord(record.nodeID)
        }
    }

    /// A station that does not hear it is told when it registers again.
    private func tellRecord(_ id: NodeID) async {
        guard let node = registry[id], node.isUp, node.record.role == .station else { return }
        var options = CallOptions()
        options.deadline = .in(.seconds(1))
        options.maxAttempts = 1
        _ = try? await host.client(on: node.connection).call(
            StationMethods.announce, Announcement(numbers: numbers, releases: nil, record: node.signed), options: options)
    }

    /// A removed station that is honest hears why, and stops serving whoever still reaches it.
    private func dismiss(_ connections: [PeerConnection]) async {
        let announcement = Announcement(numbers: numbers, releases: nil, revocations: shelf.signed)
        var options = CallOptions()
        options.deadline = .in(.milliseconds(500))
        options.maxAttempts = 1
        for connection in connections {
            _ = try? await host.client(on: connection).call(StationMethods.announce, announcement, options: options)
            connection.close(reason: "this node was removed from the cloud")
        }
    }

    private func tellStations() async {
        let announcement = Announcement(numbers: numbers, releases: signedReleases, revocations: shelf.signed, servers: servers.signed)
        let connections = registry.up.filter { $0.record.role == .station }.map(\.connection)
        let host = host
        var options = CallOptions()
        options.deadline = .in(.seconds(3))
        options.maxAttempts = 1
        let settled = options
        // A station that does not hear it learns the numbers with its next heartbeat.
        for batch in stride(from: 0, to: connections.count, by: 32) {
            await withTaskGroup(of: Void.self) { group in
                for connection in connections[batch..<min(batch + 32, connections.count)] {
                    group.addTask {
                        _ = try? await host.client(on: connection).call(StationMethods.announce, announcement, options: settled)
                    }
                }
            }
        }
    }
}
