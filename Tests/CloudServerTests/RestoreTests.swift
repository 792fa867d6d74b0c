import MastCloudClient
import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport
import Testing

/// A center that comes back from a copy of itself, in a cloud that has gone on.
@Suite struct RestoreTests {
    private struct Scene: Sendable {
        let cloud: SmallCloud
        let operating: TestClient
        let stations: [BaseStationNode]
        /// The center's disk before ada and "late" came and bob went.
        let copy: MemoryCenterStore
        let ada, bob, carl: OpenedProfile

        func center() async throws -> Candidate { try #require(try await operating.attach().center) }

        func call<Q: Sendable, R: Sendable>(_ method: Unary<Q, R>, _ request: Q) async throws -> R {
            let center = try await center()
            return try await operating.node(center).call(method, request, options: try await operating.asOperator(center))
        }
    }

    /// Bob, carl and "early" are in the copy. Then ada and "late" come and bob goes, and the center dies. `body` starts the next one.
    private func withLostCenter(
        _ body: @Sendable @escaping (Scene, inout ThrowingTaskGroup<Void, any Error>) async throws -> Void
    ) throws {
        let cloud = try SmallCloud(stations: 2)
        try cloud.run { cloud in
            try await withThrowingTaskGroup(of: Void.self) { outer in
                outer.addTask { try? await cloud.server.run() }
                let operating = cloud.client(cloud.operatorProfile, port: 50)
                let scene = try await withThrowingTaskGroup(of: Void.self) { group in
                    try await cloud.startCenter(in: &group)
                    let center = try #require(try await operating.attach().center)
                    let bob = try await cloud.user("bob", asked: operating, at: center)
                    let carl = try await cloud.user("carl", asked: operating, at: center)
                    _ = try await operating.push("early", Array("uppr".utf8), to: center)
                    let copy = try #require(cloud.centerStore as? MemoryCenterStore).copy()
                    let ada = try await cloud.user("ada", asked: operating, at: center)
                    _ = try await operating.push("late", Array("uppr2".utf8), to: center)
                    let stations = [try await cloud.station(0).node, try await cloud.station(1).node]
                    for station in stations { outer.addTask { try? await station.run() } }
                    _ = try await operating.node(center).call(AdminMethods.removeUser, RemoveUser(name: "bob"), options: try await operating.asOperator(center))
                    let all = StateNumbers(releases: 2, users: 5, revocations: 1)
                    _ = try await operating.wait { $0.nodes.count { !$0.numbers.isBehind(all) && ($0.role == .center || $0.replicas.count == 2) } == 3 }
                    cloud.network.unplug(port: 2)
                    group.cancelAll()
                    // Whoever operates from now on has no connection to the dead center.
                    let next = cloud.client(cloud.operatorProfile, port: 52)
                    return Scene(cloud: cloud, operating: next, stations: stations, copy: copy, ada: ada, bob: bob, carl: carl)
                }
                try await cloud.sleep(.seconds(1))
                try await body(scene, &outer)
                outer.cancelAll()
            }
        }
    }

    private func registry(_ scene: Scene) throws -> CenterRegistry {
        try CenterRegistry(keys: scene.cloud.keys, membership: scene.cloud.membership, store: scene.copy)
    }

    /// An operator's call that is refused since others hold newer state.
    private func refusedAsOld(_ body: () async throws -> Void) async -> Bool {
        do {
            try await body()
            return false
        } catch let error as RPCError {
            return error.code == .failedPrecondition && error.effect == .none && error.message.contains("mast center adopt")
        } catch { return false }
    }

