import MastRPC
import MastTimebase

/// One node that can run an application, with all that a client needs for the first packet to it.
package struct Candidate: Codable, Hashable, Sendable {
    package var nodeID: NodeID
    package var name: String
    package var role: NodeRole
    /// Root-signed: the client believes the keys in it, not the communication server.
    package var record: SignedRecord<NodeRecord>
    package var route: UInt32
    package var holdsReplica: Bool
    /// By the node's last heartbeat, and what the communication server has sent there since.
    package var load: NodeLoad?
    /// Between the communication server and the node, if it was measured: a client's packets take the same way.
    package var roundTripMicroseconds: Int64?

    package init(
        nodeID: NodeID, name: String, role: NodeRole, record: SignedRecord<NodeRecord>, route: UInt32, holdsReplica: Bool,
        load: NodeLoad? = nil, roundTrip: Interval? = nil
    ) {
        (self.load, roundTripMicroseconds) = (load, roundTrip?.microseconds)
        self.nodeID = nodeID
        self.name = name
        self.role = role
        self.record = record
        self.route = route
        self.holdsReplica = holdsReplica
    }
}

/// Where an application can run, best first: up to three stations, then the center.
package struct Placement: Codable, Hashable, Sendable {
    package var application: String
    package var version: String
    package var digest: ContentDigest
    /// The release's own. The client asks for exactly this, so that a receipt cannot be about anything else.
    package var entry: String
    package var limits: ApplicationLimits
    package var refusesAudit: Bool
    package var candidates: [Candidate]

    package init(
        application: String, version: String, digest: ContentDigest, entry: String, limits: ApplicationLimits, refusesAudit: Bool = false,
        candidates: [Candidate]
    ) {
        (self.entry, self.limits, self.refusesAudit) = (entry, limits, refusesAudit)
        self.application = application
        self.version = version
        self.digest = digest
        self.candidates = candidates
    }
}

/// What the communication server tells a watching client.
package struct NodeEvent: Codable, Hashable, Sendable {
    package enum Kind: String, Codable, Sendable {
        /// The node's control connection is gone or its heartbeats stopped.
        case routeGone
        /// A station registered (again): `candidate` is set.
        case stationReturned
        /// Replicas or releases changed: a cached placement may not be the best any more.
        case placementChanged
        /// There is a newer list of revocations: `revocations` is set.
        case revoked
        /// There is a newer list of communication servers: `servers` is set.
        case moved
    }

    package var kind: Kind
    package var nodeID: NodeID?
    package var route: UInt32?
    package var candidate: Candidate?
    package var revocations: SignedRecord<RevocationLog>?
    package var servers: SignedRecord<CommunicationServers>?

    package init(
        _ kind: Kind, nodeID: NodeID? = nil, route: UInt32? = nil, candidate: Candidate? = nil,
        revocations: SignedRecord<RevocationLog>? = nil, servers: SignedRecord<CommunicationServers>? = nil
    ) {
        self.servers = servers
        self.revocations = revocations
        self.kind = kind
        self.nodeID = nodeID
        self.route = route
        self.candidate = candidate
    }
}
