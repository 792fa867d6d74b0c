import MastRPC
import MastTimebase

/// What the communication server serves.
package enum ControlMethods: RPCService {
    package static let join = Unary<JoinRequest, JoinReply>("mast.v1.Control/join", .idempotent)
    package static let register = Unary<RegisterRequest, RegisterReply>("mast.v1.Control/register", .idempotent)
    package static let heartbeat = Unary<HeartbeatRequest, HeartbeatReply>("mast.v1.Control/heartbeat", .idempotent)
    package static let sync = Unary<SyncRequest, SyncReply>("mast.v1.Control/sync", .readOnly)
    package static let announce = Unary<Announcement, Nothing>("mast.v1.Control/announce", .idempotent)
    package static let fetchReplica = ServerStream<ReplicaRequest, ReplicaChunk>("mast.v1.Control/fetchReplica", .readOnly)
    package static let attach = Unary<AttachRequest, AttachReply>("mast.v1.Control/attach", .idempotent)
    package static let lookup = Unary<LookupRequest, LookupReply>("mast.v1.Control/lookup", .idempotent)
    package static let watch = ServerStream<Nothing, NodeEvent>("mast.v1.Control/watch", .readOnly)
    package static let reportDivergence = Unary<Divergence, Nothing>("mast.v1.Control/reportDivergence", .idempotent)
    package static let status = Unary<Nothing, CloudStatus>("mast.v1.Control/status", .readOnly)

    /// Where the cloud is, for whoever finds nobody here any more.
    package static let servers = Unary<Nothing, CommunicationServersReply>("mast.v1.Control/servers", .readOnly)

    package static let rights: [MethodRow] = [
        ("mast.v1.Control/join", .anonymous), ("mast.v1.Control/register", .anonymous),
        ("mast.v1.Control/heartbeat", .node), ("mast.v1.Control/sync", .station), ("mast.v1.Control/announce", .center),
        ("mast.v1.Control/fetchReplica", .station), ("mast.v1.Control/attach", .anonymous),
        ("mast.v1.Control/reportDivergence", .station),
        // A lookup may carry the proof itself.
        ("mast.v1.Control/lookup", .anonymous), ("mast.v1.Control/watch", .user), ("mast.v1.Control/status", .user),
        // The list is signed, and no secret.
        ("mast.v1.Control/servers", .anonymous),
    ]
}

package struct JoinReply: Codable, Hashable, Sendable {
    package var record: SignedRecord<NodeRecord>
    package var servers: SignedRecord<CommunicationServers>
    package init(record: SignedRecord<NodeRecord>, servers: SignedRecord<CommunicationServers>) { (self.record, self.servers) = (record, servers) }
}

/// A node tells who and where it is, over the connection that it keeps open.
package struct RegisterRequest: Codable, Hashable, Sendable {
    package var record: SignedRecord<NodeRecord>
    /// Differs after a restart of the node.
    package var incarnation: UInt64
    package var replicas: [ContentDigest]
    package var load: NodeLoad
    /// The newest index the node holds, so that a restarted communication server knows it without the center.
    package var releases: SignedRecord<ReleaseIndex>?
    package var revocations: SignedRecord<RevocationLog>?
    /// The newest list that the node holds.
    package var servers: SignedRecord<CommunicationServers>?
    /// Lists of earlier epochs, of which the newest does not cover everything: their center was restored from an older copy.
    package var lostRevocations: [SignedRecord<RevocationLog>]?
    /// How far the users are that the node holds, as the center signed it.
    package var users: SignedRecord<UsersNumber>?
    package var numbers: StateNumbers
    package var health: NodeHealth
    /// The node's clock; absent where it says nothing of it.
    package var wallMilliseconds: Int64?

    package init(
        record: SignedRecord<NodeRecord>, incarnation: UInt64, replicas: [ContentDigest], load: NodeLoad,
        releases: SignedRecord<ReleaseIndex>?, revocations: SignedRecord<RevocationLog>? = nil,
        servers: SignedRecord<CommunicationServers>? = nil, lostRevocations: [SignedRecord<RevocationLog>]? = nil,
        users: SignedRecord<UsersNumber>? = nil, numbers: StateNumbers, health: NodeHealth = NodeHealth(), clock: WallTime? = nil
    ) {
        self.servers = servers
        (self.lostRevocations, self.users) = (lostRevocations, users)
        wallMilliseconds = clock?.milliseconds
        self.revocations = revocations
        self.health = health
        self.record = record
        self.incarnation = incarnation
        self.replicas = replicas
        self.load = load
        self.releases = releases
        self.numbers = numbers
    }
}

