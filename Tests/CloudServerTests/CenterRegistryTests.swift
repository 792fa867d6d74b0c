import Foundation
import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport
import Testing

@Suite struct CenterRegistryTests {
    private func stores(_ folder: TemporaryFolder) throws -> [any CenterStore] {
        [MemoryCenterStore(), try SQLiteCenterStore.create(path: folder.path + "/center.sqlite", for: try TestCloud().keys.root.publicKey)]
    }

    @Test func `a token admits one station, and the same one again`() throws {
        let folder = TemporaryFolder()
        for store in try stores(folder) {
            var cloud = try TestCloud()
            var registry = try cloud.registry(store)
            let token = try registry.makeJoinToken(at: noon, using: &cloud.generator)
            let (a, b) = (NodeKeys(using: &cloud.generator), NodeKeys(using: &cloud.generator))
            let signed = try registry.admit(joinRequest(token, a), at: noon)
            let record = try signed.verified(by: cloud.keys.root.publicKey)
            #expect(record.name == "station-a" && record.transportKey == a.identity.publicKey && record.role == .station)
            #expect(try registry.admit(joinRequest(token, a), at: noon) == signed)
            #expect(throws: CenterError.untrusted(.alreadyUsed("join token"))) { try registry.admit(joinRequest(token, b), at: noon) }
            // The center forgets nothing of this when it restarts.
            var restarted = try cloud.registry(store)
            #expect(try restarted.admit(joinRequest(token, a), at: noon) == signed)
            #expect(throws: CenterError.untrusted(.alreadyUsed("join token"))) { try restarted.admit(joinRequest(token, b), at: noon) }
            #expect(restarted.status.stations.map(\.address) == ["10.0.0.7:5000"])
        }
    }

    @Test func `a station is refused with a late, unknown, altered or borrowed request`() throws {
        var cloud = try TestCloud()
        var registry = try cloud.registry(MemoryCenterStore())
        let token = try registry.makeJoinToken(lifetime: .seconds(60), at: noon, using: &cloud.generator)
        let keys = NodeKeys(using: &cloud.generator)
        let late = noon + .seconds(61)
        #expect(throws: CenterError.untrusted(.expired(of: "join token", at: token.notAfter))) { try registry.admit(joinRequest(token, keys), at: late) }
        var altered = joinRequest(token, keys)
        altered.request.name = "station-b"
        #expect(throws: CenterError.untrusted(.wrongSignature(of: "join request"))) { try registry.admit(altered, at: noon) }
        var borrowed = joinRequest(token, keys)
        borrowed.peerKey = ByteString(cloud.communicationServer.identity.publicKey.bytes)
        #expect(throws: CenterError.untrusted(.wrongKey(of: "join request"))) { try registry.admit(borrowed, at: noon) }
        var other = try TestCloud()
        other.generator = SeededGenerator(seed: 99)
        var stranger = try other.registry(MemoryCenterStore())
        let foreign = try stranger.makeJoinToken(at: noon, using: &other.generator)
        #expect(throws: CenterError.untrusted(.unknown("join token"))) { try registry.admit(joinRequest(foreign, keys), at: noon) }
        #expect(registry.status.stations.isEmpty)
    }

    @Test func `a user's profile proves who they are until they are removed`() throws {
        let folder = TemporaryFolder()
        for store in try stores(folder) {
            var cloud = try TestCloud()
            var registry = try cloud.registry(store)
            let profile = try registry.addUser(AddUser(name: "ada"), at: noon, using: &cloud.generator).opened()
            let hash = [UInt8](repeating: 1, count: 32)
            let query = IdentityQuery(
                proof: try profile.proof(handshakeHash: hash), handshakeHash: ByteString(hash),
                clientKey: ByteString(profile.identity.publicKey.bytes))
            let ticket = try registry.ticket(for: query, at: noon).verified(
                root: cloud.keys.root.publicKey, clientKey: profile.identity.publicKey, at: CloudTime(own: noon))
            #expect(ticket.userName == "ada" && !ticket.grants.mayOperate)
            #expect(throws: CenterError.exists("there is a user ada")) { try registry.addUser(AddUser(name: "ada"), at: noon, using: &cloud.generator) }
            var moved = query
            moved.handshakeHash = ByteString([UInt8](repeating: 2, count: 32))
            #expect(throws: RPCError.self) { try registry.ticket(for: moved, at: noon) }

            try registry.removeUser("ada")
            let refused = #expect(throws: RPCError.self) { try registry.ticket(for: query, at: noon) }
            #expect(refused?.code == .unauthenticated)
            #expect(throws: RPCError.self) { try cloud.registry(store).ticket(for: query, at: noon) }
            // The name is free again, for somebody else.
            _ = try registry.addUser(AddUser(name: "ada"), at: noon, using: &cloud.generator)
        }
    }

