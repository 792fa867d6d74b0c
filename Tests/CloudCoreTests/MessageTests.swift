import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import Testing

/// Messages whose fields may be absent: what is given is there, and comes over the wire as it was.
@Suite struct `Messages of the cloud` {
    private let cast = Cast()
    private let node = NodeID(rawValue: "0123456789abcdef")

    private var numbers: StateNumbers { StateNumbers(releases: 1, users: 2, revocations: 3, servers: 4) }
    private var load: NodeLoad { NodeLoad(running: 1, queued: 2, capacity: 3, wait: .milliseconds(4)) }

    private func log() throws -> SignedRecord<RevocationLog> { try SignedRecord(RevocationLog(number: 3, serials: [5]), signedBy: cast.root) }
    private func index() throws -> SignedRecord<ReleaseIndex> { try SignedRecord(.empty, signedBy: cast.root) }
    private func record() throws -> SignedRecord<NodeRecord> { try SignedRecord(cast.stationRecord, signedBy: cast.root) }
    private func servers() throws -> SignedRecord<CommunicationServers> {
        try SignedRecord(CommunicationServers(number: 1, servers: [.init(address: .loopback(port: 1), key: cast.stationKeys.publicKey)]), signedBy: cast.root)
    }
    private func receipt() throws -> SignedRecord<Receipt> {
        let question = Receipt.Question(
            runID: RunID(rawValue: "r"), userID: "u", application: ContentDigest(of: [1]), entry: "run", input: ContentDigest(of: [2]), limits: .standard)
        return try SignedRecord(
            Receipt(question: question, outcome: .trap("t"), fuelUsed: 7, nodeID: node, executed: cast.now), signedBy: cast.stationSigning)
    }
    private func candidate() throws -> Candidate {
        Candidate(
            nodeID: node, name: "a", role: .station, record: try record(), route: 9, holdsReplica: true, load: load, roundTrip: .milliseconds(5))
    }

    /// Every field is set: an optional one is not nil.
    private func check<Message: Codable & Hashable>(_ message: Message, _ location: SourceLocation = #_sourceLocation) throws {
        for field in Mirror(reflecting: message).children {
            let value = Mirror(reflecting: field.value)
            #expect(value.displayStyle != .optional || !value.children.isEmpty, "\(Message.self) without \(field.label ?? "")", sourceLocation: location)
        }
        #expect(try CBOR.decode(Message.self, from: CBOR.encode(message)) == message, sourceLocation: location)
    }