package struct RegisterReply: Codable, Hashable, Sendable {
    /// The route under which others reach the node through the forwarder.
    package var route: UInt32
    package var heartbeatMilliseconds: Int64
    package var numbers: StateNumbers
    /// Where the communication server sees the node.
    package var observedAddress: String
    /// A newer list than the node's.
    package var revocations: SignedRecord<RevocationLog>?
    /// A newer record of the node than the one it showed.
    package var record: SignedRecord<NodeRecord>?
    /// A newer list than the node's.
    package var servers: SignedRecord<CommunicationServers>?
    /// The node's clock minus the median of center, communication server and stations.
    package var clockOffsetMilliseconds: Int64?
    /// To the center: what others hold and it does not.
    package var lost: LostState?
    /// Another process with the same keys registers as well.
    package var runsTwice: Bool?

    package init(
        route: UInt32, heartbeatMilliseconds: Int64, numbers: StateNumbers, observedAddress: String,
        revocations: SignedRecord<RevocationLog>? = nil, record: SignedRecord<NodeRecord>? = nil,
        servers: SignedRecord<CommunicationServers>? = nil, clockOffset: Interval? = nil, lost: LostState? = nil, runsTwice: Bool = false
    ) {
        self.runsTwice = runsTwice ? true : nil
        self.servers = servers
        clockOffsetMilliseconds = clockOffset?.milliseconds
        (self.revocations, self.record, self.lost) = (revocations, record, lost)
        self.route = route
        self.heartbeatMilliseconds = heartbeatMilliseconds
        self.numbers = numbers
        self.observedAddress = observedAddress
    }
}

/// How far a node's copy of the center's state is. All only rise.
package struct StateNumbers: Codable, Hashable, Sendable {
    package var releases: StateNumber
    /// Rises with every change of a user.
    package var users: StateNumber
    /// Of the `RevocationLog`.
    package var revocations: StateNumber
    /// Of the `CommunicationServers`.
    package var servers: StateNumber

    package init(releases: StateNumber = 0, users: StateNumber = 0, revocations: StateNumber = 0, servers: StateNumber = 0) {
        (self.releases, self.users, self.revocations, self.servers) = (releases, users, revocations, servers)
    }

    package var text: String { "releases \(releases), users \(users), revocations \(revocations)" }

    package func joined(_ other: StateNumbers) -> StateNumbers {
        StateNumbers(
            releases: max(releases, other.releases), users: max(users, other.users), revocations: max(revocations, other.revocations),
            servers: max(servers, other.servers))
    }

    /// Whether `other` knows anything newer.
    package func isBehind(_ other: StateNumbers) -> Bool {
        lacksRecords(of: other) || revocations < other.revocations || servers < other.servers
    }

    /// Whether `other` knows anything newer of what a sync brings: revocations and servers travel by themselves.
    package func lacksRecords(of other: StateNumbers) -> Bool { releases < other.releases || users < other.users }
}

package struct NodeLoad: Codable, Hashable, Sendable {
    /// Runs executing now.
    package var running: Int
    package var queued: Int
    /// Runs that can execute at once.
    package var capacity: Int
    /// How long the node expects the next run to wait for a thread: the asker's own in an answer to a run, else that of a
    /// user who has nothing there.
    package var waitMicroseconds: Int64

    package init(running: Int = 0, queued: Int = 0, capacity: Int = 1, wait: Interval = .zero) {
        (self.running, self.queued, self.capacity) = (running, queued, capacity)
        waitMicroseconds = wait.microseconds
    }

    /// A wait is believed up to so much.
    package static let longestWait = Interval.seconds(600)
    package var wait: Interval { min(max(.microseconds(waitMicroseconds), .zero), Self.longestWait) }
    /// Runs there, whatever a peer says: never negative, and small enough to be added.
    package var busy: Int64 { Int64(min(max(running, 0), 1 << 20)) + Int64(min(max(queued, 0), 1 << 20)) }
    package var threads: Int64 { Int64(min(max(capacity, 1), 1 << 20)) }

    /// What is left of it a while later if nothing new came: once the wait is over, a thread is free and nobody queues.
    package func aged(by age: Interval) -> NodeLoad {
        let left = max(.zero, wait - max(.zero, age))
        guard wait > .zero, left == .zero else { return NodeLoad(running: running, queued: queued, capacity: capacity, wait: left) }
        return NodeLoad(running: Int(min(Int64(max(running, 0)), threads - 1)), queued: 0, capacity: capacity)
    }

    /// `running/queued/capacity/wait`, as a refusal says it.
    package var wireText: String { "\(running)/\(queued)/\(capacity)/\(waitMicroseconds)" }

    package init?(wireText: some StringProtocol) {
        let fields = wireText.split(separator: "/", omittingEmptySubsequences: false)
        guard fields.count == 4, let running = Int(fields[0]), let queued = Int(fields[1]), let capacity = Int(fields[2]),
            let wait = Int64(fields[3])
        else { return nil }
        self.init(running: running, queued: queued, capacity: capacity, wait: .microseconds(wait))
    }
}

