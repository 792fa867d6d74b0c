import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// Why the communication server could not help.
enum ControlFailure: Error {
    case rpc(RPCError)
    /// Something does not bear the signature it should.
    case untrusted(String)

    var message: String {
        switch self {
        case .rpc(let error): error.message.isEmpty ? error.code.name : error.message
        case .untrusted(let what): what
        }
    }
}

/// Attaching, looking up, and listening: everything between a client and the communication server.
extension CloudClient {
    /// Longest wait for one answer of the communication server: beyond it the caller's policy decides anew.
    static let controlPatience = Interval.seconds(5)
    /// How long the server that one is at waits for the one that is to be better.
    static let movePatience = Interval.seconds(2)

    // MARK: Attaching

    /// Makes sure that the control connection is open and attached, with a ticket that lasts.
    /// - Parameter refused: a ticket that a node did not take; whoever comes first renews it for all.
    func ensureAttached(until deadline: Instant, refused: SignedRecord<Ticket>? = nil) async throws(ControlFailure) {
        if refused == nil, isAttached, !isDueToMove { return }
        try await control.pass { () async throws(ControlFailure) in
            do throws(ControlFailure) {
                try await self.attach(until: deadline, refused: refused)
                guard await self.follow(until: deadline) else { return }
            } catch {
                guard case .rpc(let reason) = error, await self.wasLeft(reason, until: deadline) else { throw error }
            }
            try await self.attach(until: deadline)
        }
    }

    private func attach(until deadline: Instant, refused: SignedRecord<Ticket>? = nil) async throws(ControlFailure) {
        let session = try await session(until: deadline)
        guard let request = try attachRequest(session, refused: refused) else { return }
        var reply: AttachReply
        do throws(RPCError) {
            reply = try await wire.attach(request, until: soon(deadline))
        } catch {
            guard request.ticket != nil, Self.wantsProof(error) else { throw .rpc(error) }
            let proof = try proof(session)
            do throws(RPCError) { reply = try await wire.attach(proof, until: soon(deadline)) } catch { throw .rpc(error) }
        }
        try absorb(reply, session)
    }

    private var isAttached: Bool {
        guard let session = wire.session else { return false }
        let now = wire.now()
        return state.withLock { $0.attachedOn == session.number && $0.ticketEnds - now > configuration.ticketMargin }
    }

    private var isDueToMove: Bool {
        let now = wire.now()
        return state.withLock { $0.servers.better != nil && now >= $0.nextMove }
    }

    private func soon(_ deadline: Instant) -> Instant { min(deadline, wire.now() + Self.controlPatience) }

    private func session(until deadline: Instant) async throws(ControlFailure) -> ControlSession {
        do throws(RPCError) { return try await wire.connect(until: soon(deadline)) } catch {
            // The server that was left may still be there, or the one that was not there yet.
            guard state.withLock({ $0.servers.hasOthers }), wire.now() < deadline else { throw .rpc(error) }
            change { $0.next() }
            do throws(RPCError) { return try await wire.connect(until: soon(deadline)) } catch { throw .rpc(error) }
        }
    }

    // MARK: Where the communication server is

    /// Goes to the best communication server of the newest list, if it is not there and that one answers.
    /// - Returns: whether it went.
    private func follow(until deadline: Instant) async -> Bool {
        let now = wire.now()
        guard let better = state.withLock({ now >= $0.nextMove ? $0.servers.better : nil }) else { return false }
        guard await wire.reach(better, until: min(deadline, now + Self.movePatience)) else {
            logger?.info("the communication server's new place does not answer yet", metadata: ["address": "\(better.address)"])
            state.withLock { $0.nextMove = wire.now() + .seconds(30) }
            return false
        }
        change { $0.moved() }
        logger?.notice("following the communication server", metadata: ["to": "\(communicationServer)"])
        save()
        return true
    }

    /// A server that everybody has left finds nobody who could vouch for a client; but it knows where they went.
    /// - Returns: whether the client has gone there.
    private func wasLeft(_ error: RPCError, until deadline: Instant) async -> Bool {
        guard error.code == .unavailable, error.cause == .remote, let reply = try? await wire.servers(until: soon(deadline)) else { return false }
        absorb(reply.servers)
        state.withLock { $0.nextMove = .zero }
        return await follow(until: deadline)
    }

