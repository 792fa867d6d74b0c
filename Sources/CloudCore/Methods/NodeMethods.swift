import MastRPC

/// What a station serves to the communication server, over the connection that the station made.
package enum StationMethods: RPCService {
    package static let verifyIdentity = Unary<IdentityQuery, IdentityAnswer>("mast.v1.Station/verifyIdentity", .readOnly)
    package static let announce = Unary<Announcement, Nothing>("mast.v1.Station/announce", .idempotent)
    package static let fetchReplica = ServerStream<ReplicaRequest, ReplicaChunk>("mast.v1.Station/fetchReplica", .readOnly)

    package static let rights: [MethodRow] = [
        ("mast.v1.Station/verifyIdentity", .communicationServer), ("mast.v1.Station/announce", .communicationServer),
        ("mast.v1.Station/fetchReplica", .communicationServer),
    ]
}

/// What the center serves to the communication server.
package enum CenterMethods: RPCService {
    package static let join = Unary<ForwardedJoin, JoinReply>("mast.v1.Center/join", .idempotent)
    package static let verifyIdentity = Unary<IdentityQuery, IdentityAnswer>("mast.v1.Center/verifyIdentity", .readOnly)
    package static let sync = Unary<SyncRequest, SyncReply>("mast.v1.Center/sync", .readOnly)
    package static let fetchApplication = ServerStream<ReplicaRequest, ReplicaChunk>(
        "mast.v1.Center/fetchApplication", .readOnly)
    package static let reportDivergence = Unary<Divergence, Nothing>("mast.v1.Center/reportDivergence", .idempotent)
    package static let nodesSeen = Unary<NodesSeen, NodesSeenReply>("mast.v1.Center/nodesSeen", .idempotent)

    package static let rights: [MethodRow] = [
        ("mast.v1.Center/join", .communicationServer), ("mast.v1.Center/verifyIdentity", .communicationServer),
        ("mast.v1.Center/sync", .communicationServer), ("mast.v1.Center/fetchApplication", .communicationServer),
        ("mast.v1.Center/nodesSeen", .communicationServer), ("mast.v1.Center/reportDivergence", .communicationServer),
    ]
}

/// What stations and the center serve to clients, end to end.
package enum RunMethods: RPCService {
    package static let run = Unary<RunRequest, RunResult>("mast.v1.Run/run", .idempotent)

    /// The ticket travels in the request, since a warm run has room for one round trip only.
    package static let rights: [MethodRow] = [("mast.v1.Run/run", .anonymous)]
}

/// A client's proof, handed on together with what only the communication server can see.
package struct IdentityQuery: Codable, Hashable, Sendable {
    package var proof: IdentityProof
    package var handshakeHash: ByteString
    package var clientKey: ByteString
    /// The newest list of revocations that anybody told the communication server of: who holds an older one says so
    /// instead of issuing.
    package var newestRevocations: StateNumber
    /// Nobody who holds the newest list is up: whoever is asked does what it can.
    package var isLastResort: Bool

    package init(
        proof: IdentityProof, handshakeHash: ByteString, clientKey: ByteString, newestRevocations: StateNumber = 0, isLastResort: Bool = false
    ) {
        (self.newestRevocations, self.isLastResort) = (newestRevocations, isLastResort)
        self.proof = proof
        self.handshakeHash = handshakeHash
        self.clientKey = clientKey
    }
}

package struct IdentityAnswer: Codable, Hashable, Sendable {
    package var ticket: SignedRecord<Ticket>
    package init(ticket: SignedRecord<Ticket>) { self.ticket = ticket }
}

package struct ForwardedJoin: Codable, Hashable, Sendable {
    package var request: JoinRequest
    /// The transport key that the joining station proved by its handshake.
    package var peerKey: ByteString
    package var observedAddress: String

    package init(request: JoinRequest, peerKey: ByteString, observedAddress: String) {
        self.request = request
        self.peerKey = peerKey
        self.observedAddress = observedAddress
    }
}

/// Where the center's stations are and how they do, as the communication server sees it.
package struct NodesSeen: Codable, Hashable, Sendable {
    package var sightings: [NodeSighting]
    /// Of those that the center's last answer did not know.
    package var records: [SignedRecord<NodeRecord>]?

    package init(sightings: [NodeSighting], records: [SignedRecord<NodeRecord>]? = nil) { (self.sightings, self.records) = (sightings, records) }
}

package struct NodesSeenReply: Codable, Hashable, Sendable {
    /// Newer records than those that some of these nodes showed.
    package var records: [SignedRecord<NodeRecord>]
    /// Stations that the center does not know (any more): it asks to see their records.
    package var unknown: [NodeID]?

    package init(records: [SignedRecord<NodeRecord>], unknown: [NodeID]? = nil) { (self.records, self.unknown) = (records, unknown) }
}
