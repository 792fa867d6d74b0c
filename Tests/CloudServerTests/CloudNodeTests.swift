import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport
import Synchronization
import Testing

/// A whole cloud in one process, over datagrams in memory.
struct SmallCloud: Sendable {
    let network = LoopbackNetwork()
    let engine = StubEngine()
    let executor = ThreadedRunExecutor(threads: 2)
    let keys: CenterKeys
    let serverKeys: NodeKeys
    let membership: Membership
    let centerStore = MemoryCenterStore()
    let operatorProfile: OpenedProfile
    let tokens: [JoinToken]
    let serverHost: RPCHost
    let server: CommunicationServerNode

    init(stations: Int) throws {
        var generator = SeededGenerator(seed: 21)
        keys = CenterKeys(using: &generator)
        serverKeys = NodeKeys(using: &generator)
        membership = try CenterBootstrap.makeMembership(
            keys, communicationServer: .loopback(port: 1), communicationServerKey: serverKeys.identity.publicKey, at: noon)
        var office = try CenterOffice(keys: keys, membership: membership, store: centerStore)
        operatorProfile = try office.addUser(AddUser(name: "op", isOperator: true), at: noon, using: &generator).opened()
        var tokens: [JoinToken] = []
        for _ in 0..<stations { tokens.append(try office.makeJoinToken(at: noon, using: &generator)) }
        self.tokens = tokens
        serverHost = network.host(serverKeys.identity, port: 1)
        var configuration = CommunicationServerConfiguration()
        configuration.heartbeatInterval = .milliseconds(100)
        server = CommunicationServerNode(
            host: serverHost, rootKey: keys.root.publicKey, routeSecret: serverKeys.routeSecret, configuration: configuration,
            log: quiet)
    }

    func center(port: UInt16 = 2) throws -> CenterNode {
        try CenterNode(
            host: network.host(keys.node.identity, port: port),
            office: CenterOffice(keys: keys, membership: membership, store: centerStore), engine: engine, executor: executor,
            entropy: SeededGenerator(seed: 5), log: quiet)
    }

    func station(_ number: Int, stores: StationStores = .inMemory(), configuration: StationConfiguration = .init()) async throws
        -> (node: BaseStationNode, port: UInt16)
    {
        var generator = SeededGenerator(seed: 1000 + UInt64(number))
        let port = UInt16(10 + number)
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
            host: host, membership: membership, keys: keys, stores: stores, engine: engine, executor: executor,
            configuration: configuration, log: quiet)
        return (node, port)
    }

    /// Runs `body` beside the communication server and the center.
    func whileServing(_ body: @Sendable @escaping (SmallCloud) async throws -> Void) async throws {
        let center = try center()
        try await withThrowingTaskGroup(of: Void.self) { group in
            group.addTask { try await server.run() }
            group.addTask { try await center.run() }
            group.addTask { try await body(self) }
            // `body` is the one that ends by itself.
            try await group.next()
            group.cancelAll()
        }
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
        control = host.client(to: profile.communicationServer, peerKey: profile.communicationServerKey)
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
            to: profile.communicationServer, peerKey: record.transportKey, route: candidate.route, control: control)
    }

    func lookup(_ application: String) async throws -> Placement {
        try await control.call(ControlMethods.lookup, LookupRequest(application: application)).placement
    }

    func run(_ application: String, _ input: String, on candidate: Candidate, id: String, withTicket: Bool = true) async throws -> RunResult {
        try await node(candidate).call(
            RunMethods.run,
            RunRequest(
                application: application, input: ByteString(input), runID: RunID(rawValue: id),
                ticket: withTicket ? ticket.withLock { $0 } : nil))
    }

    var asOperator: CallOptions {
        var options = CallOptions()
        options.metadata = [ticketMetadataName: ticket.withLock { $0 }?.metadataText ?? ""]
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
                    bytes: ByteString(Array(module[offset..<end]))), options: asOperator)
        }
        return try await client.call(AdminMethods.pushApplication, PushApplication(name: name, digest: digest), options: asOperator)
    }

    /// Asks until it is so; a test that waits in vain fails by its time limit.
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