    /// Dials another server from now on. What is known of nodes is known by the routes of the one before.
    private func change(_ body: (inout ServerChoice) -> Void) {
        let now = wire.now()
        let (server, broken) = state.withLock { state -> (CommunicationServer, [NodeContact]) in
            body(&state.servers)
            let broken = state.used
            for contact in broken { state.gone.append((contact.nodeID, now)) }
            if state.gone.count > 64 { state.gone.removeFirst(state.gone.count - 64) }
            (state.used, state.placements, state.center, state.attachedOn) = ([], [], nil, nil)
            state.news += 1
            return (state.servers.dialled, broken)
        }
        for contact in broken { wire.drop(contact) }
        wire.use(server)
    }

    /// Takes a newer list: the next attachment follows it.
    private func absorb(_ offered: SignedRecord<CommunicationServers>?) {
        guard let offered else { return }
        state.withLock { state in
            guard (try? state.servers.take(offered, root: profile.rootKey)) != nil else { return }
            state.nextMove = .zero
        }
    }

    /// What to say on a connection; nil if it knows us already.
    private func attachRequest(
        _ session: ControlSession, refused: SignedRecord<Ticket>? = nil
    ) throws(ControlFailure) -> AttachRequest? {
        let now = wire.now()
        let (isKnown, ticket) = state.withLock { state in
            let lasts = state.ticketEnds - now > configuration.ticketMargin && (refused == nil || state.ticket != refused)
            return (lasts && state.attachedOn == session.number, lasts ? state.ticket : nil)
        }
        if isKnown { return nil }
        if let ticket { return AttachRequest(proof: nil, ticket: ticket, knownRevocations: knownRevocations, knownServers: knownServers) }
        return try proof(session)
    }

    private func proof(_ session: ControlSession) throws(ControlFailure) -> AttachRequest {
        do throws(TrustError) {
            return AttachRequest(
                proof: try profile.proof(handshakeHash: session.handshakeHash), ticket: nil, knownRevocations: knownRevocations,
                knownServers: knownServers)
        } catch { throw .untrusted("this profile cannot sign: \(error)") }
    }

    /// A ticket from before may be worth nothing to a restarted cloud; a proof always is.
    private static func wantsProof(_ error: RPCError) -> Bool {
        RunRefusal(error) == .ticketNeeded || error.code == .unauthenticated
    }

    private var knownServers: StateNumber { state.withLock { $0.servers.number } }
    private var knownRevocations: StateNumber { state.withLock { $0.revocations.number } }

    private func absorb(_ reply: AttachReply, _ session: ControlSession) throws(ControlFailure) {
        absorb(reply.revocations)
        absorb(reply.servers)
        let revocations = state.withLock { $0.revocations }
        let claims: Ticket
        do throws(TrustError) {
            // The end is not compared with our calendar, which may be wrong: see `ticketEnds`.
            claims = try reply.ticket.verified(root: profile.rootKey, clientKey: profile.identity.publicKey, at: nil)
            try revocations.check(claims)
        } catch { throw .untrusted("the communication server gave a ticket that this cloud did not issue: \(error)") }
        let now = wire.now()
        let left = Interval.milliseconds(reply.ticketLifeMilliseconds)
        wire.adopt(route: reply.route)
        state.withLock { state in
            if state.ticket != reply.ticket { state.shown = [] }
            state.ticket = reply.ticket
            state.user = (claims.userID, claims.quota.fuelPerRun)
            state.ticketEnds = now + min(max(left, configuration.ticketMargin * 2), Ticket.lifetime)
            state.attachedOn = session.number
            state.center = reply.center
            state.statistics.attaches += 1
        }
        attached.signal.yield()
        save()
    }

    // MARK: Revocations

    /// Takes a newer list: nodes on it get nothing more, and what they still answer is not taken.
    private func absorb(_ offered: SignedRecord<RevocationLog>?) {
        let known = knownRevocations
        guard let offered, let log = try? offered.verified(by: profile.rootKey), log.number > known else { return }
        let now = wire.now()
        let key = profile.identity.publicKey
        let broken = state.withLock { state -> [NodeContact] in
            guard log.number > state.revocations.number else { return [] }
            // A center that was restored may have lost some: they go on counting here until it names them again.
            let all = RevocationLog(
                number: log.number, serials: log.serials + state.revocations.serials, nodes: log.nodes + state.revocations.nodes,
                suspended: log.suspended)
            (state.revocations, state.signedRevocations) = (all, offered)
            state.news += 1
            state.placements = []
            if let ticket = state.ticket.flatMap({ try? $0.verified(root: profile.rootKey, clientKey: key, at: nil) }),
                (try? log.check(ticket)) == nil
            {
                (state.ticket, state.attachedOn, state.ticketEnds) = (nil, nil, .zero)
            }
            let broken = state.used.filter { log.keepsFromRuns($0.nodeID) }
            state.used.removeAll { log.keepsFromRuns($0.nodeID) }
            for contact in broken { state.gone.append((contact.nodeID, now)) }
            if state.gone.count > 64 { state.gone.removeFirst(state.gone.count - 64) }
            return broken
        }
        for contact in broken { wire.drop(contact) }
        save()
    }

