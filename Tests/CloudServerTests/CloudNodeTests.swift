import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport
import Testing

@Suite struct CloudNodeTests {
    private let upper = Array("uppr".utf8) + [UInt8](repeating: 7, count: 700_000)

    @Test func `an application that is pushed runs at a station that joined by token, and again from memory`() throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.whileServing { cloud in
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
                #expect(await refusal { _ = try await client.run("upper", "other", on: placement.candidates[0], id: "r1") } == .runIDInUse)
                // The node remembers the ticket.
                let second = try await client.run("upper", "x", on: placement.candidates[0], id: "r2", withTicket: false)
                #expect(second.output == ByteString("X"))
                let far = try await client.run("upper", "far", on: placement.candidates[1], id: "r3")
                #expect(far.output == ByteString("FAR") && far.nodeName == "center")
                group.cancelAll()
            }
        }
    }

    @Test func `a station without the replica fills it while the run waits`() throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.whileServing { cloud in
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

    @Test func `a killed station is reported, and reported back after its restart with its disk`() throws {
        let cloud = try SmallCloud(stations: 1)
        let stores = StationStores.inMemory()
        try cloud.whileServing { cloud in
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

    @Test func `while the center is away a station says who a client is`() throws {
        let cloud = try SmallCloud(stations: 1)
        let stores = StationStores.inMemory()
        try cloud.run { cloud in
            try await withThrowingTaskGroup(of: Void.self) { servers in
                servers.addTask { try await cloud.server.run() }
                let operating = cloud.client(cloud.operatorProfile, port: 50)
                var profile = cloud.operatorProfile
                try await withThrowingTaskGroup(of: Void.self) { group in
                    try await cloud.startCenter(in: &group)
                    let (station, port) = try await cloud.station(0, stores: stores)
                    group.addTask { try await station.run() }
                    let center = try #require(try await operating.attach().center)
                    _ = try await operating.push("upper", upper, to: center)
                    profile = try await operating.node(center).call(
                        AdminMethods.addUser, AddUser(name: "ada"), options: try await operating.asOperator(center)
                    ).profile.opened()
                    _ = try await operating.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                    while await station.numbers.users < 2 { try await cloud.sleep(.milliseconds(10)) }
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
                    let fresh = cloud.client(profile, port: 51)
                    let attached = try await fresh.attach()
                    #expect(attached.center == nil && attached.userName == "ada")
                    let placement = try await fresh.lookup("upper")
                    let result = try await fresh.run("upper", "alone", on: placement.candidates[0], id: "r1")
                    #expect(result.output == ByteString("ALONE"))
                    group.cancelAll()
                }
                servers.cancelAll()
            }
        }
    }

    @Test func `rights are checked`() throws {
        let cloud = try SmallCloud(stations: 0)
        try cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await operating.attach().center)
            for name in ["upper", "trap"] { _ = try await operating.push(name, Array((name == "trap" ? "trap" : "uppr").utf8), to: center) }
            let added = try await operating.node(center).call(
                AdminMethods.addUser, AddUser(name: "ada", applications: ["upp*"]), options: try await operating.asOperator(center))
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
            #expect(await refusal { _ = try await ada.run("upper", "a", on: candidate, id: "4") } == .ticketNeeded)
            let error = await #expect(throws: RPCError.self) {
                _ = try await ada.control.call(ControlMethods.announce, Announcement(numbers: StateNumbers(), releases: nil))
            }
            #expect(error?.code == .failedPrecondition)
            let trapped = try await operating.run("trap", "a", on: candidate, id: "3")
            #expect(trapped.trap?.kind == "unreachable" && trapped.output == nil)
            #expect(await refusal { _ = try await operating.lookup("missing") } == .unknownApplication)
            #expect(await refusal { _ = try await operating.run("upper", "a", on: candidate, id: "no id!") } == .badRequest)

            // A removed user's ticket is refused at once where the removal is known.
            _ = try await operating.node(center).call(AdminMethods.removeUser, RemoveUser(name: "ada"), options: try await operating.asOperator(center))
            let again = cloud.client(try added.profile.opened(), port: 52)
            let refused = await #expect(throws: RPCError.self) { _ = try await again.attach() }
            #expect(refused?.code == .unauthenticated)
        }
    }

    @Test func `a stranger's key is told that nobody knows it`() throws {
        let cloud = try SmallCloud(stations: 0)
        try cloud.whileServing { cloud in
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

    @Test func `a method that nobody has is unimplemented at every role, one for others is not this peer's`() throws {
        let cloud = try SmallCloud(stations: 1)
        try cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await operating.attach().center)
            _ = try await operating.push("upper", Array("uppr".utf8), to: center)
            let (station, _) = try await cloud.station(0)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                _ = try await operating.wait { $0.nodes.contains { $0.role == .station && !$0.replicas.isEmpty } }
                let candidate = try #require(try await operating.lookup("upper").candidates.first { $0.role == .station })
                let unknown = Unary<Nothing, Nothing>("mast.v1.Nobody/nothing", .readOnly)
                for client in [operating.control, try operating.node(center), try operating.node(candidate)] {
                    let error = await #expect(throws: RPCError.self) { try await client.call(unknown, Nothing()) }
                    #expect(error?.code == .unimplemented && error?.effect == Effect.none)
                }
                // A station has it, and it is the communication server's.
                let error = await #expect(throws: RPCError.self) {
                    try await operating.node(candidate).call(StationMethods.announce, Announcement(numbers: StateNumbers(), releases: nil))
                }
                #expect(error?.code == .permissionDenied)
                group.cancelAll()
            }
        }
    }
}
