import MastCloudCore
import MastCloudServer
import MastRPC
import MastSimulator
import MastTimebase
import MastTransport
import MastWasmRuntime
import Synchronization
import Testing

/// A whole cloud in virtual time: the nodes' own code, on simulated wires, the same run every time.
struct SmallCloud: Sendable {
    let simulation: Simulation
    let network: TestNetwork
    let engine = StubEngine()
    let keys: CenterKeys
    let serverKeys: NodeKeys
    let membership: Membership
    let centerStore: any CenterStore
    let serverFiles = MemoryBlobStore()
    let operatorProfile: OpenedProfile
    let tokens: [JoinToken]
    let server: CommunicationServerNode

    let runs: RunConfiguration

    /// - Parameter clocks: how far clocks are ahead, by ports: the communication server's is 1, the center's 2, the stations'
    ///   10 and on.
    init(stations: Int, runs: RunConfiguration = .init(), clocks: [UInt16: Interval] = [:], centerStore: any CenterStore = MemoryCenterStore()) throws {
        self.centerStore = centerStore
        self.runs = runs
        simulation = Simulation(seed: 100)
        network = TestNetwork(simulation, clocks: clocks)
        let start = simulation.time.wallTime
        var generator = SeededGenerator(seed: 21)
        keys = CenterKeys(using: &generator)
        serverKeys = NodeKeys(using: &generator)
        membership = try CenterBootstrap.makeMembership(
            keys, communicationServer: .loopback(port: 1), communicationServerKey: serverKeys.identity.publicKey, at: start)
        var registry = try CenterRegistry(keys: keys, membership: membership, store: centerStore)
        operatorProfile = try registry.addUser(AddUser(name: "op", isOperator: true), at: start, using: &generator).opened()
        var tokens: [JoinToken] = []
        for _ in 0..<stations { tokens.append(try registry.makeJoinToken(at: start + (clocks[2] ?? .zero), using: &generator)) }
        self.tokens = tokens
        server = Self.server(network.host(serverKeys.identity, port: 1), keys, serverKeys, serverFiles)
    }

    private static func server(_ host: RPCHost, _ keys: CenterKeys, _ serverKeys: NodeKeys, _ files: any BlobStore) -> CommunicationServerNode {
        var configuration = CommunicationServerConfiguration()
        configuration.heartbeatInterval = .milliseconds(100)
        return CommunicationServerNode(
            host: host, rootKey: keys.root.publicKey, routeSecret: serverKeys.routeSecret, files: files, configuration: configuration, log: quiet)
    }

    /// The communication server after it was killed and started again: same keys, no memory.
    /// - Parameter files: its disk, if it is another one than before.
    func restartedServer(files: (any BlobStore)? = nil) -> CommunicationServerNode {
        network.unplug(port: 1)
        return Self.server(network.host(serverKeys.identity, port: 1), keys, serverKeys, files ?? serverFiles)
    }

    /// - Parameter store: its disk, if it is another one than before.
    func center(port: UInt16 = 2, store: MemoryCenterStore? = nil, onRegistered: (@Sendable () -> Void)? = nil) throws -> CenterNode {
        var configuration = CenterConfiguration()
        configuration.runs = runs
        let host = network.host(keys.node.identity, port: port)
        return try CenterNode(
            host: host, registry: CenterRegistry(keys: keys, membership: membership, store: store ?? centerStore), engine: engine,
            runExecutor: InlineRunExecutor(host: host),
            entropy: SeededGenerator(seed: 5), executor: simulation.time.executor.serial(), configuration: configuration, log: quiet, onRegistered: onRegistered)
    }

    /// - Parameters:
    ///   - port: another than the station's own, for a second process of it.
    ///   - compiled: its compiler and what it keeps; by default it compiles anew.
    func station(
        _ number: Int, stores: StationStores = .inMemory(), configuration: StationConfiguration = .init(), port: UInt16? = nil,
        compiled: CompiledApplications? = nil, engine: (any ApplicationEngine)? = nil
    ) async throws -> (node: BaseStationNode, port: UInt16) {
        var generator = SeededGenerator(seed: 1000 + UInt64(number))
        let port = port ?? UInt16(10 + number)
        let keys = try NodeKeys.loadOrCreate(in: stores.files, using: &generator)
        let host = network.host(keys.identity, port: port)
        let membership: Membership
        if let known = try Membership.load(from: stores.files) {
            membership = known
        } else {
            membership = try await Membership.join(
                tokens[number], name: "station-\(number)", keys: keys, addresses: [], host: host)
            try membership.save(to: stores.files)
        }
        let node = try BaseStationNode(
            host: host, membership: membership, keys: keys, stores: stores, engine: engine ?? self.engine,
            executor: InlineRunExecutor(host: host, compiled: compiled), configuration: configuration, log: quiet)
        return (node, port)
    }