    /// From the cloud, or from placement.
    func isRemoved(_ nodeID: NodeID) -> Bool { state.withLock { $0.revocations.keepsFromRuns(nodeID) } }

    // MARK: Looking up

    /// Where an application runs. Attaches in the same round trip when need be.
    func lookUp(
        _ application: String, digest: ContentDigest?, until deadline: Instant
    ) async throws(ControlFailure) -> KnownPlacement {
        let called = wire.now()
        return try await control.pass { () async throws(ControlFailure) -> KnownPlacement in
            // Many runs that begin at once need one answer.
            if let known = self.knownPlacement(application, digest: digest), known.known >= called { return known }
            let session = try await self.session(until: deadline)
            let attach = try self.attachRequest(session)
            var request = LookupRequest(application: application, digest: digest, attach: attach)
            self.state.withLock { $0.statistics.lookups += 1 }
            var reply: LookupReply
            do throws(RPCError) {
                reply = try await self.wire.lookup(request, until: self.soon(deadline))
            } catch {
                if await self.wasLeft(error, until: deadline) {
                    try await self.attach(until: deadline)
                    request.attach = nil
                } else {
                    guard attach?.proof == nil, Self.wantsProof(error) else { throw .rpc(error) }
                    request.attach = try self.proof(session)
                }
                do throws(RPCError) { reply = try await self.wire.lookup(request, until: self.soon(deadline)) } catch { throw .rpc(error) }
            }
            if let attached = reply.attached { try self.absorb(attached, session) }
            if await self.follow(until: deadline) {
                // That placement leads through the server that was left.
                try await self.attach(until: deadline)
                do throws(RPCError) { reply = try await self.wire.lookup(LookupRequest(application: application, digest: digest), until: self.soon(deadline)) } catch { throw .rpc(error) }
            }
            return try self.absorb(reply.placement, asked: application, digest)
        }
    }

    private func absorb(_ placement: Placement, asked application: String, _ digest: ContentDigest?) throws(ControlFailure) -> KnownPlacement {
        var contacts: [NodeContact] = []
        for candidate in placement.candidates.prefix(8) {
            guard let contact = contact(candidate) else { continue }
            contacts.append(contact)
        }
        guard !contacts.isEmpty || placement.candidates.isEmpty else {
            throw .untrusted("no node of the placement has a record that this cloud's root key signed")
        }
        let known = KnownPlacement(
            application: application, digest: digest, placement: placement, contacts: contacts, known: wire.now())
        state.withLock { state in
            state.placements.removeAll { $0.application == application && $0.digest == digest }
            state.placements.append(known)
            // A client uses a handful of applications; the oldest placement is the cheapest to lose.
            if state.placements.count > 64 { state.placements.removeFirst() }
            state.policy.listed(contacts.map(\.candidate))
            for candidate in placement.candidates.prefix(8) {
                if let load = candidate.load { state.choice.heard(load, of: candidate.nodeID, at: known.known) }
            }
        }
        save()
        return known
    }

    /// The candidate as a contact, if the root key vouches for it.
    func contact(_ candidate: Candidate) -> NodeContact? {
        guard let record = try? candidate.record.verified(by: profile.rootKey), record.nodeID == candidate.nodeID,
            record.role == candidate.role, candidate.route != 0
        else {
            logger?.warning("a node's record is not signed by this cloud's root key", metadata: ["node": "\(candidate.nodeID)"])
            return nil
        }
        guard !isRemoved(record.nodeID) else {
            logger?.info("a placement names a node that is out of it", metadata: ["node": "\(record.name)"])
            return nil
        }
        let isCurrent = state.withLock { state in
            if let index = state.epochs.firstIndex(where: { $0.nodeID == record.nodeID }) {
                guard record.epoch >= state.epochs[index].epoch else { return false }
                state.epochs[index].epoch = record.epoch
            } else if state.epochs.count < 1_024 {
                state.epochs.append((record.nodeID, record.epoch))
            }
            return true
        }
        guard isCurrent else { return nil }
        return NodeContact(record, candidate.record, route: candidate.route)
    }

