import MastCloudClient
import MastCloudCore
import MastRPC
import MastSimulator
import MastTimebase
import MastTransport
import Synchronization

/// A communication server, two stations and a center as a client's wire sees them, with failures on demand.
final class ScriptedCloud: CloudWire {
    enum Behaviour { case serves, dead, noReplica, busy, traps, executesForever, wantsTicket, lies, wasRestarted, cannotLoad, answersTooMuch }

    struct Node {
        var contact: SignedRecord<NodeRecord>
        var record: NodeRecord
        var signing: SigningKeyPair
        var behaviour = Behaviour.serves
        /// Whether the communication server lists it.
        var isListed = true
        var runs = 0
    }

    private struct Send { var sent: Instant; var answered: Instant? }

    private struct State {
        var nodes: [Node] = []
        var log: [String] = []
        var session: UInt64 = 0
        var isOpen = false
        var isServerUp = true
        var attachedSession: UInt64 = 0
        var ticketLife = Interval.seconds(900)
        var knowsApplication = true
        /// Nodes that nobody would choose beside others.
        var distant: [String] = []
        var inputLimit = 1_000
        var outages: [Range<Int64>] = []
        var sends: [(peer: String, send: Send)] = []
        var watchers: [AsyncStream<NodeEvent>.Continuation] = []
        var revocations: SignedRecord<RevocationLog>?
        /// Signs nodes' records in place of the root, and tickets in place of their issuer.
        var recordForger: SigningKeyPair?
        var ticketForger: SigningKeyPair?
        var generator = SeededGenerator(seed: 7)
        var receiptForgers: [(name: String, forge: @Sendable (inout ForgedReceipt) -> Void)] = []
        var refusesAudit = false
        /// What each node was asked, in order.
        var asked: [(name: String, request: RunRequest)] = []
    }

    /// A receipt in the making, in the hands of a node that lies.
    struct ForgedReceipt {
        var receipt: Receipt
        var signing: SigningKeyPair?
        var result: RunResult
    }

    let loop: VirtualTime
    let root: SigningKeyPair
    let user: StaticKeyPair
    let userSigning: SigningKeyPair
    let roundTrip = Interval.milliseconds(40)
    private let state: Mutex<State>

    init(_ loop: VirtualTime) {
        self.loop = loop
        var generator = SeededGenerator(seed: 42)
        root = SigningKeyPair(using: &generator)
        user = StaticKeyPair(using: &generator)
        userSigning = SigningKeyPair(using: &generator)
        var state = State()
        for (name, role) in [("station-a", NodeRole.station), ("station-b", .station), ("center", .center)] {
            let signing = SigningKeyPair(using: &generator)
            let record = NodeRecord(
                role: role, name: name, transportKey: StaticKeyPair(using: &generator).publicKey, signingKey: signing.publicKey,
                addresses: [], epoch: 1, issued: WallTime(milliseconds: 0))
            guard let signed = try? SignedRecord(record, signedBy: root) else { continue }
            state.nodes.append(Node(contact: signed, record: record, signing: signing))
        }
        self.state = Mutex(state)
    }

    func profile() throws -> OpenedProfile {
        let record = UserRecord(
            userID: "ada", name: "ada", devices: [], grants: [], quota: Quota(), serial: 1, epoch: 1,
            issued: WallTime(milliseconds: 0))
        return try ClientProfile(
            userName: "ada", communicationServer: .loopback(port: 1), communicationServerKey: user.publicKey,
            servers: SignedRecord(CommunicationServers(number: 1, servers: [.init(address: .loopback(port: 1), key: user.publicKey)]), signedBy: root),
            rootKey: root.publicKey, identity: user, signing: userSigning, userRecord: SignedRecord(record, signedBy: root)
        ).opened()
    }

    // MARK: Script

    var log: [String] { state.withLock { $0.log } }
    func clearLog() { state.withLock { $0.log = [] } }
    /// The client measures these five times as far as others.
    func moveAway(_ names: [String]) { state.withLock { $0.distant = names } }