    /// Runs `body` in the cloud's time. What waits in vain fails when the limit is reached.
    func run(limit: Interval = .seconds(300), _ body: @Sendable @escaping (SmallCloud) async throws -> Void) throws {
        try simulation.run(limit: limit) { try await body(self) }
    }

    /// Runs `body` beside the communication server and the center that has registered there.
    func whileServing(_ body: @Sendable @escaping (SmallCloud) async throws -> Void) throws {
        try run { cloud in
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await cloud.server.run() }
                try await cloud.startCenter(in: &group)
                group.addTask { try await body(cloud) }
                // `body` is the one that ends by itself.
                try await group.next()
                group.cancelAll()
            }
        }
    }

    /// Runs the center in `group` and returns when the communication server knows it.
    func startCenter(in group: inout ThrowingTaskGroup<Void, any Error>, store: MemoryCenterStore? = nil, port: UInt16 = 2) async throws {
        let (registered, signal) = AsyncStream.makeStream(of: Void.self)
        let center = try center(port: port, store: store) { signal.yield() }
        group.addTask { try await center.run() }
        for await _ in registered { break }
    }

    func sleep(_ interval: Interval) async throws { try await simulation.time.sleep(for: interval) }

    /// A user whom `client`, an operator's, has made.
    func user(_ name: String, asked client: TestClient, at center: Candidate) async throws -> OpenedProfile {
        try await client.node(center).call(AdminMethods.addUser, AddUser(name: name), options: try await client.asOperator(center)).profile.opened()
    }

    func client(_ profile: OpenedProfile, port: UInt16) -> TestClient {
        TestClient(host: network.host(profile.identity, port: port), profile: profile)
    }
}

/// As much of a client as these tests need.
final class TestClient: Sendable {
    let host: RPCHost
    let profile: OpenedProfile
    let control: RPCClient
    let ticket = Mutex<SignedRecord<Ticket>?>(nil)

    init(host: RPCHost, profile: OpenedProfile) {
        self.host = host
        self.profile = profile
        control = host.client(at: profile.communicationServer, peerKey: profile.communicationServerKey)
    }

    func attach() async throws -> AttachReply {
        let connection = try await control.connect(within: .seconds(5))
        let reply = try await control.call(
            ControlMethods.attach, AttachRequest(proof: try profile.proof(handshakeHash: connection.handshakeHash), ticket: nil))
        host.withEndpoint { endpoint, _ in endpoint.localRoutes = [reply.route] }
        ticket.withLock { $0 = reply.ticket }
        return reply
    }

    func node(_ candidate: Candidate) throws -> RPCClient {
        let record = try candidate.record.verified(by: profile.rootKey)
        return host.client(
            at: profile.communicationServer, peerKey: record.transportKey, route: candidate.route, control: control)
    }

    func lookup(_ application: String) async throws -> Placement {
        try await control.call(ControlMethods.lookup, LookupRequest(application: application)).placement
    }

    func run(_ application: String, _ input: String, on candidate: Candidate, id: String, withTicket: Bool = true) async throws -> RunResult {
        var result = try await node(candidate).call(
            RunMethods.run,
            RunRequest(
                application: application, input: ByteString(input), runID: RunID(rawValue: id),
                ticket: withTicket ? ticket.withLock { $0 } : nil))
        // The result of a run is one, and how busy the node was differs from answer to answer.
        result.load = nil
        return result
    }

    /// What an operator's calls to `center` need, over the connection that there is now.
    func asOperator(_ center: Candidate) async throws -> CallOptions {
        let connection = try await node(center).connect(within: .seconds(5))
        var options = CallOptions()
        options.metadata = [operatorProofMetadataName: try profile.proof(.operation, handshakeHash: connection.handshakeHash).metadataText]
        return options
    }

    func push(_ name: String, _ module: [UInt8], to center: Candidate) async throws -> PushReply {
        let digest = ContentDigest(of: module)
        let client = try node(center)
        for offset in stride(from: 0, to: module.count, by: UploadChunk.maximumBytes) {
            let end = min(offset + UploadChunk.maximumBytes, module.count)
            _ = try await client.call(
                AdminMethods.uploadChunk,
                UploadChunk(
                    digest: digest, sizeBytes: UInt64(module.count), offset: UInt64(offset),
                    bytes: ByteString(Array(module[offset..<end]))), options: try await asOperator(center))
        }
        return try await client.call(AdminMethods.pushApplication, PushApplication(name: name, digest: digest), options: try await asOperator(center))
    }

    /// Asks until it is so; a test that waits in vain fails at its limit of virtual time.
    func wait(until condition: (CloudStatus) -> Bool) async throws -> CloudStatus {
        while true {
            let status = try await control.call(ControlMethods.status, Nothing())
            if condition(status) { return status }
            try await host.sleep(for: .milliseconds(20))
        }
    }
}

func refusal(_ body: () async throws -> Void) async -> RunRefusal? {
    do {
        try await body()
        return nil
    } catch let error as RPCError {
        return RunRefusal(error)
    } catch {
        return nil
    }
}
