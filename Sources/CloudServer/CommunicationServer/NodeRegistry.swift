import MastCloudCore
import MastRPC
import MastTimebase

/// A node as the communication server knows it.
struct RegisteredNode: Sendable {
    var record: NodeRecord
    var signed: SignedRecord<NodeRecord>
    var connection: PeerConnection
    var incarnation: UInt64
    var route: UInt32
    /// By the last heartbeat.
    var load: NodeLoad
    /// Placements since then that name this node first: runs to come, of which it cannot have told yet.
    var placed = 0
    var replicas: [ContentDigest]
    var lastHeartbeat: Instant
    var numbers: StateNumbers
    var health: NodeHealth
    /// Its clock minus this one's, half a round trip ago.
    var clockAhead: Interval?
    var isUp = true
    /// When a process that another one of the same node had replaced was heard of again: both live.
    var twiceAt: Instant?
    var replicaTroubles: [ReplicaTrouble] = []

    var nodeID: NodeID { record.nodeID }

    /// A heartbeat tells of a moment that is over.
    func expectedLoad(at now: Instant) -> NodeLoad {
        var load = load.aged(by: now - lastHeartbeat)
        load.queued = min(max(load.queued, 0), 1 << 20) + placed
        return load
    }

    func candidate(for digest: ContentDigest?, roundTrip: Interval? = nil, at now: Instant) -> Candidate {
        Candidate(
            nodeID: nodeID, name: record.name, role: record.role, record: signed, route: route,
            holdsReplica: record.role == .center || digest.map(replicas.contains) ?? false, load: expectedLoad(at: now), roundTrip: roundTrip)
    }
}

/// The nodes that registered since the communication server started, those that are down included. In memory only:
/// after a restart they register again within moments.
struct NodeRegistry: Sendable {
    /// Root-signed records are few; this bounds a leaked root key's damage to memory.
    static let maximumNodes = 10_000
    private var nodes: [NodeID: RegisteredNode] = [:]
    private var byConnection: [PeerConnection: NodeID] = [:]
    /// The incarnation of a node that its present one replaced.
    private var replaced: [NodeID: UInt64] = [:]

    /// By id, so that nothing depends on hash order.
    var ordered: [RegisteredNode] { nodes.keys.sorted().compactMap { nodes[$0] } }
    var up: [RegisteredNode] { ordered.filter(\.isUp) }
    var center: RegisteredNode? { up.first { $0.record.role == .center } }
    var isFull: Bool { nodes.count >= Self.maximumNodes }

    subscript(id: NodeID) -> RegisteredNode? { nodes[id] }
    func node(on connection: PeerConnection) -> RegisteredNode? { byConnection[connection].flatMap { nodes[$0] } }

    /// Adds or replaces. Returns whether the node was not up before.
    mutating func register(_ node: RegisteredNode) -> Bool {
        let old = nodes[node.nodeID]
        var node = node
        if let old {
            byConnection[old.connection] = nil
            node.twiceAt = old.twiceAt
            if old.incarnation != node.incarnation {
                // A restarted node does not come back as the one it was before.
                if replaced[node.nodeID] == node.incarnation { node.twiceAt = node.lastHeartbeat }
                replaced[node.nodeID] = old.incarnation
            }
        }
        nodes[node.nodeID] = node
        byConnection[node.connection] = node.nodeID
        return !(old?.isUp ?? false)
    }

    /// What a heartbeat says. Returns whether the node was down before and whether its replicas changed.
    mutating func heartbeat(_ id: NodeID, _ request: HeartbeatRequest, clockAhead: Interval?, at now: Instant) -> (returned: Bool, replicasChanged: Bool) {
        guard var node = nodes[id] else { return (false, false) }
        let replicas = request.replicas.map { $0.prefix(4096).sorted() }
        let returned = !node.isUp
        let changed = replicas != nil && replicas != node.replicas
        (node.load, node.placed) = (request.load, 0)
        node.clockAhead = clockAhead
        node.numbers = request.numbers
        node.health = request.health.bounded
        node.replicas = replicas ?? node.replicas
        node.replicaTroubles = (request.replicaTroubles ?? []).prefix(ReplicaTrouble.mostReported).filter { $0.reason.utf8.count <= 600 }
        node.lastHeartbeat = now
        node.isUp = true
        nodes[id] = node
        return (returned, changed)
    }

    /// A client was sent there.
    mutating func placed(on id: NodeID) {
        // A heartbeat ends it; without one nobody is sent there for long.
        if let node = nodes[id], node.placed < 1 << 20 { nodes[id]?.placed += 1 }
    }

    /// The median of all clocks minus this one's; nil while there are fewer than three.
    var clockMedian: Interval? { ClockMedian.of([.zero] + up.compactMap(\.clockAhead)) }

    /// A newer record of a node that is here.
    mutating func update(_ id: NodeID, _ record: NodeRecord, _ signed: SignedRecord<NodeRecord>) {
        nodes[id]?.record = record
        nodes[id]?.signed = signed
    }

    /// The node belongs to the cloud no longer.
    mutating func remove(_ id: NodeID) -> RegisteredNode? {
        guard let node = nodes.removeValue(forKey: id) else { return nil }
        if byConnection[node.connection] == id { byConnection[node.connection] = nil }
        replaced[id] = nil
        return node
    }

    /// The connection of a node closed. Returns the node if it was up.
    mutating func lost(_ connection: PeerConnection) -> RegisteredNode? {
        guard let id = byConnection.removeValue(forKey: connection), let node = nodes[id] else { return nil }
        nodes[id]?.isUp = false
        return node.isUp ? node : nil
    }

    /// Nodes that were up and have been silent for longer than `limit`.
    mutating func expire(at now: Instant, after limit: Interval) -> [RegisteredNode] {
        let silent = up.filter { now - $0.lastHeartbeat > limit }
        for node in silent { nodes[node.nodeID]?.isUp = false }
        return silent
    }
}