    func set(_ name: String, _ behaviour: Behaviour, listed: Bool = true) {
        state.withLock { state in
            for index in state.nodes.indices where state.nodes[index].record.name == name {
                state.nodes[index].behaviour = behaviour
                state.nodes[index].isListed = listed
            }
        }
    }
    var nodeSigners: [(name: String, key: SigningKeyPair)] { state.withLock { $0.nodes.map { ($0.record.name, $0.signing) } } }
    func nodeID(_ name: String) -> NodeID? { state.withLock { $0.nodes.first { $0.record.name == name }?.record.nodeID } }
    func addOutage(_ milliseconds: Range<Int64>) { state.withLock { $0.outages.append(milliseconds) } }
    func setApplicationKnown(_ known: Bool) { state.withLock { $0.knowsApplication = known } }
    func setInputLimit(_ bytes: Int) { state.withLock { $0.inputLimit = bytes } }
    func setTicketLife(_ life: Interval) { state.withLock { $0.ticketLife = life } }
    /// The communication server dies; whoever is connected notices only when it is back.
    func setServerUp(_ up: Bool) {
        state.withLock { state in
            state.isServerUp = up
            if up {
                state.isOpen = false
                for watcher in state.watchers { watcher.finish() }
                state.watchers = []
            }
        }
    }
    /// The center puts nodes out of the cloud, or somebody with another key says so; watching clients hear it.
    func remove(_ names: [String], number: StateNumber = 1, signedBy key: SigningKeyPair? = nil) throws {
        tell(try SignedRecord(RevocationLog(number: number, nodes: names.compactMap(nodeID)), signedBy: key ?? root))
    }
    /// The center takes nodes out of placement, or lets them in again.
    func suspend(_ names: [String], number: StateNumber = 1) throws {
        tell(try SignedRecord(RevocationLog(number: number, suspended: names.compactMap(nodeID)), signedBy: root))
    }
    private func tell(_ signed: SignedRecord<RevocationLog>) {
        state.withLock { state in
            state.revocations = signed
            for watcher in state.watchers { watcher.yield(NodeEvent(.revoked, revocations: signed)) }
        }
    }
    func forge(records: SigningKeyPair? = nil, tickets: SigningKeyPair? = nil) {
        state.withLock { ($0.recordForger, $0.ticketForger) = (records, tickets) }
    }
    /// The node does its work, and then says something else of it.
    func forgeReceipts(_ name: String, _ forge: @escaping @Sendable (inout ForgedReceipt) -> Void) {
        state.withLock { $0.receiptForgers.append((name, forge)) }
    }
    func setRefusesAudit(_ refuses: Bool) { state.withLock { $0.refusesAudit = refuses } }
    var asked: [(name: String, request: RunRequest)] { state.withLock { $0.asked } }
    func tell(_ kind: NodeEvent.Kind, _ name: String) {
        let event = NodeEvent(kind, nodeID: nodeID(name))
        state.withLock { for watcher in $0.watchers { watcher.yield(event) } }
    }

    // MARK: Wire

    func now() -> Instant { loop.now }
    func wallTime() -> WallTime { WallTime(milliseconds: 1_700_000_000_000) + (loop.now - .zero) }
    func sleep(for interval: Interval) async throws { try await loop.sleep(for: interval) }

    private func isOut(_ now: Instant) -> Bool {
        state.withLock { $0.outages.contains { $0.contains(now.sinceStart.milliseconds) } }
    }

    private func note(_ what: String) { state.withLock { $0.log.append(what) } }

    var session: ControlSession? {
        state.withLock { $0.isOpen ? ControlSession(number: $0.session, handshakeHash: Array(repeating: 1, count: 32)) : nil }
    }

    private func pause(_ interval: Interval) async throws(RPCError) {
        do { try await loop.sleep(for: interval) } catch { throw RPCError(.cancelled, "cancelled", effect: .none) }
    }

    /// One packet to a peer and its answer, sent again until it comes.
    private func exchange(_ peer: String, until deadline: Instant, reaches: () -> Bool) async throws(RPCError) {
        while true {
            let now = loop.now
            guard now < deadline else { throw RPCError(.deadlineExceeded, "deadline", effect: .none) }
            let answered = !isOut(now) && reaches()
            state.withLock { $0.sends.append((peer, Send(sent: now, answered: answered ? now + roundTrip : nil))) }
            try await pause(answered ? roundTrip : .milliseconds(80))
            if answered { return }
        }
    }

    private var isServerUp: Bool { state.withLock { $0.isServerUp } }

    func connect(until deadline: Instant) async throws(RPCError) -> ControlSession {
        if let session { return session }
        try await exchange("server", until: deadline) { isServerUp }
        note("connect")
        return state.withLock { state in
            state.session += 1
            state.isOpen = true
            return ControlSession(number: state.session, handshakeHash: Array(repeating: 1, count: 32))
        }
    }

