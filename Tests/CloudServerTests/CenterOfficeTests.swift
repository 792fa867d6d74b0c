import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport
import Testing

@Suite struct CenterOfficeTests {
    private func stores(_ folder: TemporaryFolder) throws -> [any CenterStore] {
        [MemoryCenterStore(), try SQLiteCenterStore(path: folder.path + "/center.sqlite")]
    }

    @Test func `a token admits one station, and the same one again`() throws {
        let folder = TemporaryFolder()
        for store in try stores(folder) {
            var cloud = try TestCloud()
            var office = try cloud.office(store)
            let token = try office.makeJoinToken(at: noon, using: &cloud.generator)
            let (a, b) = (NodeKeys(using: &cloud.generator), NodeKeys(using: &cloud.generator))
            let signed = try office.admit(joinRequest(token, a), at: noon)
            let record = try signed.verified(by: cloud.keys.root.publicKey)
            #expect(record.name == "station-a" && record.transportKey == a.identity.publicKey && record.role == .station)
            #expect(try office.admit(joinRequest(token, a), at: noon) == signed)
            #expect(throws: TrustError.alreadyUsed("join token")) { try office.admit(joinRequest(token, b), at: noon) }
            // The center forgets nothing of this when it restarts.
            var restarted = try cloud.office(store)
            #expect(try restarted.admit(joinRequest(token, a), at: noon) == signed)
            #expect(throws: TrustError.alreadyUsed("join token")) { try restarted.admit(joinRequest(token, b), at: noon) }
            #expect(restarted.status.stations.map(\.address) == ["10.0.0.7:5000"])
        }
    }

    @Test func `a station is refused with a late, unknown, altered or borrowed request`() throws {
        var cloud = try TestCloud()
        var office = try cloud.office(MemoryCenterStore())
        let token = try office.makeJoinToken(lifetime: .seconds(60), at: noon, using: &cloud.generator)
        let keys = NodeKeys(using: &cloud.generator)
        let late = noon + .seconds(61)
        #expect(throws: TrustError.expired(of: "join token", at: token.notAfter)) { try office.admit(joinRequest(token, keys), at: late) }
        var altered = joinRequest(token, keys)
        altered.request.name = "station-b"
        #expect(throws: TrustError.wrongSignature(of: "join request")) { try office.admit(altered, at: noon) }
        var borrowed = joinRequest(token, keys)
        borrowed.peerKey = ByteString(cloud.communicationServer.identity.publicKey.bytes)
        #expect(throws: TrustError.wrongKey(of: "join request")) { try office.admit(borrowed, at: noon) }
        var other = try TestCloud()
        other.generator = SeededGenerator(seed: 99)
        var stranger = try other.office(MemoryCenterStore())
        let foreign = try stranger.makeJoinToken(at: noon, using: &other.generator)
        #expect(throws: TrustError.unknown("join token")) { try office.admit(joinRequest(foreign, keys), at: noon) }
        #expect(office.status.stations.isEmpty)
    }

    @Test func `a user's profile proves who they are until they are removed`() throws {
        let folder = TemporaryFolder()
        for store in try stores(folder) {
            var cloud = try TestCloud()
            var office = try cloud.office(store)
            let profile = try office.addUser(AddUser(name: "ada"), at: noon, using: &cloud.generator).opened()
            let hash = [UInt8](repeating: 1, count: 32)
            let query = IdentityQuery(
                proof: try profile.proof(handshakeHash: hash), handshakeHash: ByteString(hash),
                clientKey: ByteString(profile.identity.publicKey.bytes))
            let ticket = try office.ticket(for: query, at: noon).verified(
                root: cloud.keys.root.publicKey, clientKey: profile.identity.publicKey, at: CloudTime(own: noon))
            #expect(ticket.userName == "ada" && !ticket.grants.mayOperate)
            let duplicate = #expect(throws: RPCError.self) { try office.addUser(AddUser(name: "ada"), at: noon, using: &cloud.generator) }
            #expect(duplicate?.code == .alreadyExists)
            var moved = query
            moved.handshakeHash = ByteString([UInt8](repeating: 2, count: 32))
            #expect(throws: RPCError.self) { try office.ticket(for: moved, at: noon) }

            try office.removeUser("ada")
            let refused = #expect(throws: RPCError.self) { try office.ticket(for: query, at: noon) }
            #expect(refused?.code == .unauthenticated)
            #expect(throws: RPCError.self) { try cloud.office(store).ticket(for: query, at: noon) }
            // The name is free again, for somebody else.
            _ = try office.addUser(AddUser(name: "ada"), at: noon, using: &cloud.generator)
        }
    }

