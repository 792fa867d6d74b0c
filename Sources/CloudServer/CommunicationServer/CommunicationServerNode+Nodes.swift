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
        let record: NodeRecord
        do {
            record = try request.record.verified(by: rootKey)
            guard record.transportKey == context.peerKey else { throw TrustError.wrongKey(of: "node record") }
            if let known = registry[record.nodeID], known.record.epoch > record.epoch {
                throw TrustError.stale(of: "node record", known: known.record.epoch, offered: record.epoch)
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
            record: record, signed: request.record, connection: context.connection, incarnation: request.incarnation,
            route: route, load: request.load, replicas: request.replicas.prefix(4096).sorted(), lastHeartbeat: host.now())
        let isNew = registry.register(node)
        log.info(
            "node up",
            metadata: [
                "node": "\(record.name)", "role": "\(record.role)", "id": "\(node.nodeID)",
                "address": "\(context.connection.address)", "replicas": "\(node.replicas.count)",
            ])
        if let offered = request.releases { take(offered) }
        if record.role == .center { numbers = numbers.joined(request.numbers) }
        if isNew { returned(node) }
        if record.role == .station {
            errand.yield(.stationSeen(StationSeen(nodeID: node.nodeID, observedAddress: context.connection.address.description)))
        } else if numbers != StateNumbers() {
            errand.yield(.announce)
        }
        return RegisterReply(
            route: route, heartbeatMilliseconds: configuration.heartbeatInterval.milliseconds, numbers: numbers,
            observedAddress: context.connection.address.description)
    }

    func heartbeat(_ request: HeartbeatRequest, _ context: CallContext) throws -> HeartbeatReply {
        guard let node = registry.node(on: context.connection), node.incarnation == request.incarnation else {
            throw RPCError(.failedPrecondition, "register first", effect: .none)
        }
        let news = registry.heartbeat(
            node.nodeID, load: request.load, replicas: request.replicas.map { $0.prefix(4096).sorted() },
            troubles: (request.replicaTroubles ?? []).prefix(ReplicaTrouble.mostReported).filter { $0.reason.utf8.count <= 600 }, at: host.now())
        if node.record.role == .center, numbers.isBehind(request.numbers) { numbers = numbers.joined(request.numbers) }
        if news.returned, let now = registry[node.nodeID] { returned(now) }
        if news.replicasChanged { hub.publish(NodeEvent(.placementChanged, nodeID: node.nodeID)) }
        return HeartbeatReply(numbers: numbers)
    }

    private func returned(_ node: RegisteredNode) {
        guard node.record.role == .station else { return }
        hub.publish(
            NodeEvent(.stationReturned, nodeID: node.nodeID, route: node.route, candidate: node.candidate(for: node.replicas.first)))
    }

    /// A release index that a node holds. The newest genuine one counts, whoever brings it.
    private func take(_ offered: SignedRecord<ReleaseIndex>) {
        do {
            let index = try offered.verified(root: rootKey, notOlderThan: releases.number)
            guard index.number > releases.number else { return }
            releases = index
            signedReleases = offered
            numbers.releases = max(numbers.releases, index.number)
            hub.publish(NodeEvent(.placementChanged))
        } catch TrustError.stale {
            // A node that was away; its heartbeat's answer tells it so.
        } catch {
            log.warning("release index refused", metadata: ["reason": "\(error)"])
        }
    }

    func announced(_ announcement: Announcement) throws {
        if let offered = announcement.releases { take(offered) }
        numbers = numbers.joined(announcement.numbers)
        errand.yield(.announce)
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
                nodeID: node.nodeID, role: node.record.role, load: node.load,
                holdsReplica: node.candidate(for: digest).holdsReplica, heartbeatAge: now - node.lastHeartbeat,
                roundTrip: roundTrip(node))
        }
    }

    func roundTrip(_ node: RegisteredNode) -> Interval? { client(of: node).connectionStatistics?.smoothedRTT }
}