    func knownPlacement(_ application: String, digest: ContentDigest?) -> KnownPlacement? {
        state.withLock { $0.placements.first { $0.application == application && $0.digest == digest } }
    }

    /// A placement good enough to start with.
    func freshPlacement(_ application: String, digest: ContentDigest?) -> KnownPlacement? {
        guard let known = knownPlacement(application, digest: digest), let first = known.contacts.first else { return nil }
        let lifetime = first.role == .center ? configuration.farPlacementLifetime : configuration.placementLifetime
        return wire.now() - known.known <= lifetime ? known : nil
    }

    // MARK: Listening

    /// Follows the cloud's news while there is a control connection, and mends that connection while runs exist.
    /// Idle, it sends nothing.
    func listen() async {
        for await _ in attached.stream {
            var pause = Interval.milliseconds(100)
            while !Task.isCancelled {
                let began = wire.now()
                do { try await wire.watch { self.hear($0) } } catch {
                    logger?.debug("the cloud's news ended", metadata: ["reason": "\(error)"])
                }
                // What happens until the next watch is not heard: better to ask again than to believe.
                state.withLock { $0.placements = [] }
                guard !Task.isCancelled, state.withLock({ $0.activeRuns > 0 }) else { break }
                if wire.now() - began > .seconds(5) { pause = .milliseconds(100) }
                do { try await wire.sleep(for: pause) } catch { return }
                pause = min(pause * 2, .seconds(2))
                do { try await ensureAttached(until: wire.now() + Self.controlPatience) } catch {
                    logger?.debug("cannot attach", metadata: ["reason": "\(error.message)"])
                }
            }
        }
    }

    private func hear(_ event: NodeEvent) {
        if event.kind == .revoked { return absorb(event.revocations) }
        if event.kind == .moved {
            absorb(event.servers)
            // Whoever asks next attaches anew, and with that moves.
            return state.withLock { $0.attachedOn = nil }
        }
        let now = wire.now()
        let broken = state.withLock { state -> [NodeContact] in
            state.news += 1
            let nodeID = event.nodeID ?? event.candidate?.nodeID
            // Connections to a node that was lost are over, even if nobody told them: a restarted one does
            // not know them.
            var broken = state.used.filter { $0.nodeID == nodeID }
            switch event.kind {
            case .routeGone:
                guard let nodeID else { return [] }
                state.policy.routeGone(nodeID, at: now)
                state.gone.removeAll { $0.nodeID == nodeID }
                state.gone.append((nodeID, now))
                if state.gone.count > 64 { state.gone.removeFirst() }
            case .stationReturned:
                guard let nodeID else { return [] }
                if !state.policy.isAvoided(nodeID, at: now) { broken = [] }
                state.policy.stationReturned(nodeID)
                state.placements = []
            case .placementChanged, .revoked, .moved:
                state.placements = []
                return []
            }
            state.used.removeAll { broken.contains($0) }
            return broken
        }
        for contact in broken { wire.drop(contact) }
    }

    // MARK: Kept between processes

    /// Placements of an earlier process help only when the lookup engine cannot be asked: they count as old.
    func restore(_ placements: [Placement]) {
        let long = Instant(nanoseconds: .min)
        for placement in placements.prefix(64) {
            let known = KnownPlacement(
                application: placement.application, digest: nil, placement: placement,
                contacts: placement.candidates.prefix(8).compactMap(contact), known: long)
            state.withLock { $0.placements.append(known) }
        }
    }

    private func save() {
        guard let store else { return }
        let kept = state.withLock {
            ClientState(
                ticket: $0.ticket, placements: $0.placements.filter { $0.digest == nil }.map(\.placement), revocations: $0.signedRevocations,
                servers: $0.servers.better == nil && $0.servers.number > profile.servers.number ? $0.servers.signed : nil)
        }
        do { try store.save(kept) } catch {
            logger?.warning("the ticket could not be kept", metadata: ["reason": "\(error)"])
        }
    }
}

extension NodeContact {
    var candidate: FailoverPolicy.Candidate { FailoverPolicy.Candidate(nodeID: nodeID, isCenter: role == .center) }
}
