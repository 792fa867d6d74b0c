import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport
import Synchronization
import Testing

/// Somebody with the wrong keys, and a list of what was believed all the same.
final class Forger: Sendable {
    private let tried = Mutex<[String]>([])
    private let taken = Mutex<[String]>([])

    var attempts: Int { tried.withLock { $0.count } }
    /// By name; empty in a cloud whose trust has limits.
    var believed: [String] { taken.withLock { $0 } }

    struct NotTaken: Error {}

    /// One forgery. It is refused when `body` throws for a reason of trust; whatever else happens counts as believed.
    func tries(_ name: String, _ body: () async throws -> Void) async {
        tried.withLock { $0.append(name) }
        do {
            try await body()
            taken.withLock { $0.append(name) }
        } catch is TrustError {
        } catch is NotTaken {
        } catch let error as RPCError where [.unauthenticated, .permissionDenied, .failedPrecondition].contains(error.code) {
        } catch {
            taken.withLock { $0.append("\(name) (refused for another reason: \(error))") }
        }
    }
}

/// The wrong signers of a record that only the root key may sign.
struct WrongSigners {
    let all: [(name: String, key: SigningKeyPair)]

    init(_ cloud: SmallCloud, station: NodeKeys, user: OpenedProfile) {
        var generator = SeededGenerator(seed: 666)
        all = [
            ("a stranger", SigningKeyPair(using: &generator)), ("another cloud's root", SigningKeyPair(using: &generator)),
            ("a user's device", user.signing), ("an operator's device", cloud.operatorProfile.signing),
            ("a station", station.signing), ("the center's node key", cloud.keys.node.signing),
            ("the communication server", cloud.serverKeys.signing),
        ]
    }
}

/// A cloud of one station with a restricted user, and what a thief of the station's disk has.
struct RobbedCloud: Sendable {
    let cloud: SmallCloud
    let stationKeys: NodeKeys
    let stationRecord: SignedRecord<NodeRecord>
    let ada: OpenedProfile
    let adaRecord: SignedRecord<UserRecord>
    /// Attached.
    let operating: TestClient
    let center: Candidate

    var root: SigningPublicKey { cloud.keys.root.publicKey }
    var now: WallTime { cloud.simulation.time.wallTime }

    /// Ada may run what begins with `upp`; `upper` and `trap` are released and held by the station.
    static func with(_ body: @Sendable @escaping (RobbedCloud) async throws -> Void) throws {
        let cloud = try SmallCloud(stations: 1)
        let stores = StationStores.inMemory()
        try cloud.whileServing { cloud in
            let operating = cloud.client(cloud.operatorProfile, port: 50)
            let center = try #require(try await operating.attach().center)
            for name in ["upper", "trap"] { _ = try await operating.push(name, Array((name == "trap" ? "trap" : "uppr").utf8), to: center) }
            let added = try await operating.node(center).call(
                AdminMethods.addUser, AddUser(name: "ada", applications: ["upp*"]), options: try await operating.asOperator(center)
            ).profile
            let (station, _) = try await cloud.station(0, stores: stores)
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try await station.run() }
                _ = try await operating.wait { $0.nodes.contains { $0.role == .station && $0.replicas.count == 2 } }
                while await station.numbers.users < 2 { try await cloud.sleep(.milliseconds(10)) }
                try await body(
                    RobbedCloud(
                        cloud: cloud, stationKeys: try #require(try NodeKeys.load(from: stores.files)),
                        stationRecord: try #require(try Membership.load(from: stores.files)).record, ada: try added.opened(),
                        adaRecord: added.userRecord, operating: operating, center: center))
                group.cancelAll()
            }
        }
    }

    /// Ada's record as she would like it.
    func promoted(device: DeviceKeys? = nil) throws -> UserRecord {
        var user = try adaRecord.unverified()
        user.grants = [Grant(role: .operator)]
        user.serial = 9_999
        if let device { user.devices = [device] }
        return user
    }

    /// A ticket of the station, or of whoever signs in its place.
    func ticket(
        _ user: SignedRecord<UserRecord>, for key: PublicKey, issuer: SignedRecord<NodeRecord>? = nil,
        signedBy signer: SigningKeyPair? = nil, at time: WallTime? = nil
    ) throws -> SignedRecord<Ticket> {
        try SignedRecord(
            Ticket(user: user, clientKey: key, issuer: issuer ?? stationRecord, at: time ?? now),
            signedBy: signer ?? stationKeys.signing)
    }

    /// A node record that nobody but the thief would make.
    func record(_ role: NodeRole, _ keys: NodeKeys, signedBy key: SigningKeyPair) throws -> SignedRecord<NodeRecord> {
        try SignedRecord(
            NodeRecord(
                role: role, name: "forged", transportKey: keys.identity.publicKey, signingKey: keys.signing.publicKey, addresses: [],
                epoch: 99, issued: now), signedBy: key)
    }
}