package struct HeartbeatRequest: Codable, Hashable, Sendable {
    package var incarnation: UInt64
    package var load: NodeLoad
    /// All replicas held now; absent when unchanged since the last accepted heartbeat.
    package var replicas: [ContentDigest]?
    package var numbers: StateNumbers
    /// The node's list, if the communication server's last answer showed an older one.
    package var revocations: SignedRecord<RevocationLog>?
    package var health: NodeHealth
    /// The node's clock; absent where it says nothing of it.
    package var wallMilliseconds: Int64?
    /// What the node wants and cannot have; absent from nodes that do not say.
    package var replicaTroubles: [ReplicaTrouble]?

    package init(
        incarnation: UInt64, load: NodeLoad, replicas: [ContentDigest]?, numbers: StateNumbers,
        revocations: SignedRecord<RevocationLog>? = nil, health: NodeHealth = NodeHealth(), clock: WallTime? = nil,
        replicaTroubles: [ReplicaTrouble]? = nil
    ) {
        wallMilliseconds = clock?.milliseconds
        (self.revocations, self.health, self.replicaTroubles) = (revocations, health, replicaTroubles)
        self.incarnation = incarnation
        self.load = load
        self.replicas = replicas
        self.numbers = numbers
    }
}

/// An application that a station should hold and does not.
package struct ReplicaTrouble: Codable, Hashable, Sendable {
    /// In one heartbeat; what is more is counted by nobody, since the first ones say what is wrong.
    package static let mostReported = 16

    package var digest: ContentDigest
    /// One line of at most 200 bytes.
    package var reason: String
    package var attempts: Int
    /// Absent: nothing is tried until releases or room change.
    package var nextTryMilliseconds: Int64?

    package init(digest: ContentDigest, reason: String, attempts: Int, nextTryMilliseconds: Int64?) {
        (self.digest, self.reason, self.attempts, self.nextTryMilliseconds) = (digest, reason, attempts, nextTryMilliseconds)
    }
}

package struct HeartbeatReply: Codable, Hashable, Sendable {
    /// The newest state that any node has reported.
    package var numbers: StateNumbers
    /// The number of the list that the communication server holds: a node with a newer one sends it.
    package var heldRevocations: StateNumber
    /// A newer list than the node's.
    package var revocations: SignedRecord<RevocationLog>?
    /// A newer list than the node's.
    package var servers: SignedRecord<CommunicationServers>?
    /// The node's clock minus the median of center, communication server and stations.
    package var clockOffsetMilliseconds: Int64?
    /// To the center: what others hold and it does not.
    package var lost: LostState?
    /// Another process with the same keys registers as well.
    package var runsTwice: Bool?

    package init(
        numbers: StateNumbers, heldRevocations: StateNumber, revocations: SignedRecord<RevocationLog>? = nil,
        servers: SignedRecord<CommunicationServers>? = nil, clockOffset: Interval? = nil, lost: LostState? = nil, runsTwice: Bool = false
    ) {
        self.runsTwice = runsTwice ? true : nil
        self.servers = servers
        self.lost = lost
        clockOffsetMilliseconds = clockOffset?.milliseconds
        (self.numbers, self.heldRevocations, self.revocations) = (numbers, heldRevocations, revocations)
    }
}

/// What a center that was restored from a copy once signed and does not know any more.
package struct LostState: Codable, Hashable, Sendable {
    /// Lists of earlier epochs that the newest one does not cover.
    package var revocations: [SignedRecord<RevocationLog>]
    /// The index that the center's own replaced.
    package var releases: SignedRecord<ReleaseIndex>?
    package var users: StateNumber?

    package init(revocations: [SignedRecord<RevocationLog>] = [], releases: SignedRecord<ReleaseIndex>? = nil, users: StateNumber? = nil) {
        (self.revocations, self.releases, self.users) = (revocations, releases, users)
    }
}

/// A station asks for what changed at the center since its own numbers.
package struct SyncRequest: Codable, Hashable, Sendable {
    package var known: StateNumbers
    package init(known: StateNumbers) { self.known = known }
}

