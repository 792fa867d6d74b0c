import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// What stations and the center ask for.
extension CommunicationServerNode {
    func client(of node: RegisteredNode) -> RPCClient { host.client(on: node.connection) }

    /// A call that ends when the node is declared down, and not at its own deadline.
    func call<Q: Sendable, R: Sendable>(
        _ method: Unary<Q, R>, _ request: Q, on node: RegisteredNode, options: CallOptions = CallOptions()
    ) async throws(RPCError) -> R {
        let client = client(of: node)
        return try await whileUp(node) { () async throws(RPCError) in try await client.call(method, request, options: options) }
    }

    /// Does `body` until the node is declared down.
    /// - Throws: what `body` throws; `unavailable` when the node is down.
    func whileUp<R: Sendable, E: Error>(_ node: RegisteredNode, _ body: @escaping @Sendable () async throws(E) -> R) async throws(RPCError) -> R {
        let (life, end) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingOldest(1))
        let number = vigils.begin(node.nodeID, end)
        defer { vigils.end(number) }
        let name = node.record.name
        let outcome = await withTaskGroup(of: Result<R, RPCError>.self) { group in
            group.addTask {
                do { return .success(try await body()) } catch { return .failure(error as? RPCError ?? RPCError(.unavailable, "\(error)", effect: .none)) }
            }
            group.addTask {
                for await _ in life {}
                return .failure(RPCError(.unavailable, "\(name) is down", effect: .none))
            }
            defer { group.cancelAll() }
            return await group.next() ?? .failure(RPCError(.cancelled, "nothing was asked", effect: .none))
        }
        return try outcome.get()
    }

    private func connectedCenter() throws(RPCError) -> RegisteredNode {
        guard let center = registry.center else {
            throw RPCError(.unavailable, "the center is not connected", effect: .none, retryAfter: configuration.heartbeatInterval)
        }
        return center
    }

    func join(_ request: JoinRequest, _ context: CallContext) async throws -> JoinReply {
        // Anybody may ask; the center must not be buried by it.
        guard joinsUnderWay < 16 else {
            throw RPCError(.resourceExhausted, "too many stations are joining", effect: .none, retryAfter: .seconds(1))
        }
        joinsUnderWay += 1
        defer { joinsUnderWay -= 1 }
        return try await call(
            CenterMethods.join,
            ForwardedJoin(
                request: request, peerKey: ByteString(context.peerKey.bytes),
                observedAddress: context.connection.address.description), on: try connectedCenter())
    }

    func register(_ request: RegisterRequest, _ context: CallContext) throws -> RegisterReply {
        var record: NodeRecord
        var signed = request.record
        do {
            record = try signed.verified(by: rootKey)
            guard record.transportKey == context.peerKey else { throw TrustError.wrongKey(of: "node record") }
            take(request.revocations)
            take(request.servers)
            for list in (request.lostRevocations ?? []).prefix(RevocationShelf.mostLost) { take(list) }
            guard !shelf.log.contains(record.nodeID) else { throw TrustError.removed(node: record.nodeID.rawValue) }
            if let known = registry[record.nodeID], known.record.epoch > record.epoch {
                // It was renamed and has not heard of it; with other keys it is another node's old record.
                guard known.record.signingKey == record.signingKey else {
                    throw TrustError.outdated(of: "node record", known: known.record.epoch, offered: record.epoch)
                }
                (record, signed) = (known.record, known.signed)
            }
        } catch {
            throw RPCError(.permissionDenied, "registration refused: \(error)", effect: .none)
        }
        guard registry[record.nodeID] != nil || !registry.isFull else {
            throw RPCError(.resourceExhausted, "too many nodes", effect: .none)
        }
        guard context.connection.isOpen else { throw RPCError(.cancelled, "the connection closed", effect: .none) }
        let route = try openRoute(context, asNode: true)
        let node = RegisteredNode(
            record: record, signed: signed, connection: context.connection, incarnation: request.incarnation,
            route: route, load: request.load, replicas: request.replicas.prefix(4096).sorted(), lastHeartbeat: host.now(),
            numbers: request.numbers, health: request.health.bounded, clockAhead: clockAhead(request.wallMilliseconds, context))
        let isNew = registry.register(node)
        // Afterwards twice a heartbeat is enough, however many come at once.
        if clockMedian == nil { compareClocks() }
        log.info(
            "node up",
            metadata: [
                "node": "\(record.name)", "role": "\(record.role)", "id": "\(node.nodeID)",
                "address": "\(context.connection.address)", "replicas": "\(node.replicas.count)",
            ])
        if let offered = request.releases { take(offered) }
        if let offered = request.users { take(offered) }
        if record.role == .center {
            if numbers.users.count > 0, numbers.users.epoch < request.numbers.users.epoch { lost.users = numbers.users }
            numbers = numbers.joined(request.numbers)
        }
        if isNew { returned(node) }
        errand.yield(.tellCenter)
        if record.role == .center, numbers != StateNumbers() { errand.yield(.announce) }
        return RegisterReply(
            route: route, heartbeatMilliseconds: configuration.heartbeatInterval.milliseconds, numbers: numbers,
            observedAddress: context.connection.address.description,
            revocations: request.numbers.revocations < shelf.log.number ? shelf.signed : nil,
            record: signed == request.record ? nil : signed,
            servers: request.numbers.servers < servers.number ? servers.signed : nil, clockOffset: clockOffset(node), lost: tellLost(to: node), runsTwice: registry[node.nodeID].map(runsTwice) ?? false)
    }

    func heartbeat(_ request: HeartbeatRequest, _ context: CallContext) throws -> HeartbeatReply {
        guard let node = registry.node(on: context.connection), node.incarnation == request.incarnation else {
            throw RPCError(.failedPrecondition, "register first", effect: .none)
        }
        take(request.revocations)
        let news = registry.heartbeat(node.nodeID, request, clockAhead: clockAhead(request.wallMilliseconds, context), at: host.now())
        if node.record.role == .center, numbers.isBehind(request.numbers) { numbers = numbers.joined(request.numbers) }
        if news.returned, let now = registry[node.nodeID] { returned(now) }
        if news.replicasChanged { hub.publish(NodeEvent(.placementChanged, nodeID: node.nodeID)) }
        return HeartbeatReply(
            numbers: numbers, heldRevocations: shelf.log.number,
            revocations: request.numbers.revocations < shelf.log.number ? shelf.signed : nil,
            servers: request.numbers.servers < servers.number ? servers.signed : nil,
            clockOffset: registry[node.nodeID].flatMap { clockOffset($0) }, lost: tellLost(to: node), runsTwice: runsTwice(node))
    }

    /// Revocations are told until they are in the center's list; the rest is for its log, and told once.
    private func tellLost(to node: RegisteredNode) -> LostState? {
        guard node.record.role == .center else { return nil }
        defer { lost = LostState() }
        let told = LostState(revocations: shelf.lost, releases: lost.releases, users: lost.users)
        return told == LostState() ? nil : told
    }

    private func returned(_ node: RegisteredNode) {
        guard node.record.role == .station else { return }
        hub.publish(
            NodeEvent(.stationReturned, nodeID: node.nodeID, route: node.route, candidate: node.candidate(for: node.replicas.first, at: host.now())))
    }

    /// A release index that a node holds. The newest genuine one counts, whoever brings it.
    private func take(_ offered: SignedRecord<ReleaseIndex>) {
        do {
            let index = try offered.verified(by: rootKey)
            // What an earlier epoch's index held is lost to the present center.
            let (older, olderSigned) = index.number < releases.number ? (index, offered) : (releases, signedReleases ?? offered)
            if older.number.count > 0, older.number.epoch < max(index.number, releases.number).epoch { lost.releases = olderSigned }
            guard index.number > releases.number else { return }
            releases = index
            signedReleases = offered
            numbers.releases = max(numbers.releases, index.number)
            hub.publish(NodeEvent(.placementChanged))
        } catch {
            log.warning("release index refused", metadata: ["reason": "\(error)"])
        }
    }

    /// How far the users are that a node holds.
    private func take(_ offered: SignedRecord<UsersNumber>) {
        do {
            let number = try offered.verified(by: rootKey).number
            if number.count > 0, number.epoch < numbers.users.epoch { lost.users = max(lost.users ?? number, number) }
            numbers.users = max(numbers.users, number)
        } catch {
            log.warning("users number refused", metadata: ["reason": "\(error)"])
        }
    }

    /// A newer list of revocations, whoever brings it: from this moment nothing on it counts here.
    private func take(_ offered: SignedRecord<RevocationLog>?) {
        guard shelf.take(offered, at: host.now()) else { return }
        numbers.revocations = max(numbers.revocations, shelf.log.number)
        var removed: [PeerConnection] = []
        for node in registry.ordered where shelf.log.contains(node.nodeID) {
            guard let node = registry.remove(node.nodeID) else { continue }
            removed.append(node.connection)
            down(node, reason: "removed from the cloud")
            // What still comes for it is not sent on.
            release(node.route, node.connection)
        }
        // A user who was revoked has no business here; whose ticket's issuer was, attaches again.
        let users = sessions.filter { shelf.log.contains($0.value.ticket.serial) }.keys.sorted { $0.handle < $1.handle }
        for connection in users { connection.close(reason: "this user was removed from the cloud") }
        hub.publish(NodeEvent(.revoked, revocations: shelf.signed))
        if !removed.isEmpty { errand.yield(.dismiss(removed)) }
        errand.yield(.announce)
    }

    /// A newer list of communication servers, whoever brings it: everybody here hears of it, and moves when it can.
    private func take(_ offered: SignedRecord<CommunicationServers>?) {
        guard servers.take(offered, at: host.now()) else { return }
        numbers.servers = max(numbers.servers, servers.number)
        if let farewell = servers.farewell(from: host.publicKey) { log.warning("\(farewell)") }
        hub.publish(NodeEvent(.moved, servers: servers.signed))
        errand.yield(.announce)
    }

    func sighting(_ node: RegisteredNode) -> NodeSighting {
        NodeSighting(
            nodeID: node.nodeID, epoch: node.record.epoch, observedAddress: node.connection.address.description, isUp: node.isUp,
            replicas: node.replicas.count, health: node.health, runsTwice: runsTwice(node), clockOffset: clockOffset(node))
    }

    /// Two processes of one node take turns within a second; after ten without it, one of them is gone.
    func runsTwice(_ node: RegisteredNode) -> Bool {
        node.twiceAt.map { host.now() - $0 < max(.seconds(10), configuration.heartbeatInterval * 10) } ?? false
    }

    func announced(_ announcement: Announcement) throws {
        take(announcement.revocations)
        take(announcement.servers)
        if let offered = announcement.releases { take(offered) }
        numbers = numbers.joined(announcement.numbers)
        errand.yield(.announce)
        errand.yield(.tellCenter)
    }

    /// Handed on: the center judges, from what is signed.
    func reported(_ divergence: Divergence) async throws -> Nothing {
        guard reportsUnderWay < 16 else {
            throw RPCError(.resourceExhausted, "too many divergences are being reported", effect: .none, retryAfter: .seconds(1))
        }
        reportsUnderWay += 1
        defer { reportsUnderWay -= 1 }
        return try await call(CenterMethods.reportDivergence, divergence, on: try connectedCenter())
    }

    func sync(_ request: SyncRequest) async throws -> SyncReply {
        try await call(CenterMethods.sync, request, on: try connectedCenter())
    }

    /// The application processing module's answer to a station that lacks a replica.
    func replica(_ digest: ContentDigest, for context: CallContext) async throws -> [UInt8] {
        if releases.number > 0, releases.application(digest: digest) == nil {
            await processor.forget(digest)
            throw RPCError(.notFound, "no released application has SHA-256 \(digest)", effect: .none)
        }
        let asking = registry.node(on: context.connection)?.nodeID
        let holders = views(for: digest).filter { $0.holdsReplica && $0.nodeID != asking }
        let host = host
        // A node that goes down in the middle is one that does not have it.
        let sources = engine.placement(holders).compactMap { registry[$0] }.map { node in
            ReplicaSource(name: node.record.name) { digest in
                let method = node.record.role == .center ? CenterMethods.fetchApplication : StationMethods.fetchReplica
                return try await self.whileUp(node) { try await ReplicaTransfer.fetch(digest, method, from: host.client(on: node.connection)) }
            }
        }
        return try await processor.replica(digest, from: sources)
    }

    /// The nodes that are up, as the lookup engine wants to see them.
    func views(for digest: ContentDigest?) -> [LookupEngine.View] {
        let now = host.now()
        return registry.up.map { node in
            LookupEngine.View(
                nodeID: node.nodeID, role: node.record.role, load: node.expectedLoad(at: now),
                holdsReplica: node.candidate(for: digest, at: now).holdsReplica, heartbeatAge: now - node.lastHeartbeat,
                roundTrip: roundTrip(node), isCurrent: node.numbers.revocations >= numbers.revocations && !CloudTime.isOff(clockOffset(node)) && !shelf.log.isSuspended(node.nodeID))
        }
    }

    func roundTrip(_ node: RegisteredNode) -> Interval? { client(of: node).connectionStatistics?.smoothedRTT }
}
