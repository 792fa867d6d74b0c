import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport
import Synchronization
import Testing

/// The communication server gets another machine, and everybody finds it.
@Suite struct ServerMoveTests {
    private let upper = Array("uppr".utf8) + [UInt8](repeating: 7, count: 3_000)

    /// Another communication server's keys.
    private static let newKeys: NodeKeys = {
        var generator = SeededGenerator(seed: 404)
        return NodeKeys(using: &generator)
    }()
    private static let newPlace = CommunicationServer(address: .loopback(port: 3), key: newKeys.identity.publicKey)

    private func newServer(_ cloud: SmallCloud, files: any BlobStore = MemoryBlobStore()) -> CommunicationServerNode {
        var configuration = CommunicationServerConfiguration()
        configuration.heartbeatInterval = .milliseconds(100)
        return CommunicationServerNode(
            host: cloud.network.host(Self.newKeys.identity, port: 3), rootKey: cloud.keys.root.publicKey, routeSecret: Self.newKeys.routeSecret,
            files: files, configuration: configuration, log: quiet)
    }

    /// What a client's process keeps for the next one.
    private final class StateInMemory: ClientStateStore {
        private let kept = Mutex<ClientState?>(nil)
        func load() -> ClientState? { kept.withLock { $0 } }
        func save(_ state: ClientState) { kept.withLock { $0 = state } }
    }

    private func withClient<R: Sendable>(_ cloud: SmallCloud, port: UInt16, store: (any ClientStateStore)? = nil, _ body: (CloudClient) async throws -> R) async throws -> R {
        let profile = cloud.operatorProfile
        let wire = RPCWire(
            host: cloud.network.host(profile.identity, port: port), communicationServer: profile.communicationServer, key: profile.communicationServerKey)
        let client = CloudClient(wire: wire, profile: profile, pool: MemoryPool(), store: store, entropy: SeededGenerator(seed: UInt64(port)))
        return try await client.whileListening(body)
    }

    private func wait(_ cloud: SmallCloud, _ client: CloudClient, nodes: Int) async throws {
        while true {
            if let status = try? await client.status(timeout: .seconds(2)), client.communicationServer == Self.newPlace.address,
                status.nodes.count(where: \.isUp) == nodes
            {
                return
            }
            try await cloud.sleep(.milliseconds(50))
        }
    }