    @Test func `an old database put back by hand changes nothing, and says what to do`() throws {
        try withLostCenter { scene, group in
            try await scene.cloud.startCenter(in: &group, store: scene.copy)
            let center = try await scene.center()
            #expect(await refusedAsOld { _ = try await scene.operating.push("third", Array("uppr3".utf8), to: center) })
            #expect(await refusedAsOld { _ = try await scene.call(AdminMethods.removeApplication, RemoveApplication(name: "early")) })
            #expect(await refusedAsOld { _ = try await scene.call(AdminMethods.addUser, AddUser(name: "dan")) })
            #expect(await refusedAsOld { _ = try await scene.call(AdminMethods.removeUser, RemoveUser(name: "carl")) })
            #expect(await refusedAsOld { _ = try await scene.call(AdminMethods.removeStation, RemoveStation(station: "station-0", staysListed: true)) })
            #expect(await refusedAsOld { _ = try await scene.call(AdminMethods.makeJoinToken, MakeJoinToken()) })
            let state = scene.copy.load()
            #expect(try state.releases?.unverified().number == 1 && state.users.count == 3 && !state.stations.contains { $0.isRevoked })
            // It shows that it is old, and has at once taken back whom it once revoked.
            let status = try await scene.operating.wait { $0.nodes.contains { $0.role == .center && !$0.health.troubles.isEmpty } }
            #expect(status.nodes.first { $0.role == .center }?.health.troubles.contains { $0.contains("older copy") } == true)
            #expect(state.users.filter(\.isRevoked).map(\.name) == ["bob"])
            #expect(try await scene.operating.run("early", "a", on: center, id: "1").output == ByteString("A"))
        }
    }

