import MastRPC

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
    package static let status = Unary<Nothing, CloudStatus>("mast.v1.Control/status", .readOnly)

    package static let rights: [MethodRow] = [
        ("mast.v1.Control/join", .anonymous), ("mast.v1.Control/register", .anonymous),
        ("mast.v1.Control/heartbeat", .node), ("mast.v1.Control/sync", .station), ("mast.v1.Control/announce", .center),
        ("mast.v1.Control/fetchReplica", .station), ("mast.v1.Control/attach", .anonymous),
        // A lookup may carry the proof itself.
        ("mast.v1.Control/lookup", .anonymous), ("mast.v1.Control/watch", .user), ("mast.v1.Control/status", .user),
    ]
}

package struct JoinReply: Codable, Hashable, Sendable {
    package var record: SignedRecord<NodeRecord>
    package init(record: SignedRecord<NodeRecord>) { self.record = record }
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
    package var numbers: StateNumbers

    package init(
        record: SignedRecord<NodeRecord>, incarnation: UInt64, replicas: [ContentDigest], load: NodeLoad,
        releases: SignedRecord<ReleaseIndex>?, numbers: StateNumbers
    ) {
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

    package init(route: UInt32, heartbeatMilliseconds: Int64, numbers: StateNumbers, observedAddress: String) {
        self.route = route
        self.heartbeatMilliseconds = heartbeatMilliseconds
        self.numbers = numbers
        self.observedAddress = observedAddress
    }
}

/// How far a node's copy of the center's state is. Both only rise.
package struct StateNumbers: Codable, Hashable, Sendable {
    package var releases: UInt64
    /// Rises with every change of a user or a revocation.
    package var users: UInt64

    package init(releases: UInt64 = 0, users: UInt64 = 0) { (self.releases, self.users) = (releases, users) }

    package func joined(_ other: StateNumbers) -> StateNumbers {
        StateNumbers(releases: max(releases, other.releases), users: max(users, other.users))
    }

    /// Whether `other` knows anything newer.
    package func isBehind(_ other: StateNumbers) -> Bool { releases < other.releases || users < other.users }
}

package struct NodeLoad: Codable, Hashable, Sendable {
    /// Runs executing now.
    package var running: Int
    package var queued: Int
    /// Runs that can execute at once.
    package var capacity: Int

    package init(running: Int = 0, queued: Int = 0, capacity: Int = 1) {
        (self.running, self.queued, self.capacity) = (running, queued, capacity)
    }
}

package struct HeartbeatRequest: Codable, Hashable, Sendable {
    package var incarnation: UInt64
    package var load: NodeLoad
    /// All replicas held now; absent when unchanged since the last accepted heartbeat.
    package var replicas: [ContentDigest]?
    package var numbers: StateNumbers
    /// What the node wants and cannot have; absent from nodes that do not say.
    package var replicaTroubles: [ReplicaTrouble]?

    package init(
        incarnation: UInt64, load: NodeLoad, replicas: [ContentDigest]?, numbers: StateNumbers, replicaTroubles: [ReplicaTrouble]? = nil
    ) {
        self.replicaTroubles = replicaTroubles
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
    package init(numbers: StateNumbers) { self.numbers = numbers }
}

/// A station asks for what changed at the center since its own numbers.
package struct SyncRequest: Codable, Hashable, Sendable {
    package var known: StateNumbers
    package init(known: StateNumbers) { self.known = known }
}

package struct SyncReply: Codable, Hashable, Sendable {
    package var releases: SignedRecord<ReleaseIndex>?
    /// Changed users, oldest change first.
    package var users: [SignedRecord<UserRecord>]
    package var revocations: SignedRecord<RevocationLog>?
    /// How far the station is after storing this. When there were more users than fit, it asks again.
    package var numbers: StateNumbers
    package var isComplete: Bool

    package init(
        releases: SignedRecord<ReleaseIndex>?, users: [SignedRecord<UserRecord>], revocations: SignedRecord<RevocationLog>?,
        numbers: StateNumbers, isComplete: Bool
    ) {
        self.releases = releases
        self.users = users
        self.revocations = revocations
        self.numbers = numbers
        self.isComplete = isComplete
    }
}

/// The center's state changed.
package struct Announcement: Codable, Hashable, Sendable {
    package var numbers: StateNumbers
    package var releases: SignedRecord<ReleaseIndex>?

    package init(numbers: StateNumbers, releases: SignedRecord<ReleaseIndex>?) {
        (self.numbers, self.releases) = (numbers, releases)
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

    package init(proof: IdentityProof?, ticket: SignedRecord<Ticket>?) { (self.proof, self.ticket) = (proof, ticket) }
}

package struct AttachReply: Codable, Hashable, Sendable {
    package var ticket: SignedRecord<Ticket>
    package var userName: String
    /// When the ticket ends: milliseconds since 1970, on the issuer's clock.
    package var ticketEndsMilliseconds: Int64
    /// The client's own route: its connection ids begin with it.
    package var route: UInt32
    /// For operators, and as the last resort. Absent while the center is down.
    package var center: Candidate?

    package init(
        ticket: SignedRecord<Ticket>, userName: String, ticketEndsMilliseconds: Int64, route: UInt32, center: Candidate?
    ) {
        self.ticket = ticket
        self.userName = userName
        self.ticketEndsMilliseconds = ticketEndsMilliseconds
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

/// The cloud as its communication server sees it.
package struct CloudStatus: Codable, Hashable, Sendable {
    package struct Node: Codable, Hashable, Sendable {
        package var nodeID: NodeID
        package var name: String
        package var role: NodeRole
        package var isUp: Bool
        package var address: String
        package var route: UInt32
        package var load: NodeLoad
        package var replicas: [ContentDigest]
        package var heartbeatAgeMilliseconds: Int64
        package var roundTripMicroseconds: Int64?
        /// What it should hold and does not; absent when there is nothing to tell.
        package var replicaTroubles: [ReplicaTrouble]?

        package init(
            nodeID: NodeID, name: String, role: NodeRole, isUp: Bool, address: String, route: UInt32, load: NodeLoad,
            replicas: [ContentDigest], heartbeatAgeMilliseconds: Int64, roundTripMicroseconds: Int64?,
            replicaTroubles: [ReplicaTrouble]? = nil
        ) {
            self.replicaTroubles = replicaTroubles
            self.nodeID = nodeID
            self.name = name
            self.role = role
            self.isUp = isUp
            self.address = address
            self.route = route
            self.load = load
            self.replicas = replicas
            self.heartbeatAgeMilliseconds = heartbeatAgeMilliseconds
            self.roundTripMicroseconds = roundTripMicroseconds
        }
    }

    package var nodes: [Node]
    package var applications: [ApplicationStatus]
    package var releaseNumber: UInt64
    package var attachedClients: Int
    /// The application processing module's copies.
    package var cachedApplications: Int
    package var cachedBytes: Int

    package init(
        nodes: [Node], applications: [ApplicationStatus], releaseNumber: UInt64, attachedClients: Int,
        cachedApplications: Int, cachedBytes: Int
    ) {
        self.nodes = nodes
        self.applications = applications
        self.releaseNumber = releaseNumber
        self.attachedClients = attachedClients
        self.cachedApplications = cachedApplications
        self.cachedBytes = cachedBytes
    }
}

package struct ApplicationStatus: Codable, Hashable, Sendable {
    package var name: String
    package var version: String
    package var digest: ContentDigest
    package var sizeBytes: UInt64
    package var entry: String
    package var limits: ApplicationLimits
    package var isNewest: Bool

    package init(_ application: ApplicationPackage, isNewest: Bool) {
        name = application.name
        version = application.version
        digest = application.digest
        sizeBytes = application.sizeBytes
        entry = application.entry
        limits = application.limits
        self.isNewest = isNewest
    }
}

extension ReleaseIndex {
    package var statuses: [ApplicationStatus] {
        applications.map { ApplicationStatus($0, isNewest: application($0.name)?.digest == $0.digest) }
    }
}