    @Test func `a station that was removed is on the list for good, and renamed ones keep their keys`() throws {
        let folder = TemporaryFolder()
        for store in try stores(folder) {
            var cloud = try TestCloud()
            var office = try cloud.office(store)
            var keys: [NodeKeys] = []
            for name in ["a", "b"] {
                keys.append(NodeKeys(using: &cloud.generator))
                let token = try office.makeJoinToken(at: noon, using: &cloud.generator)
                _ = try office.admit(joinRequest(token, keys[keys.count - 1], name: name), at: noon)
            }
            let ids = keys.map { NodeID(of: $0.identity.publicKey) }
            #expect(try office.renameStation(RenameStation(station: "b", name: "c"), at: noon).nodeID == ids[1])
            let taken = #expect(throws: RPCError.self) { try office.renameStation(RenameStation(station: "c", name: "a"), at: noon) }
            #expect(taken?.code == .alreadyExists)
            let unknown = #expect(throws: RPCError.self) { try office.removeStation(RemoveStation(station: "b", staysListed: true)) }
            #expect(unknown?.code == .notFound)

            #expect(try office.removeStation(RemoveStation(station: "a", staysListed: true)).numbers.revocations == 1)
            var restarted = try cloud.office(store)
            #expect(restarted.numbers == office.numbers && restarted.numbers.revocations == 1)
            #expect(restarted.status.stations.filter(\.isRevoked).map(\.name) == ["a"])
            // Neither its used token nor a fresh one brings the same keys back.
            let token = try restarted.makeJoinToken(at: noon, using: &cloud.generator)
            #expect(throws: TrustError.removed(node: ids[0].rawValue)) { try restarted.admit(joinRequest(token, keys[0]), at: noon) }
            // Off the list, and once is enough.
            #expect(try restarted.removeStation(RemoveStation(station: "a", staysListed: false)).numbers.revocations == 1)
            #expect(try cloud.office(store).status.stations.map(\.name) == ["c"])
            // It was seen with its old record: the new one goes to it.
            let seen = NodeSighting(
                nodeID: ids[1], epoch: 1, observedAddress: "10.0.0.9:1", isUp: true, replicas: 3, health: NodeHealth(version: "1"), runsTwice: false)
            let newer = try restarted.seen([seen], at: noon + .seconds(5))
            #expect(try newer.map { try $0.verified(by: cloud.keys.root.publicKey).name } == ["c"])
            #expect(restarted.status.stations.first?.address == "10.0.0.9:1" && restarted.status.stations.first?.sighting == seen)
        }
    }

    @Test func `a station that syncs page by page ends up with every change`() throws {
        var cloud = try TestCloud()
        var office = try cloud.office(MemoryCenterStore())
        for number in 0..<600 { _ = try office.addUser(AddUser(name: "user-\(number)"), at: noon, using: &cloud.generator) }
        var known = StateNumbers()
        var names: [String] = []
        var pages = 0
        while true {
            let reply = office.changes(since: known)
            pages += 1
            for user in reply.users { names.append(try user.verified(by: cloud.keys.root.publicKey).name) }
            known = reply.numbers
            if reply.isComplete { break }
        }
        #expect(pages == 3 && names.count == 600 && Set(names).count == 600)
        #expect(known == office.numbers)
        try office.removeUser("user-5")
        let change = office.changes(since: known)
        #expect(change.users.count == 1 && change.numbers == office.numbers && office.numbers.revocations == 1)
    }

    @Test func `releases are numbered, keep three versions, and survive a restart`() throws {
        let folder = TemporaryFolder()
        for store in try stores(folder) {
            let cloud = try TestCloud()
            var office = try cloud.office(store)
            for version in 1...5 {
                let module = Array("module \(version)".utf8)
                #expect(try office.release(push("word-count", module), module: module, at: noon).sequence == UInt64(version))
            }
            let newest = Array("module 5".utf8)
            // Pushing the same again is no release.
            #expect(try office.release(push("word-count", newest), module: newest, at: noon).sequence == 5)
            #expect(office.numbers.releases == 5)
            let restarted = try cloud.office(store)
            #expect(restarted.numbers.releases == 5)
            #expect(restarted.status.applications.map(\.version) == ["5", "4", "3"])
            #expect(try restarted.module(ContentDigest(of: newest)) == newest)
            #expect(throws: RPCError.self) { try restarted.module(ContentDigest(of: Array("module 1".utf8))) }
            try office.remove(RemoveApplication(name: "word-count"))
            #expect(office.status.applications.isEmpty && office.numbers.releases == 6)
            #expect(throws: RPCError.self) { try office.remove(RemoveApplication(name: "word-count")) }
            #expect(try store.module(ContentDigest(of: newest)) == nil)
        }
    }

    @Test func `a module that is not what its digest says is not released`() throws {
        var office = try TestCloud().office(MemoryCenterStore())
        let error = #expect(throws: RPCError.self) { try office.release(push("a", [1]), module: [2], at: noon) }
        #expect(error?.code == .invalidArgument)
        #expect(office.numbers.releases == 0)
    }

    @Test func `a new cloud is complete in its folder and cannot be made twice`() throws {
        let folder = TemporaryFolder()
        var generator = SeededGenerator(seed: 4)
        let server = NodeKeys(using: &generator)
        do {
            let directory = try NodeDirectory(path: folder.path)
            #expect(throws: StorageError.self) { try CenterBootstrap.open(directory) }
            let cloud = try CenterBootstrap.initialize(
                directory, communicationServer: .loopback(port: 4433), communicationServerKey: server.identity.publicKey,
                at: noon, using: &generator)
            #expect(cloud.joinToken.rootKey == cloud.rootKey)
            #expect(try cloud.operatorProfile.opened().rootKey == cloud.rootKey)
        }
        let directory = try NodeDirectory(path: folder.path)
        var office = try CenterBootstrap.open(directory)
        #expect(office.status.users.map(\.name) == ["operator"])
        _ = try office.addUser(AddUser(name: "ada"), at: noon, using: &generator)
        let again = #expect(throws: StorageError.self) {
            try CenterBootstrap.initialize(
                directory, communicationServer: .loopback(port: 1), communicationServerKey: server.identity.publicKey, at: noon,
                using: &generator)
        }
        #expect(again?.kind == .exists)
    }
}