    @Test func `a station that was removed is on the list for good, and renamed ones keep their keys`() throws {
        let folder = TemporaryFolder()
        for store in try stores(folder) {
            var cloud = try TestCloud()
            var registry = try cloud.registry(store)
            var keys: [NodeKeys] = []
            for name in ["a", "b"] {
                keys.append(NodeKeys(using: &cloud.generator))
                let token = try registry.makeJoinToken(at: noon, using: &cloud.generator)
                _ = try registry.admit(joinRequest(token, keys[keys.count - 1], name: name), at: noon)
            }
            let ids = keys.map { NodeID(of: $0.identity.publicKey) }
            #expect(try registry.renameStation(RenameStation(station: "b", name: "c"), at: noon).nodeID == ids[1])
            #expect(throws: CenterError.exists("there is a station a")) { try registry.renameStation(RenameStation(station: "c", name: "a"), at: noon) }
            #expect(throws: CenterError.unknown("no station is called b")) { try registry.removeStation(RemoveStation(station: "b", staysListed: true)) }

            #expect(try registry.removeStation(RemoveStation(station: "a", staysListed: true)).numbers.revocations == 1)
            var restarted = try cloud.registry(store)
            #expect(restarted.numbers == registry.numbers && restarted.numbers.revocations == 1)
            #expect(restarted.status.stations.filter(\.isRevoked).map(\.name) == ["a"])
            // Neither its used token nor a fresh one brings the same keys back.
            let token = try restarted.makeJoinToken(at: noon, using: &cloud.generator)
            #expect(throws: CenterError.untrusted(.removed(node: ids[0].rawValue))) { try restarted.admit(joinRequest(token, keys[0]), at: noon) }
            // Off the list, and once is enough.
            #expect(try restarted.removeStation(RemoveStation(station: "a", staysListed: false)).numbers.revocations == 1)
            #expect(try cloud.registry(store).status.stations.map(\.name) == ["c"])
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
        var registry = try cloud.registry(MemoryCenterStore())
        for number in 0..<600 { _ = try registry.addUser(AddUser(name: "user-\(number)"), at: noon, using: &cloud.generator) }
        var known = StateNumbers()
        var names: [String] = []
        var pages = 0
        while true {
            let reply = try registry.changes(since: known)
            pages += 1
            for user in reply.users { names.append(try user.verified(by: cloud.keys.root.publicKey).name) }
            known = reply.numbers
            if reply.isComplete { break }
        }
        #expect(pages == 3 && names.count == 600 && Set(names).count == 600)
        #expect(known == registry.numbers)
        try registry.removeUser("user-5")
        let change = try registry.changes(since: known)
        #expect(change.users.count == 1 && change.numbers == registry.numbers && registry.numbers.revocations == 1)
    }

    @Test func `releases are numbered, keep three versions, and survive a restart`() throws {
        let folder = TemporaryFolder()
        for store in try stores(folder) {
            let cloud = try TestCloud()
            var registry = try cloud.registry(store)
            for version in 1...5 {
                let module = Array("module \(version)".utf8)
                #expect(try registry.release(push("word-count", module), module: module, at: noon).sequence == UInt64(version))
            }
            let newest = Array("module 5".utf8)
            // Pushing the same again is no release.
            #expect(try registry.release(push("word-count", newest), module: newest, at: noon).sequence == 5)
            #expect(registry.numbers.releases == 5)
            let restarted = try cloud.registry(store)
            #expect(restarted.numbers.releases == 5)
            #expect(restarted.status.applications.map(\.version) == ["5", "4", "3"])
            #expect(try restarted.module(ContentDigest(of: newest)) == newest)
            #expect(throws: CenterError.self) { try restarted.module(ContentDigest(of: Array("module 1".utf8))) }
            try registry.remove(RemoveApplication(name: "word-count"))
            #expect(registry.status.applications.isEmpty && registry.numbers.releases == 6)
            #expect(throws: CenterError.unknown("no application is called word-count")) { try registry.remove(RemoveApplication(name: "word-count")) }
            #expect(try store.module(ContentDigest(of: newest)) == nil)
        }
    }

    @Test func `a module that is not what its digest says is not released`() throws {
        var registry = try TestCloud().registry(MemoryCenterStore())
        #expect(throws: CenterError.malformed("the module's SHA-256 is not the stated one")) { try registry.release(push("a", [1]), module: [2], at: noon) }
        #expect(registry.numbers.releases == 0)
    }

    @Test func `a version's name keeps its bytes`() throws {
        var registry = try TestCloud().registry(MemoryCenterStore())
        let (one, other) = (Array("one".utf8), Array("other".utf8))
        _ = try registry.release(push("app", one, version: "2"), module: one, at: noon)
        #expect { try registry.release(push("app", other, version: "2"), module: other, at: noon) } throws: { error in
            guard case .exists = error as? CenterError else { return false }
            return true
        }
        // Unnamed, it gets the next name that is free.
        #expect(try registry.release(push("app", other), module: other, at: noon).version == "3")
        // The same bytes may be released again with other limits.
        var again = push("app", one, version: "2")
        again.limits = ApplicationLimits(fuel: 5, memoryBytes: 1 << 20, outputBytes: 10)
        #expect(try registry.release(again, module: one, at: noon).limits.fuel == 5)
    }