@Suite(.serialized, .timeLimit(.minutes(1))) struct CloudNodeTests {
    private let upper = Array("uppr".utf8) + [UInt8](repeating: 7, count: 700_000)

    @Test func `an application that is pushed runs at a station that joined by token, and again from memory`() async throws {
        let cloud = try SmallCloud(stations: 1)
        try await cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let attached = try await client.attach()
            #expect(attached.userName == "op")
            let center = try #require(attached.center)
            let (station, _) = try await cloud.station(0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                let pushed = try await client.push("upper", upper, to: center)
                #expect(pushed.releaseNumber == 1)
                _ = try await client.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                let placement = try await client.lookup("upper")
                #expect(placement.candidates.map(\.name) == ["station-0", "center"])
                #expect(placement.candidates.first?.holdsReplica == true)
                let first = try await client.run("upper", "hello", on: placement.candidates[0], id: "r1")
                #expect(first.output == ByteString("HELLO") && first.nodeName == "station-0")
                #expect(try await client.run("upper", "hello", on: placement.candidates[0], id: "r1") == first)
                #expect(cloud.engine.runs.load(ordering: .relaxed) == 1)
                #expect(await refusal { _ = try await client.run("upper", "other", on: placement.candidates[0], id: "r1") } == .badRequest)
                // The node remembers the ticket.
                let second = try await client.run("upper", "x", on: placement.candidates[0], id: "r2", withTicket: false)
                #expect(second.output == ByteString("X"))
                let far = try await client.run("upper", "far", on: placement.candidates[1], id: "r3")
                #expect(far.output == ByteString("FAR") && far.nodeName == "center")
                group.cancelAll()
            }
        }
    }

    @Test func `a station without the replica fills it while the run waits`() async throws {
        let cloud = try SmallCloud(stations: 1)
        try await cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            var configuration = StationConfiguration()
            configuration.holdsAllApplications = false
            let (station, _) = try await cloud.station(0, configuration: configuration)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                _ = try await client.push("upper", upper, to: center)
                _ = try await client.wait { $0.nodes.contains { $0.role == .station && $0.isUp } }
                let placement = try await client.lookup("upper")
                #expect(placement.candidates.map(\.holdsReplica) == [false, true])
                let result = try await client.run("upper", "abc", on: placement.candidates[0], id: "r1")
                #expect(result.output == ByteString("ABC") && result.nodeName == "station-0")
                #expect(await station.heldReplicas == [ContentDigest(of: upper)])
                let status = try await client.wait { $0.nodes.contains { $0.role == .station && $0.replicas.count == 1 } }
                #expect(status.cachedApplications == 1)
                group.cancelAll()
            }
        }
    }

    @Test func `a killed station is reported, and reported back after its restart with its disk`() async throws {
        let cloud = try SmallCloud(stations: 1)
        let stores = StationStores.inMemory()
        try await cloud.whileServing { cloud in
            let client = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await client.attach().center)
            let (events, tell) = AsyncStream.makeStream(of: NodeEvent.self)
            try await withThrowingTaskGroup(of: Void.self) { watching in
                watching.addTask {
                    var options = CallOptions()
                    options.deadline = .at(.distantFuture)
                    try await client.control.stream(ControlMethods.watch, Nothing(), options: options) { stream in
                        for try await event in stream { tell.yield(event) }
                    }
                }
                _ = try await client.push("upper", upper, to: center)
                let (station, port) = try await cloud.station(0, stores: stores)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await station.run() }
                    _ = try await client.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                    cloud.network.unplug(port: port)
                    group.cancelAll()
                }
                var iterator = events.makeAsyncIterator()
                var kinds: [NodeEvent.Kind] = []
                while !kinds.contains(.routeGone), let event = await iterator.next() { kinds.append(event.kind) }
                #expect(try await client.lookup("upper").candidates.map(\.name) == ["center"])

                let (again, _) = try await cloud.station(0, stores: stores)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    group.addTask { try await again.run() }
                    var returned: Candidate?
                    while returned == nil, let event = await iterator.next() { returned = event.candidate }
                    let placement = try await client.lookup("upper")
                    #expect(placement.candidates.first?.nodeID == returned?.nodeID)
                    #expect(placement.candidates.first?.holdsReplica == true)
                    let result = try await client.run("upper", "back", on: placement.candidates[0], id: "r9")
                    #expect(result.nodeName == "station-0")
                    group.cancelAll()
                }
                watching.cancelAll()
            }
        }
    }

    @Test func `while the center is away a station says who a client is`() async throws {
        let cloud = try SmallCloud(stations: 1)
        let stores = StationStores.inMemory()
        try await withThrowingTaskGroup(of: Void.self) { servers in
            servers.addTask { try await cloud.server.run() }
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            try await withThrowingTaskGroup(of: Void.self) { group in
                let center = try cloud.center()
                group.addTask { try await center.run() }
                let (station, port) = try await cloud.station(0, stores: stores)
                group.addTask { try await station.run() }
                while true {
                    if let center = try? await operating.attach().center {
                        _ = try await operating.push("upper", upper, to: center)
                        break
                    }
                    try await operating.host.sleep(for: .milliseconds(20))
                }
                _ = try await operating.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                cloud.network.unplug(port: 2)
                cloud.network.unplug(port: port)
                group.cancelAll()
            }
            let (station, _) = try await cloud.station(0, stores: stores)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                _ = try await operating.wait { status in
                    !status.nodes.contains { $0.role == .center && $0.isUp } && status.nodes.contains { $0.role == .station && $0.isUp }
                }
                let fresh = cloud.client(cloud.operatorProfile, port: 51)
                let attached = try await fresh.attach()
                #expect(attached.center == nil && attached.userName == "op")
                let placement = try await fresh.lookup("upper")
                let result = try await fresh.run("upper", "alone", on: placement.candidates[0], id: "r1")
                #expect(result.output == ByteString("ALONE"))
                group.cancelAll()
            }
            servers.cancelAll()
        }
    }

    @Test func `rights are checked`() async throws {
        let cloud = try SmallCloud(stations: 0)
        try await cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await operating.attach().center)
            for name in ["upper", "trap"] { _ = try await operating.push(name, Array((name == "trap" ? "trap" : "uppr").utf8), to: center) }
            let added = try await operating.node(center).call(
                AdminMethods.addUser, AddUser(name: "ada", applications: ["upp*"]), options: operating.asOperator)
            let ada = cloud.client(try added.profile.opened(), port: 51)
            // Not attached yet.
            #expect(await refusal { _ = try await ada.lookup("upper") } == .ticketNeeded)
            _ = try await ada.attach()
            let candidate = try #require(try await ada.lookup("upper").candidates.first)
            #expect(try await ada.run("upper", "a", on: candidate, id: "1").output == ByteString("A"))
            #expect(await refusal { _ = try await ada.lookup("trap") } == .notGranted)
            #expect(await refusal { _ = try await ada.run("trap", "a", on: candidate, id: "2") } == .notGranted)
            #expect(await refusal { _ = try await ada.push("own", upper, to: center) } == .notGranted)
            // A stolen ticket is bound to another key.
            ada.ticket.withLock { $0 = operating.ticket.withLock { $0 } }
            #expect(await refusal { _ = try await ada.push("own", upper, to: center) } == .ticketNeeded)
            let error = await #expect(throws: RPCError.self) {
                _ = try await ada.control.call(ControlMethods.announce, Announcement(numbers: StateNumbers(), releases: nil))
            }
            #expect(error?.code == .failedPrecondition)
            let trapped = try await operating.run("trap", "a", on: candidate, id: "3")
            #expect(trapped.trap?.kind == "unreachable" && trapped.output == nil)
            #expect(await refusal { _ = try await operating.lookup("missing") } == .unknownApplication)
            #expect(await refusal { _ = try await operating.run("upper", "a", on: candidate, id: "no id!") } == .badRequest)

            // A removed user's ticket is refused at once where the removal is known.
            _ = try await operating.node(center).call(AdminMethods.removeUser, RemoveUser(name: "ada"), options: operating.asOperator)
            let again = cloud.client(try added.profile.opened(), port: 52)
            let refused = await #expect(throws: RPCError.self) { _ = try await again.attach() }
            #expect(refused?.code == .unauthenticated)
        }
    }

    @Test func `a stranger's key is told that nobody knows it`() async throws {
        let cloud = try SmallCloud(stations: 0)
        try await cloud.whileServing { cloud in
            _ = try await cloud.client(cloud.operatorProfile, port: 50).attach()
            var stranger = cloud.operatorProfile
            var generator = SeededGenerator(seed: 77)
            stranger.identity = StaticKeyPair(using: &generator)
            let error = await #expect(throws: RPCError.self) { _ = try await cloud.client(stranger, port: 51).attach() }
            #expect(error?.code == .unauthenticated)
            var impostor = cloud.operatorProfile
            impostor.signing = SigningKeyPair(using: &generator)
            let refused = await #expect(throws: RPCError.self) { _ = try await cloud.client(impostor, port: 52).attach() }
            #expect(refused?.code == .unauthenticated)
        }
    }
}
