import Foundation
import Logging
import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport

let quiet = Logger(label: "test") { _ in SwiftLogNoOpLogHandler() }
let noon = WallTime(milliseconds: 1_800_000_000_000)

/// A folder that is gone when the value is.
final class TemporaryFolder: Sendable {
    let path: String

    init() {
        path = FileManager.default.temporaryDirectory.appendingPathComponent("mast-\(UUID().uuidString)").path
        try? FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(atPath: path) }
}

/// A center whose keys are the same in every run.
struct TestCloud {
    var generator = SeededGenerator(seed: 11)
    let keys: CenterKeys
    let communicationServer: NodeKeys
    let membership: Membership

    init() throws {
        keys = CenterKeys(using: &generator)
        communicationServer = NodeKeys(using: &generator)
        membership = try CenterBootstrap.makeMembership(
            keys, communicationServer: .loopback(port: 4433),
            communicationServerKey: communicationServer.identity.publicKey, at: noon)
    }

    func registry(_ store: any CenterStore) throws -> CenterRegistry {
        try CenterRegistry(keys: keys, membership: membership, store: store)
    }
}

/// A station's request to join, as the communication server hands it on.
func joinRequest(_ token: JoinToken, _ keys: NodeKeys, name: String = "station-a") -> ForwardedJoin {
    ForwardedJoin(
        request: JoinRequest(
            token: token, name: name, transportKey: keys.identity.publicKey, signingKey: keys.signing.publicKey, addresses: []),
        peerKey: ByteString(keys.identity.publicKey.bytes), observedAddress: "10.0.0.7:5000")
}

func push(_ name: String, _ module: [UInt8], version: String? = nil) -> PushApplication {
    PushApplication(name: name, version: version, digest: ContentDigest(of: module))
}