    @Test("Center, station and clients follow to the new place and remember it; the old server may go")
    func move() throws {
        let cloud = try SmallCloud(stations: 1)
        let stores = StationStores.inMemory()
        let (kept, serverDisk) = (StateInMemory(), MemoryBlobStore())
        try cloud.whileServing { cloud in
            let (station, _) = try await cloud.station(0, stores: stores)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                try await withClient(cloud, port: 60, store: kept) { client in
                    _ = try await client.pushApplication(upper, name: "upper")
                    #expect(try await client.run("upper", input: Array("a".utf8)).output == Array("A".utf8))
                    let list = try await client.setCommunicationServers([Self.newPlace])
                    #expect(list.number == 2)
                    // Nobody is there yet: all goes on where it was.
                    try await cloud.sleep(.seconds(3))
                    #expect(try await client.run("upper", input: Array("b".utf8)).output == Array("B".utf8))
                    #expect(client.communicationServer == cloud.operatorProfile.communicationServer)
                    #expect(try await client.status().nodes.count(where: \.isUp) == 2)
                    #expect(try await client.status().troubles.contains { $0.contains("has moved to 127.0.0.1:3") })

                    group.addTask { try await newServer(cloud, files: serverDisk).run() }
                    try await wait(cloud, client, nodes: 2)
                    #expect(try await client.run("upper", input: Array("c".utf8)).output == Array("C".utf8))
                    #expect(try await client.communicationServers().servers == [Self.newPlace])
                }
                // Somebody who was away, and finds the old server deserted.
                try await withClient(cloud, port: 63) { client in
                    let outcome = try await client.run("upper", input: Array("e".utf8))
                    #expect(outcome.output == Array("E".utf8) && client.communicationServer == Self.newPlace.address)
                }
                // Gone for good. A new process of each knows where to go.
                cloud.network.unplug(port: 1)
                let membership = try #require(try Membership.load(from: stores.files))
                #expect(membership.communicationServer == Self.newPlace.address && membership.communicationServerKey == Self.newPlace.key)
                try await withClient(cloud, port: 61, store: kept) { client in
                    let began = cloud.simulation.time.now
                    let outcome = try await client.run("upper", input: Array("d".utf8))
                    #expect(outcome.output == Array("D".utf8))
                    #expect(cloud.simulation.time.now - began < .seconds(1))
                }
                // A profile made now leads there, and a station that joins now, too.
                let fresh = try await withClient(cloud, port: 62, store: kept) { client in try await client.addUser("late").opened() }
                #expect(fresh.servers.number == 2 && fresh.communicationServer == Self.newPlace.address)
                group.cancelAll()
            }
        }
        // The center's next process: the list is in its store.
        let registry = try CenterRegistry(keys: cloud.keys, membership: cloud.membership, store: cloud.centerStore)
        #expect(registry.servers.servers == [Self.newPlace] && registry.numbers.servers == 2)
    }

    @Test("A list that is forged or old moves nobody, whoever sends it")
    func forged() throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.run { cloud in
            var generator = SeededGenerator(seed: 5)
            let (thief, stores) = (SigningKeyPair(using: &generator), StationStores.inMemory())
            let keys = try NodeKeys.loadOrCreate(in: stores.files, using: &generator)
            let record = NodeRecord(
                role: .station, name: "station-0", transportKey: keys.identity.publicKey, signingKey: keys.signing.publicKey, addresses: [], epoch: 1,
                issued: cloud.simulation.time.wallTime)
            var membership = cloud.membership
            membership.record = try SignedRecord(record, signedBy: cloud.keys.root)
            membership.servers = try SignedRecord(CommunicationServers(number: 4, servers: cloud.membership.choice.list.servers), signedBy: cloud.keys.root)
            try membership.save(to: stores.files)
            let (station, _) = try await cloud.station(0, stores: stores)
            let lies = [
                try SignedRecord(CommunicationServers(number: 9, servers: [Self.newPlace]), signedBy: thief),
                try SignedRecord(CommunicationServers(number: 9, servers: [Self.newPlace]), signedBy: keys.signing),
                try SignedRecord(CommunicationServers(number: 3, servers: [Self.newPlace]), signedBy: cloud.keys.root),
                try SignedRecord(CommunicationServers(number: 4, servers: [Self.newPlace]), signedBy: cloud.keys.root),
                SignedRecord(payload: ByteString([1, 2, 3]), signature: ByteString(Array(repeating: 0, count: 64))),
            ]
            let turn = Mutex(0)
            let led = Mutex(0)
            let trap = cloud.network.host(Self.newKeys.identity, port: 3)
            let server = cloud.network.host(cloud.serverKeys.identity, port: 1)
            @Sendable func next() -> SignedRecord<CommunicationServers> {
                turn.withLock { turn in
                    turn += 1
                    return lies[turn % lies.count]
                }
            }
            let liar = RPCServer {
                ControlMethods.register.handle { _, context in
                    let back = server.client(on: context.connection)
                    for lie in lies { _ = try? await back.call(StationMethods.announce, Announcement(numbers: StateNumbers(), releases: nil, servers: lie)) }
                    return RegisterReply(route: 7, heartbeatMilliseconds: 50, numbers: StateNumbers(servers: 9), observedAddress: "10.0.0.1:1", servers: next())
                }
                ControlMethods.heartbeat.handle { _ in HeartbeatReply(numbers: StateNumbers(servers: 9), heldRevocations: 0, servers: next()) }
            }
            let thiefs = RPCServer(authorize: { _ in led.withLock { $0 += 1 } }) {
                ControlMethods.register.handle { (_: RegisterRequest) in throw RPCError(.unavailable, "", effect: .none) }
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try? await server.serve(liar) }
                group.addTask { try? await trap.serve(thiefs) }
                group.addTask { try? await station.run() }
                while turn.withLock({ $0 }) < 40 { try await cloud.sleep(.milliseconds(50)) }
                #expect(led.withLock { $0 } == 0)
                #expect(await station.numbers.servers == 4)
                #expect(try Membership.load(from: stores.files) == membership)
                group.cancelAll()
            }
        }
    }

    @Test("A communication server takes no forged list from those who report to it")
    func forgedAtTheServer() throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await operating.attach().center)
            var generator = SeededGenerator(seed: 6)
            let lie = try SignedRecord(CommunicationServers(number: 9, servers: [Self.newPlace]), signedBy: SigningKeyPair(using: &generator))
            let stranger = cloud.network.host(StaticKeyPair(using: &generator), port: 70)
            let control = stranger.client(at: cloud.operatorProfile.communicationServer, peerKey: cloud.operatorProfile.communicationServerKey)
            // The record is the center's; the key is not.
            _ = try? await control.call(
                ControlMethods.register,
                RegisterRequest(
                    record: cloud.membership.record, incarnation: 1, replicas: [], load: NodeLoad(), releases: nil, servers: lie,
                    numbers: StateNumbers(servers: 9)))
            let again = cloud.client(cloud.operatorProfile, port: 51)
            let reply = try await again.attach()
            #expect(reply.servers == cloud.membership.servers && reply.center?.nodeID == center.nodeID)
        }
    }

    @Test("Only operators move the cloud")
    func rights() throws {
        let cloud = try SmallCloud(stations: 0)
        try cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await operating.attach().center)
            let ada = cloud.client(try await cloud.user("ada", asked: operating, at: center), port: 51)
            _ = try await ada.attach()
            let request = SetCommunicationServers(servers: [.init(address: "127.0.0.1:3", key: Self.newPlace.key.description)])
            for options in [CallOptions(), try await ada.asOperator(center)] {
                let refused = await #expect(throws: RPCError.self) {
                    try await ada.node(center).call(AdminMethods.setCommunicationServers, request, options: options)
                }
                #expect(refused?.code == .permissionDenied || refused?.code == .unauthenticated)
            }
            for bad in [[], [SetCommunicationServers.Server(address: "nowhere", key: "x")]] {
                let refused = await #expect(throws: RPCError.self) {
                    try await operating.node(center).call(
                        AdminMethods.setCommunicationServers, SetCommunicationServers(servers: bad), options: try await operating.asOperator(center))
                }
                #expect(refused?.code == .invalidArgument)
            }
        }
    }
}