    @Test func `after a new epoch began, pushes and removals take effect everywhere though the counts went back`() throws {
        try withLostCenter { scene, group in
            var restored = try registry(scene)
            try restored.raiseEpoch(at: scene.cloud.simulation.time.wallTime)
            #expect(restored.numbers.releases.count == 2 && restored.numbers.users.count == 3 && restored.numbers.releases > 2)
            try await scene.cloud.startCenter(in: &group, store: scene.copy)
            let center = try await scene.center()
            // Stations that the copy lacks are taken back from their own records.
            while try await scene.call(AdminMethods.status, Nothing()).stations.count < 2 { try await scene.cloud.sleep(.milliseconds(20)) }
            let pushed = try await scene.operating.push("third", Array("uppr3".utf8), to: center)
            let removed = try await scene.call(AdminMethods.removeUser, RemoveUser(name: "carl"))
            #expect(pushed.effect.stations.count == 2 && removed.numbers.revocations.epoch == restored.numbers.releases.epoch)
            let status = try await scene.operating.wait { status in
                status.nodes.count { !$0.numbers.isBehind(removed.numbers) } == 3 && status.nodes.allSatisfy { $0.role == .center || $0.replicas.count == 2 }
            }
            #expect(ChangeConfirmation(removed, status).confirmed.count == 2 && ChangeConfirmation(removed, status).isSettled)
            #expect(status.applications.map(\.name) == ["early", "third"])
            for node in scene.stations { #expect(await node.numbers == removed.numbers) }
            // The stations' lists: carl, and bob whom the copy knew nothing of.
            #expect(scene.copy.load().users.filter(\.isRevoked).map(\.name).sorted() == ["bob", "carl"])
            for (profile, port) in [(scene.bob, UInt16(60)), (scene.carl, 61), (scene.ada, 62)] {
                let client = scene.cloud.client(profile, port: port)
                let refused = await #expect(throws: RPCError.self) { _ = try await client.attach() }
                #expect(refused?.code == .unauthenticated)
            }
            let runner = try #require(status.nodes.first { $0.role == .station })
            let placement = try await scene.operating.lookup("third")
            let station = try #require(placement.candidates.first { $0.nodeID == runner.nodeID })
            #expect(try await scene.operating.run("third", "b", on: station, id: "2").output == ByteString("B"))
            // What the copy lacks is named.
            let troubles = status.nodes.first { $0.role == .center }?.health.troubles ?? []
            #expect(troubles.contains { $0.contains("lacks 1 releases") && $0.contains("late 1") }, "\(troubles)")
            #expect(troubles.contains { $0.contains("lacks the last 2 changes of users") }, "\(troubles)")
        }
    }

    @Test func `a revocation that only a station holds survives center and communication server`() throws {
        try withLostCenter { scene, group in
            // The copy goes on in its own epoch, without ever having heard of the others.
            var restored = try registry(scene)
            try restored.raiseEpoch(at: scene.cloud.simulation.time.wallTime)
            let server = scene.cloud.restartedServer(files: MemoryBlobStore())
            group.addTask { try? await server.run() }
            try await scene.cloud.startCenter(in: &group, store: scene.copy)
            while (try? await scene.operating.attach()) == nil { try await scene.cloud.sleep(.milliseconds(50)) }
            _ = try await scene.operating.wait { status in status.nodes.count { $0.isUp && !$0.isBehind && $0.numbers.revocations.count == 2 } == 3 }
            #expect(scene.copy.load().users.filter(\.isRevoked).map(\.name) == ["bob"])
            let client = scene.cloud.client(scene.bob, port: 60)
            let refused = await #expect(throws: RPCError.self) { _ = try await client.attach() }
            #expect(refused?.code == .unauthenticated)
        }
    }

    @Test func `two restores of one copy are two epochs, and the later one counts`() throws {
        let cloud = try TestCloud()
        let store = MemoryCenterStore()
        var registry = try cloud.registry(store)
        var generator = SeededGenerator(seed: 3)
        _ = try registry.addUser(AddUser(name: "op", isOperator: true), at: noon, using: &generator)
        let copy = store.copy()
        var first = try cloud.registry(store)
        try first.raiseEpoch(at: noon)
        for name in ["a", "b", "c"] { _ = try first.addUser(AddUser(name: name), at: noon, using: &generator) }
        var second = try cloud.registry(copy)
        try second.raiseEpoch(at: noon + .seconds(60))
        #expect(first.numbers.isBehind(second.numbers) && !second.numbers.isBehind(first.numbers))
        #expect(first.numbers.users.count == 4 && second.numbers.users.count == 1)
        // A clock in 1970 still rises above what is known: this center's own epoch, and what it heard.
        var slow = try cloud.registry(copy)
        try slow.hear(StateNumbers(users: StateNumber(epoch: 1 << 40, count: 1)))
        #expect(throws: CenterError.self) { _ = try slow.addUser(AddUser(name: "ada"), at: noon, using: &generator) }
        try slow.raiseEpoch(at: WallTime(milliseconds: 0))
        #expect(slow.numbers.users.epoch == (1 << 40) + 1)
        #expect(try cloud.registry(copy).numbers == slow.numbers)
        // Nobody can use up the epochs by claiming a high one.
        var lied = try cloud.registry(copy)
        try lied.hear(StateNumbers(users: StateNumber(epoch: .max, count: .max)))
        try lied.raiseEpoch(at: noon)
        try lied.raiseEpoch(at: noon)
        #expect(lied.numbers.users.epoch == (1 << 62) + 2)
        // A station of another epoch gets all users, and the number is the root's word.
        let reply = try lied.changes(since: first.numbers)
        #expect(reply.users.count == 1 && reply.isComplete)
        #expect(try reply.usersNumber?.verified(by: cloud.keys.root.publicKey).number == lied.numbers.users)
    }

    @Test func `the last operator cannot be removed`() throws {
        var cloud = try TestCloud()
        var registry = try cloud.registry(MemoryCenterStore())
        _ = try registry.addUser(AddUser(name: "op", isOperator: true), at: noon, using: &cloud.generator)
        _ = try registry.addUser(AddUser(name: "ada"), at: noon, using: &cloud.generator)
        #expect(throws: CenterError.lastOperator("op")) { try registry.removeUser("op") }
        _ = try registry.addUser(AddUser(name: "second", isOperator: true), at: noon, using: &cloud.generator)
        try registry.removeUser("op")
        #expect(throws: CenterError.lastOperator("second")) { try registry.removeUser("second") }
        #expect(registry.status.users.filter(\.isRevoked).map(\.name) == ["op"])
    }
}