    @Test func `making a center that was interrupted anywhere is begun anew, and a complete one stays`() throws {
        let folder = TemporaryFolder()
        var generator = SeededGenerator(seed: 6)
        let server = NodeKeys(using: &generator)
        func make(_ directory: NodeDirectory, _ deliver: (CenterBootstrap.NewCloud) throws -> Void = { _ in }) throws {
            _ = try CenterBootstrap.initialize(
                directory, communicationServer: .loopback(port: 1), communicationServerKey: server.identity.publicKey, at: noon, using: &generator,
                profilePath: folder.path + "/operator.json", deliver: deliver)
        }
        let names = ["keys", "root-key", "center.sqlite", "membership"]
        // All that is there right before the first link: as after a kill then, and after some of the links.
        var left: [String: [UInt8]] = [:]
        try make(try NodeDirectory(path: folder.path + "/center")) { _ in
            let workshop = folder.path + "/center/init-under-way"
            for name in try FileManager.default.contentsOfDirectory(atPath: workshop) { left[name] = Array(try Data(contentsOf: URL(fileURLWithPath: workshop + "/" + name))) }
        }
        #expect(!FileManager.default.fileExists(atPath: folder.path + "/center/init-under-way"))
        let files = left.keys.filter { $0 != "profile-file" }.sorted()
        #expect(files.count == names.count && files.contains("center.sqlite"))
        let membership = try #require(files.first { $0.hasPrefix("member") })
        for links in 0..<files.count {
            let path = folder.path + "/\(links)"
            let (workshop, directory) = (path + "/init-under-way", try NodeDirectory(path: path))
            try FileManager.default.createDirectory(atPath: workshop, withIntermediateDirectories: true)
            for (name, bytes) in left { try Data(bytes).write(to: URL(fileURLWithPath: workshop + "/" + name)) }
            for name in files.filter({ $0 != membership }).prefix(links) { try FileManager.default.linkItem(atPath: workshop + "/" + name, toPath: path + "/" + name) }
            // It is somebody's own by now, whatever the note says.
            try Data("mine".utf8).write(to: URL(fileURLWithPath: folder.path + "/operator.json"))
            #expect { try CenterBootstrap.open(directory) } throws: { error in (error as? StorageError)?.message.contains("run mast center init again") == true }
            try make(directory)
            #expect(try String(contentsOfFile: folder.path + "/operator.json", encoding: .utf8) == "mine")
            #expect(try CenterBootstrap.open(directory).status.users.count == 1)
            #expect(!FileManager.default.fileExists(atPath: workshop))
            #expect(throws: StorageError.self) { try make(directory) }
        }
        // A key of one's own beside what was left is no part of it.
        let path = folder.path + "/own"
        let directory = try NodeDirectory(path: path)
        try FileManager.default.createDirectory(atPath: path + "/init-under-way", withIntermediateDirectories: true)
        for (name, bytes) in left { try Data(bytes).write(to: URL(fileURLWithPath: path + "/init-under-way/" + name)) }
        try directory.files.write(files[0], Array("mine".utf8))
        #expect(throws: StorageError.self) { try make(directory) }
        #expect(try directory.files.read(files[0]) == Array("mine".utf8))
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
            #expect(cloud.joinTokens[0].rootKey == cloud.rootKey)
            #expect(try cloud.operatorProfile.opened().rootKey == cloud.rootKey)
        }
        let directory = try NodeDirectory(path: folder.path)
        var registry = try CenterBootstrap.open(directory)
        #expect(registry.status.users.map(\.name) == ["operator"])
        _ = try registry.addUser(AddUser(name: "ada"), at: noon, using: &generator)
        let again = #expect(throws: StorageError.self) {
            try CenterBootstrap.initialize(
                directory, communicationServer: .loopback(port: 1), communicationServerKey: server.identity.publicKey, at: noon,
                using: &generator)
        }
        #expect(again?.kind == .exists)
    }
}
