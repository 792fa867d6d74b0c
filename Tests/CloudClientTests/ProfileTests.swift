import Foundation
import MastCloudClient
import MastCloudCore
import MastTimebase
import MastTransport
import Testing

@Suite struct `Profile files` {
    func key(_ seed: UInt64) -> PublicKey {
        var generator = SeededGenerator(seed: seed)
        return StaticKeyPair(using: &generator).publicKey
    }

    func profile() throws -> ClientProfile {
        var generator = SeededGenerator(seed: 5)
        let root = SigningKeyPair(using: &generator)
        let identity = StaticKeyPair(using: &generator)
        let signing = SigningKeyPair(using: &generator)
        let record = UserRecord(
            userID: "u", name: "ada", devices: [], grants: [], quota: Quota(), serial: 1, epoch: 1, issued: WallTime(milliseconds: 0))
        return ClientProfile(
            userName: "ada", communicationServer: .loopback(port: 4433), communicationServerKey: identity.publicKey,
            servers: try SignedRecord(CommunicationServers(number: 1, servers: [.init(address: .loopback(port: 4433), key: identity.publicKey)]), signedBy: root),
            rootKey: root.publicKey, identity: identity, signing: signing, userRecord: try SignedRecord(record, signedBy: root))
    }

    @Test func `A profile is written for its owner only and read back`() throws {
        let folder = TemporaryFolder()
        let path = "\(folder.path)/deep/ada.profile"
        let profile = try profile()
        try ProfileFile.save(profile, to: path)
        let mode = try FileManager.default.attributesOfItem(atPath: path)[.posixPermissions] as? NSNumber
        #expect(mode?.intValue == 0o600)
        #expect(try ProfileFile.load(path) == profile)
        #expect(try FileManager.default.contentsOfDirectory(atPath: "\(folder.path)/deep") == ["ada.profile"])
    }

    @Test func `Missing, open and foreign profiles are told apart`() throws {
        let folder = TemporaryFolder()
        let path = "\(folder.path)/p"
        #expect(throws: ProfileError.missing(path: path)) { try ProfileFile.load(path) }
        try ProfileFile.save(profile(), to: path)
        chmod(path, 0o644)
        #expect(throws: ProfileError.readableByOthers(path: path)) { try ProfileFile.load(path) }
        try Data("{}".utf8).write(to: URL(filePath: path))
        chmod(path, 0o600)
        #expect { try ProfileFile.load(path) } throws: { error in
            if case .malformed = error as? ProfileError { true } else { false }
        }
    }

    @Test func `A server's key is remembered, and a changed one names both`() throws {
        let folder = TemporaryFolder()
        let hosts = KnownHosts(path: "\(folder.path)/new/known-hosts")
        #expect(try hosts.key(of: "127.0.0.1:4433") == nil)
        #expect(try hosts.check("127.0.0.1:4433", shows: key(1)))
        #expect(try hosts.check("127.0.0.1:4434", shows: key(2)))
        #expect(try hosts.check("127.0.0.1:4433", shows: key(1)) == false)
        #expect(try KnownHosts(path: hosts.path).key(of: "127.0.0.1:4434") == key(2))
        #expect {
            try hosts.check("127.0.0.1:4433", shows: key(3))
        } throws: { error in
            let text = "\(error)"
            return text.contains("\(key(1))") && text.contains("\(key(3))") && text.contains(hosts.path)
        }
    }

    @Test func `Kept state is read back, and a damaged file is as good as none`() throws {
        let folder = TemporaryFolder()
        let file = ClientStateFile(path: "\(folder.path)/p.state")
        #expect(file.load() == nil)
        let state = ClientState(ticket: nil, placements: [Placement(application: "a", version: "1", digest: ContentDigest(of: []), entry: "run", limits: .standard, candidates: [])])
        try file.save(state)
        #expect(file.load() == state)
        try Data("{".utf8).write(to: URL(filePath: file.path))
        #expect(file.load() == nil)
    }
}