package struct SyncReply: Codable, Hashable, Sendable {
    package var releases: SignedRecord<ReleaseIndex>?
    /// Changed users, oldest change first; all of them where the station's number is of another epoch.
    package var users: [SignedRecord<UserRecord>]
    /// How far the station is after storing this. When there were more users than fit, it asks again.
    package var numbers: StateNumbers
    package var isComplete: Bool
    /// With the last page: its number of users, signed.
    package var usersNumber: SignedRecord<UsersNumber>?

    package init(
        releases: SignedRecord<ReleaseIndex>?, users: [SignedRecord<UserRecord>], numbers: StateNumbers, isComplete: Bool,
        usersNumber: SignedRecord<UsersNumber>? = nil
    ) {
        self.usersNumber = usersNumber
        self.releases = releases
        self.users = users
        self.numbers = numbers
        self.isComplete = isComplete
    }
}

/// The center's state changed.
package struct Announcement: Codable, Hashable, Sendable {
    package var numbers: StateNumbers
    package var releases: SignedRecord<ReleaseIndex>?
    package var revocations: SignedRecord<RevocationLog>?
    /// To a station: its own newer record.
    package var record: SignedRecord<NodeRecord>?
    package var servers: SignedRecord<CommunicationServers>?

    package init(
        numbers: StateNumbers, releases: SignedRecord<ReleaseIndex>?, revocations: SignedRecord<RevocationLog>? = nil,
        record: SignedRecord<NodeRecord>? = nil, servers: SignedRecord<CommunicationServers>? = nil
    ) {
        self.servers = servers
        (self.numbers, self.releases, self.revocations, self.record) = (numbers, releases, revocations, record)
    }
}

package struct ReplicaRequest: Codable, Hashable, Sendable {
    package var digest: ContentDigest
    package init(digest: ContentDigest) { self.digest = digest }
}

/// Part of a replica, in order.
package struct ReplicaChunk: Codable, Hashable, Sendable {
    package static let maximumBytes = 64 << 10

    package var totalBytes: UInt64
    package var bytes: ByteString

    package init(totalBytes: UInt64, bytes: ByteString) { (self.totalBytes, self.bytes) = (totalBytes, bytes) }
}

/// A client says who it is: by a proof over this connection, or by a ticket from before.
package struct AttachRequest: Codable, Hashable, Sendable {
    package var proof: IdentityProof?
    package var ticket: SignedRecord<Ticket>?
    /// The number of the list that the client holds.
    package var knownRevocations: StateNumber
    /// The number of the list of communication servers that the client holds.
    package var knownServers: StateNumber

    package init(proof: IdentityProof?, ticket: SignedRecord<Ticket>?, knownRevocations: StateNumber = 0, knownServers: StateNumber = 0) {
        (self.proof, self.ticket, self.knownRevocations, self.knownServers) = (proof, ticket, knownRevocations, knownServers)
    }
}

package struct AttachReply: Codable, Hashable, Sendable {
    package var ticket: SignedRecord<Ticket>
    package var userName: String
    /// How long the ticket still holds: a duration, since calendars differ.
    package var ticketLifeMilliseconds: Int64
    /// The client's own route: its connection ids begin with it.
    package var route: UInt32
    /// For operators, and as the last resort. Absent while the center is down.
    package var center: Candidate?
    /// A newer list than the client's.
    package var revocations: SignedRecord<RevocationLog>?
    /// A newer list than the client's.
    package var servers: SignedRecord<CommunicationServers>?

    package init(
        ticket: SignedRecord<Ticket>, userName: String, ticketLife: Interval, route: UInt32, center: Candidate?,
        revocations: SignedRecord<RevocationLog>? = nil, servers: SignedRecord<CommunicationServers>? = nil
    ) {
        self.servers = servers
        self.revocations = revocations
        self.ticket = ticket
        self.userName = userName
        self.ticketLifeMilliseconds = ticketLife.milliseconds
        self.route = route
        self.center = center
    }
}

package struct LookupRequest: Codable, Hashable, Sendable {
    package var application: String
    package var digest: ContentDigest?
    /// Attaches first, in the same round trip.
    package var attach: AttachRequest?

    package init(application: String, digest: ContentDigest? = nil, attach: AttachRequest? = nil) {
        self.application = application
        self.digest = digest
        self.attach = attach
    }
}

package struct LookupReply: Codable, Hashable, Sendable {
    package var placement: Placement
    package var attached: AttachReply?

    package init(placement: Placement, attached: AttachReply?) { (self.placement, self.attached) = (placement, attached) }
}