    func attach(_ request: AttachRequest, until deadline: Instant) async throws(RPCError) -> AttachReply {
        try await exchange("server", until: deadline) { isServerUp }
        note(request.proof != nil ? "attach by proof" : "attach by ticket")
        return try reply()
    }

    private func reply() throws(RPCError) -> AttachReply {
        let (nodes, life, serial, revocations, forger) = state.withLock { state in
            state.attachedSession = state.session
            return (state.nodes, state.ticketLife, state.generator.next() % 1_000, state.revocations, state.ticketForger)
        }
        guard let center = nodes.last else { throw RPCError(.internal, "script") }
        let record = UserRecord(
            userID: "ada", name: "ada", devices: [DeviceKeys(transportKey: user.publicKey, signingKey: userSigning.publicKey)],
            grants: [], quota: Quota(), serial: serial, epoch: 1, issued: WallTime(milliseconds: 0))
        guard let user = try? SignedRecord(record, signedBy: root),
            let ticket = try? Ticket(
                user: user, clientKey: self.user.publicKey, issuer: center.contact, at: wallTime() + (life - Ticket.lifetime)),
            let signed = try? SignedRecord(ticket, signedBy: forger ?? center.signing)
        else { throw RPCError(.internal, "script") }
        return AttachReply(
            ticket: signed, userName: "ada", ticketLife: life, route: 99,
            center: candidate(center, route: 3), revocations: revocations)
    }

    private func candidate(_ node: Node, route: UInt32) -> Candidate {
        let forged = state.withLock { $0.recordForger }.flatMap { try? SignedRecord(node.record, signedBy: $0) }
        return Candidate(
            nodeID: node.record.nodeID, name: node.record.name, role: node.record.role, record: forged ?? node.contact, route: route,
            holdsReplica: true, roundTrip: state.withLock { $0.distant.contains(node.record.name) } ? roundTrip * 5 : nil)
    }

    func lookup(_ request: LookupRequest, until deadline: Instant) async throws(RPCError) -> LookupReply {
        try await exchange("server", until: deadline) { isServerUp }
        note(request.attach.map { $0.proof == nil ? "lookup with ticket" : "lookup with proof" } ?? "lookup")
        let (nodes, known, refusesAudit) = state.withLock { ($0.nodes, $0.knowsApplication, $0.refusesAudit) }
        guard known else { throw RunRefusal.unknownApplication.error("no such application") }
        let candidates = nodes.enumerated().filter(\.element.isListed).map { candidate($0.element, route: UInt32($0.offset + 1)) }
        return LookupReply(
            placement: Placement(application: request.application, version: "1", digest: ContentDigest(of: [1]), entry: "run", limits: .standard, refusesAudit: refusesAudit,
                candidates: candidates),
            attached: request.attach == nil ? nil : try reply())
    }

    func status(until deadline: Instant) async throws(RPCError) -> CloudStatus { throw RPCError(.unimplemented) }

    func watch(_ event: @Sendable (NodeEvent) -> Void) async throws {
        let events = AsyncStream.makeStream(of: NodeEvent.self)
        state.withLock { state in
            state.watchers.append(events.continuation)
            state.log.append("watch")
        }
        for await news in events.stream { event(news) }
    }

    func adopt(route: UInt32) {}
    func servers(until deadline: Instant) async throws(RPCError) -> CommunicationServersReply { throw RPCError(.notFound, "", effect: .none) }
    func reach(_ server: CommunicationServer, until deadline: Instant) async -> Bool { true }
    func use(_ server: CommunicationServer) {}

