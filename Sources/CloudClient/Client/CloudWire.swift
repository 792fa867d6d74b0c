import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import Synchronization

/// A node as a client reaches it: named and keyed by its root-signed record, at the end of a route.
package struct NodeContact: Hashable, Sendable {
    package var nodeID: NodeID
    package var name: String
    package var role: NodeRole
    package var key: PublicKey
    package var signingKey: SigningPublicKey
    package var route: UInt32
    /// Verified.
    package var record: SignedRecord<NodeRecord>

    /// - Parameter signed: `record`, by the root.
    package init(_ record: NodeRecord, _ signed: SignedRecord<NodeRecord>, route: UInt32) {
        (nodeID, name, role, key, signingKey) = (record.nodeID, record.name, record.role, record.transportKey, record.signingKey)
        (self.record, self.route) = (signed, route)
    }
}

/// One connection to the communication server, from its handshake to its end.
package struct ControlSession: Hashable, Sendable {
    package var number: UInt64
    package var handshakeHash: [UInt8]

    package init(number: UInt64, handshakeHash: [UInt8]) { (self.number, self.handshakeHash) = (number, handshakeHash) }
}

/// What the wire's statistics say of one connection.
package struct WireStatistics: Sendable {
    package var isEstablished = false
    package var roundTrip: Interval?
    package var oldestUnacknowledged: Instant?
    package var newestAcknowledged: Instant?
    package var lastReceived: Instant?
    /// Packets that carried something sent before.
    package var retransmitted: UInt64 = 0
    /// Tells this connection from the next one to the same peer.
    package var number: UInt64 = 0

    package init() {}
}

/// All that a `CloudClient` needs from the outside: calls, time, and what the connections know.
///
/// `RPCWire` is the real one; a test puts a scripted cloud in its place.
package protocol CloudWire: Sendable {
    func now() -> Instant
    func wallTime() -> WallTime
    func sleep(for interval: Interval) async throws

    /// The open control connection, if there is one.
    var session: ControlSession? { get }
    /// Dials the communication server unless the connection is open.
    func connect(until deadline: Instant) async throws(RPCError) -> ControlSession
    func attach(_ request: AttachRequest, until deadline: Instant) async throws(RPCError) -> AttachReply
    func lookup(_ request: LookupRequest, until deadline: Instant) async throws(RPCError) -> LookupReply
    /// The list of communication servers, as the one dialled has it.
    func servers(until deadline: Instant) async throws(RPCError) -> CommunicationServersReply
    func status(until deadline: Instant) async throws(RPCError) -> CloudStatus
    /// Returns or throws when the stream of events ends.
    func watch(_ event: @Sendable (NodeEvent) -> Void) async throws
    /// Whether that communication server answers with its key.
    func reach(_ server: CommunicationServer, until deadline: Instant) async -> Bool
    /// The communication server from now on; a control connection to another one is closed. Nothing is dialled.
    func use(_ server: CommunicationServer)
    /// The route by which answers reach this client.
    func adopt(route: UInt32)

    /// One attempt, without retries: where to go next is the client's decision.
    func run(_ request: RunRequest, on node: NodeContact, until deadline: Instant) async throws(RPCError) -> RunResult
    /// Calls the center as an operator.
    /// - Parameter proof: makes the proof over the connection with that handshake hash.
    func operate<Q, R>(
        _ method: Unary<Q, R>, _ request: Q, on node: NodeContact, until deadline: Instant,
        proof: ([UInt8]) throws(TrustError) -> IdentityProof
    ) async throws(RPCError) -> R

    /// Of the connection to a node, or of the control connection; nil while there is none.
    func statistics(of node: NodeContact?) -> WireStatistics?
    /// Asks a node, or the communication server, for an acknowledgement, if the connection is up.
    func ping(_ node: NodeContact?)
    /// Gives up the connection to a node; the next run there dials anew.
    func drop(_ node: NodeContact)
}

