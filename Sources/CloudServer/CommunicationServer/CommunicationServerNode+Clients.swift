import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// What clients ask for.
extension CommunicationServerNode {
    func attach(_ request: AttachRequest, _ context: CallContext) async throws -> AttachReply {
        guard sessions.count < configuration.maximumClients || sessions[context.connection] != nil else {
            throw RPCError(.resourceExhausted, "too many clients are attached", effect: .none, retryAfter: .seconds(1))
        }
        let signed: SignedRecord<Ticket>
        let ticket: Ticket
        do {
            (signed, ticket) = try await ticketFor(request, context)
        } catch let error as RPCError where error.code == .unauthenticated || error.code == .notFound {
            try countFailure(context)
            throw error
        }
        failedAttachments[context.connection] = nil
        let route = try openRoute(context, asNode: false)
        // The connection may have closed while a node was asked.
        guard context.connection.isOpen else { throw RPCError(.cancelled, "the connection closed", effect: .none) }
        // A ticket that was made this moment holds for all its life, whatever its issuer's calendar says.
        let life = (try? ticket.remaining(at: time)) ?? Ticket.lifetime
        sessions[context.connection] = ClientSession(clientKey: context.peerKey, ticket: ticket, ends: host.now() + life, route: route)
        log.debug("client attached", metadata: ["user": "\(ticket.userName)", "route": "\(route)"])
        return AttachReply(
            ticket: signed, userName: ticket.userName, ticketLife: life, route: route,
            center: registry.center?.candidate(for: nil, at: host.now()),
            revocations: request.knownRevocations < shelf.log.number ? shelf.signed : nil,
            servers: request.knownServers < servers.number ? servers.signed : nil)
    }

    /// The ticket shown, or a new one from a node that stores the user's record.
    private func ticketFor(_ request: AttachRequest, _ context: CallContext) async throws -> (SignedRecord<Ticket>, Ticket) {
        if let shown = request.ticket {
            if let ticket = try? shown.verified(root: rootKey, clientKey: context.peerKey, at: time),
                (try? shelf.log.check(ticket)) != nil
            {
                return (shown, ticket)
            }
            guard request.proof != nil else {
                throw RunRefusal.ticketNeeded.error("the ticket is not good here: send a proof")
            }
        }
        guard let proof = request.proof else { throw RunRefusal.ticketNeeded.error("send a proof or a ticket") }
        var query = IdentityQuery(
            proof: proof, handshakeHash: ByteString(context.connection.handshakeHash),
            clientKey: ByteString(context.peerKey.bytes), newestRevocations: numbers.revocations)
        var options = CallOptions()
        options.deadline = .in(configuration.identityPatience)
        options.failFast = true
        // A station that lacks the record, or has an old one, is no reason to turn a client away: the next is asked.
        var answers: [RPCError] = []
        // Whether one was asked who has all users that this cloud has told of.
        var isComplete = false
        for id in engine.verifiers(views(for: nil)) {
            guard let node = registry[id], node.isUp else { continue }
            // Those who lack revocations come last, and only if nobody who has them knew the client.
            isComplete = isComplete || node.record.role == .center || node.numbers.users >= numbers.users
            query.isLastResort = node.numbers.revocations < numbers.revocations
            if query.isLastResort, answers.contains(where: { $0.code == .unauthenticated }) { continue }
            let method = node.record.role == .center ? CenterMethods.verifyIdentity : StationMethods.verifyIdentity
            do {
                let signed = try await call(method, query, on: node, options: options).ticket
                // It was made this moment: what the issuer's calendar says of it is for others to compare.
                let ticket = try signed.verified(root: rootKey, clientKey: context.peerKey, at: nil)
                do { try shelf.log.check(ticket) } catch { throw RPCError(.unauthenticated, "\(error)", effect: .none) }
                return (signed, ticket)
            } catch {
                try Task.checkCancellation()
                log.debug("identity not verified there", metadata: ["node": "\(node.record.name)", "reason": "\(error)"])
                answers.append(error as? RPCError ?? RPCError(.internal, "\(node.record.name) gave a ticket that is not good: \(error)", effect: .none))
            }
        }
        // "Wrong" says more than "unknown", and that more than "did not answer".
        if let wrong = answers.first(where: { $0.code == .unauthenticated }) {
            throw RPCError(.unauthenticated, "identity refused: \(wrong.message)", effect: .none)
        }
        if registry.center != nil || answers.isEmpty == false, answers.allSatisfy({ $0.code == .notFound }) {
            if isComplete { throw RPCError(.unauthenticated, "no node of this cloud knows this client's key", effect: .none) }
            throw RPCError(
                .unavailable, "no node that is here has the newest list of users, and the center is away; it will tell them when it is back", effect: .none,
                retryAfter: configuration.heartbeatInterval)
        }
        throw RPCError(
            .unavailable, "no station and no center can verify an identity now", effect: .none,
            retryAfter: configuration.heartbeatInterval)
    }

