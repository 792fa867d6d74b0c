import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport
import Synchronization
import Testing

/// How a right ends: of a user, and of a station.
@Suite struct RevocationTests {
    private let upper = Array("uppr".utf8)
    private let once = CallOptions(deadline: .in(.seconds(1)), maxAttempts: 1)

    private func register(_ keys: NodeKeys, _ record: SignedRecord<NodeRecord>, _ robbed: RobbedCloud, port: UInt16) async -> RPCError? {
        let host = robbed.cloud.network.host(keys.identity, port: port)
        let control = host.client(at: robbed.ada.communicationServer, peerKey: robbed.ada.communicationServerKey)
        do throws(RPCError) {
            _ = try await control.call(
                ControlMethods.register,
                RegisterRequest(record: record, incarnation: 9, replicas: [], load: NodeLoad(), releases: nil, numbers: StateNumbers()))
            return nil
        } catch { return error }
    }

    @Test func `a removed station serves, issues and is placed nothing within one heartbeat, and cannot come back`() throws {
        try RobbedCloud.with { robbed in
            let client = robbed.cloud.client(robbed.ada, port: 80)
            _ = try await client.attach()
            let key = robbed.ada.identity.publicKey
            let placement = try await client.lookup("upper")
            let station = try #require(placement.candidates.first { $0.role == .station })
            let ticket = try robbed.ticket(robbed.adaRecord, for: key)
            client.ticket.withLock { $0 = ticket }
            #expect(try await client.run("upper", "a", on: robbed.center, id: "1").output == ByteString("A"))
            #expect(try await client.run("upper", "b", on: station, id: "2").output == ByteString("B"))

            _ = try await robbed.operating.node(robbed.center).call(
                AdminMethods.removeStation, RemoveStation(station: "station-0", staysListed: true),
                options: try await robbed.operating.asOperator(robbed.center))
            try await robbed.cloud.sleep(.milliseconds(100))

            // Placed nothing, and not listed.
            let status = try await robbed.operating.control.call(ControlMethods.status, Nothing())
            #expect(status.nodes.map(\.role) == [.center] && status.revocationNumber == 1)
            #expect(try await robbed.operating.lookup("upper").candidates.map(\.name) == ["center"])
            // Issues nothing that counts: neither to a node, nor to the communication server.
            #expect(await refusal { _ = try await client.run("upper", "c", on: robbed.center, id: "3") } == .ticketNeeded)
            #expect(await refusal { _ = try await client.run("upper", "c", on: robbed.center, id: "4", withTicket: false) } == .ticketNeeded)
            let old = AttachRequest(proof: nil, ticket: ticket)
            #expect(await refusal { _ = try await client.control.call(ControlMethods.attach, old) } == .ticketNeeded)
            // Serves nothing: nothing is forwarded to it.
            let request = RunRequest(application: "upper", input: ByteString("d"), runID: RunID(rawValue: "5"), ticket: ticket)
            await #expect(throws: RPCError.self) { _ = try await client.node(station).call(RunMethods.run, request, options: once) }
            // And it knows, if anybody gets to it on another way.
            let direct = client.host.client(at: .loopback(port: 10), peerKey: robbed.stationKeys.identity.publicKey)
            #expect(await refusal { _ = try await direct.call(RunMethods.run, request) } == .stopping)
            // Its keys are worth nothing any more, with or without a new token.
            #expect(await register(robbed.stationKeys, robbed.stationRecord, robbed, port: 81)?.code == .permissionDenied)
            let made = try await robbed.operating.node(robbed.center).call(
                AdminMethods.makeJoinToken, MakeJoinToken(), options: try await robbed.operating.asOperator(robbed.center))
            let host = robbed.cloud.network.host(robbed.stationKeys.identity, port: 82)
            let rejoined = await #expect(throws: RPCError.self) {
                _ = try await Membership.join(JoinToken(text: made.token), name: "station-0", keys: robbed.stationKeys, addresses: [], host: host)
            }
            #expect(rejoined?.code == .permissionDenied)
            // Whoever has its own proof goes on.
            let attached = try await client.attach()
            #expect(attached.revocations != nil)
            #expect(try await client.run("upper", "e", on: robbed.center, id: "6").output == ByteString("E"))
        }
    }

    @Test func `a run that a removed station still has is answered elsewhere, and clients hear why`() throws {
        let cloud = try SmallCloud(stations: 2)
        try cloud.whileServing { cloud in
            let host = cloud.network.host(cloud.operatorProfile.identity, port: 60)
            let wire = RPCWire(
                host: host, communicationServer: cloud.operatorProfile.communicationServer, key: cloud.operatorProfile.communicationServerKey)
            let client = CloudClient(wire: wire, profile: cloud.operatorProfile, pool: MemoryPool(), entropy: SeededGenerator(seed: 3))
            try await client.whileListening { client in
                _ = try await client.pushApplication(Array("long".utf8), name: "long")
                let (a, _) = try await cloud.station(0)
                let (b, _) = try await cloud.station(1)
                try await withThrowingTaskGroup(of: Void.self) { group in
                    for node in [a, b] { group.addTask { try? await node.run() } }
                    while try await client.status().nodes.count(where: { $0.role == .station && !$0.replicas.isEmpty }) < 2 {
                        try await cloud.sleep(.milliseconds(20))
                    }
                    let first = try #require(try await client.run("long", input: Array("x".utf8)).servedBy)
                    #expect(first.role == .station)
                    async let running = client.run("long", input: Array("y".utf8))
                    try await cloud.sleep(.milliseconds(20))
                    _ = try await client.removeStation(first.name, staysListed: false)
                    let second = try await running
                    #expect(second.output == Array("Y".utf8) && second.servedBy?.nodeID != first.nodeID, "\(second.timeline)")
                    for _ in 0..<5 { #expect(try await client.run("long", input: Array("z".utf8)).servedBy?.nodeID != first.nodeID) }
                    #expect(try await client.centerStatus().stations.count == 1)
                    #expect(client.statistics.failed == 0)
                    group.cancelAll()
                }
            }
        }
    }

    @Test func `a station with a full disk still refuses whom the center revoked, and says what ails it`() throws {
        let cloud = try SmallCloud(stations: 1)
        let disk = FillableStore()
        let stores = StationStores(files: disk, users: MemoryBlobStore(), replicas: MemoryBlobStore())
        try cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await operating.attach().center)
            _ = try await operating.push("upper", upper, to: center)
            let ada = try await operating.node(center).call(AdminMethods.addUser, AddUser(name: "ada"), options: try await operating.asOperator(center))
                .profile.opened()
            let (station, port) = try await cloud.station(0, stores: stores)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                _ = try await operating.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                while await station.numbers.users < 2 { try await cloud.sleep(.milliseconds(10)) }
                let client = cloud.client(ada, port: 51)
                _ = try await client.attach()
                let candidate = try #require(try await client.lookup("upper").candidates.first { $0.role == .station })
                #expect(try await client.run("upper", "a", on: candidate, id: "before").output == ByteString("A"))

                disk.isFull.withLock { $0 = true }
                // A release whose write fails stands before the revocation.
                _ = try await operating.push("other", Array("uppr2".utf8), to: center)
                _ = try await operating.node(center).call(AdminMethods.removeUser, RemoveUser(name: "ada"), options: try await operating.asOperator(center))
                try await cloud.sleep(.milliseconds(150))
                #expect(await station.numbers.revocations == 1)
                // The communication server has cut her off; she knows where the station is.
                let again = cloud.client(ada, port: 53)
                let direct = again.host.client(at: .loopback(port: port), peerKey: try candidate.record.unverified().transportKey)
                let ticket = client.ticket.withLock { $0 }
                for number in 0..<5 {
                    let request = RunRequest(application: "upper", input: ByteString("a"), runID: RunID(rawValue: "after-\(number)"), ticket: ticket)
                    #expect(await refusal { _ = try await direct.call(RunMethods.run, request) } == .ticketNeeded)
                    let refused = await #expect(throws: RPCError.self) { _ = try await again.attach() }
                    #expect(refused?.code == .unauthenticated)
                }
                let status = try await operating.wait { $0.nodes.contains { !$0.health.troubles.isEmpty } }
                #expect(status.nodes.flatMap(\.health.troubles).contains { $0.hasPrefix("the list of revocations, which counts already, cannot be stored: the disk is full") })
                #expect(disk.memory.read("revocations") == nil)
                disk.isFull.withLock { $0 = false }
                _ = try await operating.wait { $0.nodes.allSatisfy { !$0.health.troubles.contains { $0.hasPrefix("the list of revocations") } } }
                #expect(disk.memory.read("revocations") != nil)
                group.cancelAll()
            }
        }
    }

    /// Where the list is when the center has gone for good.
    enum Holder: CaseIterable { case serverMemory, serverDisk, sibling }

    @Test(arguments: Holder.allCases) func `a station that was down when a user was revoked hears it without the center`(holder: Holder) throws {
        let cloud = try SmallCloud(stations: 2)
        let stores = [StationStores.inMemory(), .inMemory()]
        try cloud.run { cloud in
            try await withThrowingTaskGroup(of: Void.self) { outer in
                outer.addTask { try? await cloud.server.run() }
                let operating = cloud.client(cloud.operatorProfile, port: 50)
                var ada = cloud.operatorProfile
                var ticket: SignedRecord<Ticket>?
                try await withThrowingTaskGroup(of: Void.self) { group in
                    try await cloud.startCenter(in: &group)
                    let center = try #require(try await operating.attach().center)
                    _ = try await operating.push("upper", upper, to: center)
                    ada = try await operating.node(center).call(AdminMethods.addUser, AddUser(name: "ada"), options: try await operating.asOperator(center))
                        .profile.opened()
                    let (early, port) = try await cloud.station(0, stores: stores[0])
                    let (late, _) = try await cloud.station(1, stores: stores[1])
                    group.addTask { try? await early.run() }
                    outer.addTask { try? await late.run() }
                    _ = try await operating.wait { $0.nodes.count { $0.role == .station && !$0.replicas.isEmpty } == 2 }
                    while await early.numbers.users < 2 { try await cloud.sleep(.milliseconds(10)) }
                    let client = cloud.client(ada, port: 51)
                    ticket = try await client.attach().ticket
                    // The first station goes down, and with it what it could have heard.
                    cloud.network.unplug(port: port)
                    try await cloud.sleep(.milliseconds(500))
                    _ = try await operating.node(center).call(AdminMethods.removeUser, RemoveUser(name: "ada"), options: try await operating.asOperator(center))
                    try await cloud.sleep(.milliseconds(150))
                    cloud.network.unplug(port: 2)
                    cloud.network.unplug(port: 51)
                    group.cancelAll()
                }
                switch holder {
                case .serverMemory: break
                case .serverDisk, .sibling:
                    let server = cloud.restartedServer(files: holder == .sibling ? MemoryBlobStore() : nil)
                    outer.addTask { try? await server.run() }
                }
                if holder == .sibling {
                    // It registers with its list before it leaves for good.
                    operating.control.close(reason: "test")
                    while (try? await operating.attach()) == nil { try await cloud.sleep(.milliseconds(20)) }
                    _ = try await operating.wait { $0.revocationNumber == 1 }
                }
                cloud.network.unplug(port: 11)
                try await cloud.sleep(.seconds(1))

                let (station, _) = try await cloud.station(0, stores: stores[0])
                outer.addTask { try? await station.run() }
                operating.control.close(reason: "test")
                while (try? await operating.attach()) == nil { try await cloud.sleep(.milliseconds(20)) }
                _ = try await operating.wait { status in status.nodes.contains { $0.role == .station && $0.isUp } && !status.nodes.contains { $0.isUp && $0.isBehind } }
                #expect(await station.numbers.revocations == 1)
                let client = cloud.client(ada, port: 53)
                let fresh = await #expect(throws: RPCError.self) { _ = try await client.attach() }
                #expect(fresh?.code == .unauthenticated)
                let old = await refusal { _ = try await client.control.call(ControlMethods.attach, AttachRequest(proof: nil, ticket: ticket)) }
                #expect(old == .ticketNeeded)
                // Whose right stands is served by the same station.
                let candidate = try #require(try await operating.lookup("upper").candidates.first)
                #expect(try await operating.run("upper", "alone", on: candidate, id: "r").output == ByteString("ALONE"))
                outer.cancelAll()
            }
        }
    }

    @Test func `a renamed station keeps its place, and its new name after a restart`() throws {
        let cloud = try SmallCloud(stations: 2)
        let stores = StationStores.inMemory()
        try cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await operating.attach().center)
            let (a, _) = try await cloud.station(0, stores: stores)
            let (b, _) = try await cloud.station(1)
            try await withThrowingTaskGroup(of: Void.self) { group in
                for node in [a, b] { group.addTask { try? await node.run() } }
                _ = try await operating.wait { $0.nodes.count == 3 }
                let renamed = try await operating.node(center).call(
                    AdminMethods.renameStation, RenameStation(station: "station-0", name: "roof"), options: try await operating.asOperator(center))
                let status = try await operating.wait { $0.nodes.contains { $0.name == "roof" } }
                #expect(status.nodes.first { $0.name == "roof" }?.nodeID == renamed.nodeID && status.nodes.allSatisfy(\.isUp))
                while try Membership.load(from: stores.files)?.record.unverified().name != "roof" { try await cloud.sleep(.milliseconds(10)) }
                group.cancelAll()
            }
        }
    }

    @Test func `a center that runs twice changes nothing until one of them ends`() throws {
        let cloud = try SmallCloud(stations: 0)
        try cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            _ = try await operating.attach()
            @Sendable func add(_ name: String) async -> StatusCode? {
                // Whichever of the two is there at the moment.
                for _ in 0..<20 {
                    do {
                        guard let now = try await operating.attach().center else { continue }
                        let options = try await operating.asOperator(now)
                        _ = try await operating.node(now).call(AdminMethods.addUser, AddUser(name: name), options: options)
                        return nil
                    } catch let error as RPCError {
                        if error.code == .failedPrecondition { return error.code }
                        try? await cloud.sleep(.milliseconds(50))
                    } catch {}
                }
                return .unknown
            }
            #expect(await add("ada") == nil)
            try await withThrowingTaskGroup(of: Void.self) { group in
                // A copy of the folder, as it was before.
                try await cloud.startCenter(in: &group, port: 91)
                _ = try await operating.wait { $0.nodes.contains { $0.role == .center && $0.runsTwice } }
                #expect(await add("bob") == .failedPrecondition)
                group.cancelAll()
            }
            cloud.network.unplug(port: 91)
            try await cloud.sleep(.seconds(15))
            #expect(await add("bob") == nil)
        }
    }

    @Test func `two processes of one station are shown, and a restarted one is not`() throws {
        let cloud = try SmallCloud(stations: 1)
        let stores = StationStores.inMemory()
        try cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            _ = try await operating.attach()
            let (first, port) = try await cloud.station(0, stores: stores)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try? await first.run() }
                _ = try await operating.wait { $0.nodes.contains { $0.role == .station && $0.isUp } }
                cloud.network.unplug(port: port)
                let (again, _) = try await cloud.station(0, stores: stores)
                group.addTask { try? await again.run() }
                try await cloud.sleep(.seconds(3))
                let calm = try await operating.wait { $0.nodes.contains { $0.role == .station && $0.isUp } }
                #expect(calm.nodes.allSatisfy { !$0.runsTwice })
                let (copy, _) = try await cloud.station(0, stores: stores, port: 90)
                group.addTask { try? await copy.run() }
                _ = try await operating.wait { $0.nodes.contains { $0.role == .station && $0.runsTwice } }
                group.cancelAll()
            }
        }
    }
}

/// A disk that can be full.
final class FillableStore: BlobStore {
    let memory = MemoryBlobStore()
    let isFull = Mutex(false)

    func read(_ name: String) -> [UInt8]? { memory.read(name) }
    func write(_ name: String, _ bytes: [UInt8]) throws {
        guard !isFull.withLock({ $0 }) else { throw StorageError(.full, "the disk is full: no space left on device") }
        memory.write(name, bytes)
    }
    func remove(_ name: String) { memory.remove(name) }
    func names() -> [String] { memory.names() }
    func size(_ name: String) -> Int? { memory.size(name) }
}