    func run(_ request: RunRequest, on node: NodeContact, until deadline: Instant) async throws(RPCError) -> RunResult {
        note("run on \(node.name)")
        state.withLock { $0.asked.append((node.name, request)) }
        if request.input.bytes.count > state.withLock({ $0.inputLimit }) {
            var error = RPCError(.resourceExhausted, "too large", effect: .none)
            error.cause = .tooLarge
            throw error
        }
        func behaviour() -> Behaviour { state.withLock { $0.nodes.first { $0.record.nodeID == node.nodeID }?.behaviour ?? .dead } }
        try await exchange(node.name, until: deadline) {
            behaviour() != .dead && state.withLock { $0.isServerUp && $0.isOpen && $0.attachedSession == $0.session }
        }
        var output: ByteString? = ByteString(request.input.bytes.reversed())
        var trap: RunTrap?
        switch behaviour() {
        case .serves, .dead: break
        case .noReplica: throw RunRefusal.noReplica.error("not here")
        case .cannotLoad: throw RunRefusal.unloadable.error("it imports env.clock")
        case .answersTooMuch: throw RPCError(.resourceExhausted, "the response is over the limit", effect: .committed)
        case .busy: throw RunRefusal.overloaded.error("full", retryAfter: .milliseconds(30))
        case .traps: (output, trap) = (nil, RunTrap(kind: "outOfFuel", message: "too long"))
        case .executesForever: try await pause(.seconds(3_600))
        case .wantsTicket:
            guard request.ticket != nil else { throw RunRefusal.ticketNeeded.error("who?") }
            set(node.name, .serves)
            throw RunRefusal.ticketNeeded.error("expired")
        case .wasRestarted:
            set(node.name, .serves)
            var error = RPCError(.unavailable, "the peer no longer knows this connection")
            error.cause = .connectionLost
            throw error
        case .lies: output = ByteString([0])
        }
        state.withLock { state in
            for index in state.nodes.indices where state.nodes[index].record.nodeID == node.nodeID { state.nodes[index].runs += 1 }
        }
        let result = RunResult(
            runID: request.runID, nodeID: node.nodeID, nodeName: node.name, application: request.application, version: "1",
            digest: ContentDigest(of: [1]), output: output, trap: trap, fuelUsed: 10, peakMemoryBytes: 0,
            executionMicroseconds: 5, queueMicroseconds: 0)
        return signed(result, request, by: node)
    }

    private func signed(_ result: RunResult, _ request: RunRequest, by node: NodeContact) -> RunResult {
        let (signing, forge) = state.withLock { state in
            (state.nodes.first { $0.record.nodeID == node.nodeID }?.signing, state.receiptForgers.last { $0.name == node.name }?.forge)
        }
        let receipt = Receipt(
            question: Receipt.Question(
                runID: request.runID, userID: "ada", application: result.digest, entry: request.entry ?? "run",
                input: ContentDigest(of: request.input.bytes), limits: request.limits ?? .standard),
            outcome: result.trap.map { .trap($0.kind) } ?? .output(MerkleRoot(of: result.output?.bytes ?? []), bytes: UInt64(result.output?.bytes.count ?? 0)),
            fuelUsed: result.fuelUsed, nodeID: node.nodeID, executed: wallTime())
        var forged = ForgedReceipt(receipt: receipt, signing: signing, result: result)
        forge?(&forged)
        if forged.result.receipt == nil { forged.result.receipt = forged.signing.flatMap { try? SignedRecord(forged.receipt, signedBy: $0) } }
        return forged.result
    }

    func operate<Q, R>(
        _ method: Unary<Q, R>, _ request: Q, on node: NodeContact, until deadline: Instant,
        proof: ([UInt8]) throws(TrustError) -> IdentityProof
    ) async throws(RPCError) -> R { throw RPCError(.unimplemented) }

    func statistics(of node: NodeContact?) -> WireStatistics? {
        let peer = node?.name ?? "server"
        let now = loop.now
        return state.withLock { state in
            let sends = state.sends.filter { $0.peer == peer }.map(\.send)
            guard !sends.isEmpty else { return nil }
            var statistics = WireStatistics()
            let heard = sends.filter { ($0.answered ?? .distantFuture) <= now }
            statistics.isEstablished = true
            statistics.roundTrip = state.distant.contains(peer) ? roundTrip * 5 : roundTrip
            statistics.newestAcknowledged = heard.map(\.sent).max()
            statistics.lastReceived = heard.compactMap(\.answered).max()
            let newest = statistics.newestAcknowledged ?? Instant(nanoseconds: -1)
            statistics.oldestUnacknowledged = sends.filter { $0.sent > newest }.map(\.sent).min()
            return statistics
        }
    }

    func drop(_ node: NodeContact) { note("drop \(node.name)") }

    func ping(_ node: NodeContact?) {
        let now = loop.now
        let out = isOut(now)
        state.withLock { state in
            let isUp: Bool
            if let node {
                isUp = state.isServerUp && state.nodes.contains { $0.record.nodeID == node.nodeID && $0.behaviour != .dead }
            } else {
                isUp = state.isServerUp && state.isOpen
            }
            state.sends.append((node?.name ?? "server", Send(sent: now, answered: isUp && !out ? now + roundTrip : nil)))
        }
    }
}