    /// Guessing costs others work, so a connection that keeps failing is closed.
    private func countFailure(_ context: CallContext) throws {
        let failures = (failedAttachments[context.connection] ?? 0) + 1
        guard failures < 16 else {
            context.connection.close(reason: "too many failed attempts to attach")
            failedAttachments[context.connection] = nil
            return
        }
        if context.connection.isOpen { failedAttachments[context.connection] = failures }
    }

    func lookup(_ request: LookupRequest, _ context: CallContext) async throws -> LookupReply {
        var attached: AttachReply?
        if let attach = request.attach { attached = try await self.attach(attach, context) }
        let session = try session(context)
        guard session.ticket.grants.mayRun(request.application) else {
            throw RunRefusal.notGranted.error("\(session.ticket.userName) may not run \(request.application)")
        }
        guard let application = releases.application(request.application, digest: request.digest) else {
            if releases.number == 0, registry.up.isEmpty { throw nobody() }
            throw RunRefusal.unknownApplication.error(
                "no application is called \(request.application)\(request.digest.map { " with SHA-256 \($0)" } ?? "")")
        }
        let candidates = engine.placement(views(for: application.digest).filter { !shelf.log.isSuspended($0.nodeID) }).compactMap { id in
            registry[id].map { $0.candidate(for: application.digest, roundTrip: roundTrip($0), at: host.now()) }
        }
        guard let first = candidates.first else { throw nobody() }
        registry.placed(on: first.nodeID)
        return LookupReply(
            placement: Placement(
                application: application.name, version: application.version, digest: application.digest,
                entry: application.entry, limits: application.limits, refusesAudit: application.refusesAudit, candidates: candidates),
            attached: attached)
    }

    private func nobody() -> RPCError {
        RPCError(
            .unavailable, "no station is up, and the center is not connected", effect: .none,
            retryAfter: configuration.heartbeatInterval)
    }

    func watch(_ context: CallContext) -> AsyncStream<NodeEvent> { hub.watch(context.connection) }

    func status() async -> CloudStatus {
        let now = host.now()
        let ordered = registry.ordered
        let named = Dictionary(grouping: ordered, by: \.record.name)
        let nodes = ordered.map { node in
            CloudStatus.Node(
                nodeID: node.nodeID, name: node.record.name, role: node.record.role, isUp: node.isUp,
                address: node.connection.address.description, route: node.route, load: node.load, replicas: node.replicas,
                heartbeatAgeMilliseconds: (now - node.lastHeartbeat).milliseconds,
                roundTripMicroseconds: node.isUp ? roundTrip(node)?.microseconds : nil, health: node.health,
                runsTwice: runsTwice(node), sharesName: named[node.record.name, default: []].count > 1,
                isBehind: node.numbers.revocations < numbers.revocations,
                isSuspended: shelf.log.isSuspended(node.nodeID), clockOffset: clockOffset(node),
                replicaTroubles: node.replicaTroubles.isEmpty ? nil : node.replicaTroubles, numbers: node.numbers)
        }
        return CloudStatus(
            nodes: nodes, applications: releases.statuses, releaseNumber: releases.number, revocationNumber: shelf.log.number,
            troubles: troubles, clockOffset: clockMedian.map { .zero - $0 }, attachedClients: sessions.count, cachedApplications: await processor.count, cachedBytes: await processor.totalBytes)
    }
}