/// The cloud over RPC: one control connection, and one connection end to end with each node behind it.
package final class RPCWire: CloudWire {
    private struct Way: Sendable {
        var server: CommunicationServer
        var control: RPCClient
    }

    private let host: RPCHost
    private let way: Mutex<Way>

    package init(host: RPCHost, communicationServer: HostPort, key: PublicKey) {
        self.host = host
        let server = CommunicationServer(address: communicationServer, key: key)
        way = Mutex(Way(server: server, control: host.client(at: communicationServer, peerKey: key)))
    }

    private var control: RPCClient { way.withLock { $0.control } }

    package func reach(_ server: CommunicationServer, until deadline: Instant) async -> Bool {
        (try? await host.client(at: server.address, peerKey: server.key).connect(within: max(deadline - host.now(), .milliseconds(1)))) != nil
    }

    package func use(_ server: CommunicationServer) {
        let left = way.withLock { way -> RPCClient? in
            guard way.server != server else { return nil }
            let control = way.control
            way = Way(server: server, control: host.client(at: server.address, peerKey: server.key))
            return control
        }
        left?.close(reason: "the communication server has moved")
    }

    package func now() -> Instant { host.now() }
    package func wallTime() -> WallTime { host.wallTime() }
    package func sleep(for interval: Interval) async throws { try await host.sleep(for: interval) }

    package var session: ControlSession? { control.connection.flatMap { $0.isOpen ? Self.session($0) : nil } }

    private static func session(_ connection: PeerConnection) -> ControlSession {
        ControlSession(number: connection.handle.number, handshakeHash: connection.handshakeHash)
    }

    package func connect(until deadline: Instant) async throws(RPCError) -> ControlSession {
        if let session { return session }
        return Self.session(try await control.connect(within: max(deadline - host.now(), .milliseconds(1))))
    }

    package func attach(_ request: AttachRequest, until deadline: Instant) async throws(RPCError) -> AttachReply {
        try await control.call(ControlMethods.attach, request, options: Self.once(deadline))
    }

    package func lookup(_ request: LookupRequest, until deadline: Instant) async throws(RPCError) -> LookupReply {
        try await control.call(ControlMethods.lookup, request, options: Self.once(deadline))
    }

    package func servers(until deadline: Instant) async throws(RPCError) -> CommunicationServersReply {
        try await control.call(ControlMethods.servers, Nothing(), options: Self.once(deadline))
    }

    package func status(until deadline: Instant) async throws(RPCError) -> CloudStatus {
        try await control.call(ControlMethods.status, Nothing(), options: Self.once(deadline))
    }

    package func watch(_ event: @Sendable (NodeEvent) -> Void) async throws {
        try await control.stream(ControlMethods.watch, Nothing(), options: Self.once(.distantFuture)) { events in
            for try await news in events { event(news) }
        }
    }

    package func adopt(route: UInt32) {
        let forwarder = control.address.map { [$0] } ?? []
        host.forwarding.join(route, through: forwarder)
    }

    package func run(_ request: RunRequest, on node: NodeContact, until deadline: Instant) async throws(RPCError) -> RunResult {
        try await client(node).call(RunMethods.run, request, options: Self.once(deadline))
    }

    package func operate<Q, R>(
        _ method: Unary<Q, R>, _ request: Q, on node: NodeContact, until deadline: Instant,
        proof: ([UInt8]) throws(TrustError) -> IdentityProof
    ) async throws(RPCError) -> R {
        let client = client(node)
        // A call that is sent again over another connection shows the old proof: an effect that it had is told from
        // memory, and else it is refused without one.
        let connection = try await client.connect(within: max(deadline - host.now(), .milliseconds(1)))
        var options = CallOptions()
        options.deadline = .at(deadline)
        do throws(TrustError) {
            options.metadata = [operatorProofMetadataName: try proof(connection.handshakeHash).metadataText]
        } catch { throw RPCError(.unauthenticated, "this profile cannot sign: \(error)", effect: .none) }
        return try await client.call(method, request, options: options)
    }

    package func statistics(of node: NodeContact?) -> WireStatistics? {
        let client = node.map(client) ?? control
        guard let figures = client.connectionStatistics else { return nil }
        var statistics = WireStatistics()
        statistics.isEstablished = figures.isEstablished
        statistics.roundTrip = figures.smoothedRTT
        statistics.oldestUnacknowledged = figures.oldestUnacknowledged
        statistics.newestAcknowledged = figures.newestAcknowledged
        statistics.lastReceived = figures.lastReceived
        statistics.retransmitted = figures.packetsRetransmitted
        statistics.number = client.connection?.handle.number ?? 0
        return statistics
    }

    package func ping(_ node: NodeContact?) {
        let client = node.map(client) ?? control
        client.connection?.ping()
    }

    package func drop(_ node: NodeContact) { client(node).close(reason: "no answer") }

    /// The same node by the same route is the same connection: the host keeps them.
    private func client(_ node: NodeContact) -> RPCClient {
        let way = way.withLock { $0 }
        return host.client(at: way.server.address, peerKey: node.key, route: node.route, control: way.control)
    }

    private static func once(_ deadline: Instant) -> CallOptions {
        var options = CallOptions()
        options.deadline = .at(deadline)
        options.maxAttempts = 1
        return options
    }
}