    @Test func `A node's messages carry what they are given`() throws {
        let lost = LostState(revocations: [try log()], releases: try index(), users: 8)
        let trouble = ReplicaTrouble(digest: ContentDigest(of: [1]), reason: "no room", attempts: 2, nextTryMilliseconds: 5)
        try check(lost)
        try check(trouble)
        try check(RegisterRequest(
            record: record(), incarnation: 5, replicas: [], load: load, releases: index(), revocations: log(), servers: servers(), lostRevocations: [log()],
            users: SignedRecord(UsersNumber(4), signedBy: cast.root), numbers: numbers, clock: cast.now))
        try check(RegisterReply(
            route: 7, heartbeatMilliseconds: 8, numbers: numbers, observedAddress: "x", revocations: log(), record: record(), servers: servers(),
            clockOffset: .milliseconds(-3), lost: lost, runsTwice: true))
        try check(HeartbeatRequest(
            incarnation: 5, load: load, replicas: [ContentDigest(of: [1])], numbers: numbers, revocations: log(), clock: cast.now, replicaTroubles: [trouble]))
        try check(HeartbeatReply(
            numbers: numbers, heldRevocations: 3, revocations: log(), servers: servers(), clockOffset: .milliseconds(-3), lost: lost, runsTwice: true))
        try check(SyncReply(
            releases: index(), users: [], numbers: numbers, isComplete: true, usersNumber: SignedRecord(UsersNumber(4), signedBy: cast.root)))
        try check(Announcement(numbers: numbers, releases: index(), revocations: log(), record: record(), servers: servers()))
        try check(NodesSeen(
            sightings: [NodeSighting(
                nodeID: node, epoch: 1, observedAddress: "x", isUp: true, replicas: 2, health: NodeHealth(), runsTwice: false, clockOffset: .milliseconds(3))],
            records: [record()]))
        try check(NodesSeenReply(records: [record()], unknown: [node]))
        #expect(NodeSighting(
            nodeID: node, epoch: 1, observedAddress: "x", isUp: true, replicas: 2, health: NodeHealth(), runsTwice: false, clockOffset: .milliseconds(3)
        ).clockOffsetMilliseconds == 3)
        let quiet = RegisterReply(route: 7, heartbeatMilliseconds: 8, numbers: numbers, observedAddress: "x")
        #expect(quiet.runsTwice == nil && HeartbeatReply(numbers: numbers, heldRevocations: 3).runsTwice == nil)
        // Nodes of earlier versions take presence for true.
        let twice = HeartbeatReply(numbers: numbers, heldRevocations: 3, runsTwice: true)
        #expect(twice.runsTwice == true && RegisterReply(route: 7, heartbeatMilliseconds: 8, numbers: numbers, observedAddress: "x", runsTwice: true).runsTwice == true)
        let proof = try IdentityProof(handshakeHash: Array(repeating: 1, count: 32), clientKey: cast.clientKeys.publicKey, signedBy: cast.clientSigning)
        #expect(!IdentityQuery(proof: proof, handshakeHash: ByteString([]), clientKey: ByteString([])).isLastResort)
    }

    @Test func `A client's messages carry what they are given`() throws {
        let proof = try IdentityProof(handshakeHash: Array(repeating: 1, count: 32), clientKey: cast.clientKeys.publicKey, signedBy: cast.clientSigning)
        let attach = AttachRequest(proof: proof, ticket: try cast.ticket(), knownRevocations: 1, knownServers: 2)
        let attached = AttachReply(
            ticket: try cast.ticket(), userName: "ada", ticketLife: .seconds(2), route: 6, center: try candidate(), revocations: try log(), servers: try servers())
        let placement = Placement(
            application: "a", version: "1", digest: ContentDigest(of: [1]), entry: "run", limits: .standard, refusesAudit: true, candidates: [try candidate()])
        try check(attach)
        try check(attached)
        #expect(attached.ticketLifeMilliseconds == 2_000)
        try check(placement)
        #expect(placement.refusesAudit)
        try check(candidate())
        try check(LookupRequest(application: "a", digest: ContentDigest(of: [1]), attach: attach))
        try check(LookupReply(placement: placement, attached: attached))
        try check(NodeEvent(.revoked, nodeID: node, route: 4, candidate: candidate(), revocations: log(), servers: servers()))
        let attested = AttestedReceipt(receipt: try receipt(), node: try record())
        let request = RunRequest(
            application: "a", digest: ContentDigest(of: [1]), entry: "run", input: ByteString([1]), runID: RunID(rawValue: "r"), ticket: try cast.ticket(),
            limits: .standard, patience: .milliseconds(3), audited: [attested])
        try check(request)
        #expect(request.patience == .milliseconds(3) && RunRequest.mostAudited == 2)
        var impatient = request
        impatient.patienceMicroseconds = -5
        #expect(impatient.patience == .zero)
        var patient = request
        patient.patienceMicroseconds = nil
        #expect(patient.patience == nil)
        var result = RunResult(
            runID: RunID(rawValue: "r"), nodeID: node, nodeName: "a", application: "w", version: "1", digest: ContentDigest(of: [1]), output: ByteString([1]),
            trap: RunTrap(kind: "unreachable", message: "here"), fuelUsed: 1, peakMemoryBytes: 2, executionMicroseconds: 3, queueMicroseconds: 4, receipt: try receipt())
        #expect(result.load == nil)
        result.load = load
        try check(result)
        #expect(RunTrap(kind: "k", message: "m").description == "k: m" && RunTrap(kind: "k", message: "").description == "k")
        var generator = SeededGenerator(seed: 5)
        #expect(RunID(using: &generator).rawValue.utf8.count == 32)
    }

    @Test func `An operator's messages carry what they are given`() throws {
        let application = ApplicationStatus(cast.application("a", sequence: 1), isNewest: true)
        let effect = ChangeEffect(numbers: numbers, stations: [node])
        try check(PushApplication(name: "a", version: "1", digest: ContentDigest(of: [1]), entry: "run", limits: .standard, refusesAudit: true))
        try check(PushReply(application: application, effect: effect, warnings: ["w"]))
        try check(ApplicationList(releaseNumber: 1, applications: [application], effect: effect))
        try check(RemoveApplication(name: "a", version: "1"))
        let sighting = NodeSighting(nodeID: node, epoch: 1, observedAddress: "x", isUp: true, replicas: 2, health: NodeHealth(), runsTwice: false)
        let station = CenterStatus.Station(
            nodeID: node, name: "a", address: "x", lastSeenMilliseconds: 1, isRevoked: false, isSuspended: true, sharesName: false, sighting: sighting)
        try check(station)
        #expect(station.isSuspended)
        let status = CloudStatus.Node(
            nodeID: node, name: "a", role: .center, isUp: true, address: "x", route: 1, load: load, replicas: [], heartbeatAgeMilliseconds: 1,
            roundTripMicroseconds: 2, health: NodeHealth(diskFreeBytes: 1), runsTwice: false, sharesName: false, isBehind: false, isSuspended: true,
            clockOffset: .milliseconds(2), replicaTroubles: [], numbers: numbers)
        try check(status)
        #expect(status.isSuspended && status.numbers == numbers && status.clockOffsetMilliseconds == 2)
        let cloud = CloudStatus(
            nodes: [status], applications: [application], releaseNumber: 1, revocationNumber: 2, troubles: [], clockOffset: .milliseconds(4), attachedClients: 1,
            cachedApplications: 2, cachedBytes: 3)
        try check(cloud)
        #expect(cloud.clockOffsetMilliseconds == 4 && MakeJoinToken().lifetimeSeconds == 3_600 && !AddUser(name: "a").isOperator)
    }
}
