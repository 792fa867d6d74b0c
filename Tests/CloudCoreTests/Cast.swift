import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport

/// The people of these tests: seeded, so that every run has the same keys.
struct Cast {
    let root: SigningKeyPair
    let stationKeys: StaticKeyPair
    let stationSigning: SigningKeyPair
    let clientKeys: StaticKeyPair
    let clientSigning: SigningKeyPair
    let now = WallTime(milliseconds: 1_800_000_000_000)

    init(seed: UInt64 = 1) {
        var generator = SeededGenerator(seed: seed)
        root = SigningKeyPair(using: &generator)
        stationKeys = StaticKeyPair(using: &generator)
        stationSigning = SigningKeyPair(using: &generator)
        clientKeys = StaticKeyPair(using: &generator)
        clientSigning = SigningKeyPair(using: &generator)
    }

    var stationRecord: NodeRecord {
        NodeRecord(
            role: .station, name: "station-a", transportKey: stationKeys.publicKey, signingKey: stationSigning.publicKey,
            addresses: [NetworkAddress(ipv4: 0x0A00_0001, port: 4433)], epoch: 1, issued: now)
    }

    var user: UserRecord {
        UserRecord(
            userID: "u1", name: "ada", devices: [DeviceKeys(transportKey: clientKeys.publicKey, signingKey: clientSigning.publicKey)],
            grants: [Grant(role: .user, applications: ["word-*"])], quota: Quota(), serial: 7, epoch: 1, issued: now)
    }

    func ticket() throws -> SignedRecord<Ticket> {
        try SignedRecord(
            Ticket(
                user: SignedRecord(user, signedBy: root), clientKey: clientKeys.publicKey,
                issuer: SignedRecord(stationRecord, signedBy: root), at: now),
            signedBy: stationSigning)
    }

    func application(_ name: String, sequence: UInt64, content: String = "wasm") -> ApplicationPackage {
        ApplicationPackage(
            name: name, version: "\(sequence)", digest: ContentDigest(of: Array(content.utf8)), sizeBytes: UInt64(content.utf8.count),
            entry: "run", limits: .standard, sequence: sequence, issued: now)
    }
}
