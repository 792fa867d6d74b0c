import MastCloudCore
import MastCloudServer
import MastRPC
import MastTimebase
import MastTransport
import Synchronization
import Testing

/// Every cell of the table "who may state what": each statement, by each wrong issuer, at each place that takes it.
@Suite struct ForgerTests {
    private let forger = Forger()

    // MARK: What only the root key states

    @Test func `a node record is the root's alone, at the communication server`() throws {
        try RobbedCloud.with { robbed in
            var generator = SeededGenerator(seed: 31)
            let keys = NodeKeys(using: &generator)
            let host = robbed.cloud.network.host(keys.identity, port: 70)
            let control = host.client(at: robbed.ada.communicationServer, peerKey: robbed.ada.communicationServerKey)
            func register(_ record: SignedRecord<NodeRecord>) async throws {
                _ = try await control.call(
                    ControlMethods.register,
                    RegisterRequest(record: record, incarnation: 1, replicas: [], load: NodeLoad(), releases: nil, numbers: StateNumbers()))
            }
            for signer in WrongSigners(robbed.cloud, station: robbed.stationKeys, user: robbed.ada).all {
                for role in [NodeRole.station, .center] {
                    await forger.tries("\(signer.name) makes a \(role)") { try await register(robbed.record(role, keys, signedBy: signer.key)) }
                }
            }
            await forger.tries("a stranger with a station's genuine record") { try await register(robbed.stationRecord) }
            #expect(forger.believed == [] && forger.attempts == 15)
            try await register(robbed.record(.station, keys, signedBy: robbed.cloud.keys.root))
        }
    }

    @Test func `a release index is the root's alone, at the communication server and at a station`() throws {
        try RobbedCloud.with { robbed in
            let host = robbed.cloud.network.host(robbed.stationKeys.identity, port: 71)
            let control = host.client(at: robbed.ada.communicationServer, peerKey: robbed.ada.communicationServerKey)
            for signer in WrongSigners(robbed.cloud, station: robbed.stationKeys, user: robbed.ada).all {
                let forged = try SignedRecord(ReleaseIndex(number: 77, applications: []), signedBy: signer.key)
                await forger.tries("\(signer.name) withdraws all applications, by a thief's registration") {
                    _ = try await control.call(
                        ControlMethods.register,
                        RegisterRequest(
                            record: robbed.stationRecord, incarnation: 1, replicas: [], load: NodeLoad(), releases: forged,
                            numbers: StateNumbers(releases: 77, users: 77)))
                    let status = try await robbed.operating.control.call(ControlMethods.status, Nothing())
                    if status.releaseNumber != 77, status.applications.count == 2 { throw Forger.NotTaken() }
                }
                #expect(throws: TrustError.self, "\(signer.name)") { try forged.verified(root: robbed.root, notOlderThan: 0) }
            }
            #expect(forger.believed == [] && forger.attempts == 7)
        }
    }

    @Test func `a revocation list is the root's alone, at the communication server`() throws {
        try RobbedCloud.with { robbed in
            let host = robbed.cloud.network.host(robbed.stationKeys.identity, port: 83)
            let control = host.client(at: robbed.ada.communicationServer, peerKey: robbed.ada.communicationServerKey)
            let victims = RevocationLog(number: 50, serials: [1, 2], nodes: [robbed.center.nodeID])
            for signer in WrongSigners(robbed.cloud, station: robbed.stationKeys, user: robbed.ada).all {
                await forger.tries("\(signer.name) revokes everybody, by a thief's registration") {
                    _ = try await control.call(
                        ControlMethods.register,
                        RegisterRequest(
                            record: robbed.stationRecord, incarnation: 1, replicas: [], load: NodeLoad(), releases: nil,
                            revocations: SignedRecord(victims, signedBy: signer.key), numbers: StateNumbers(revocations: 50)))
                    let status = try await robbed.operating.control.call(ControlMethods.status, Nothing())
                    if status.revocationNumber == 0, status.nodes.count == 2, status.nodes.allSatisfy({ $0.isUp && !$0.isBehind }) { throw Forger.NotTaken() }
                }
            }
            #expect(forger.believed == [] && forger.attempts == 7)
        }
    }

    @Test func `a communication server tells a station nothing that the root did not sign`() throws {
        let cloud = try SmallCloud(stations: 1)
        let stores = StationStores.inMemory()
        try cloud.run { cloud in
            // A station that once joined; its communication server is now somebody who has the server's key.
            var registry = try CenterRegistry(keys: cloud.keys, membership: cloud.membership, store: cloud.centerStore)
            var generator = SeededGenerator(seed: 1000)
            let keys = try NodeKeys.loadOrCreate(in: stores.files, using: &generator)
            var membership = cloud.membership
            membership.record = try registry.admit(joinRequest(cloud.tokens[0], keys, name: "station-0"), at: cloud.simulation.time.wallTime)
            try membership.save(to: stores.files)
            let (station, _) = try await cloud.station(0, stores: stores)
            let signers = WrongSigners(cloud, station: keys, user: cloud.operatorProfile).all
            let genuine = try #require(cloud.centerStore.load().users.first?.signed)
            let turn = Mutex(0)
            let registered = Mutex<PeerConnection?>(nil)
            let host = cloud.network.host(cloud.serverKeys.identity, port: 1)
            let server = RPCServer {
                ControlMethods.register.handle { _, context in
                    registered.withLock { $0 = context.connection }
                    return RegisterReply(route: 7, heartbeatMilliseconds: 50, numbers: StateNumbers(releases: 9, users: 9, revocations: 9), observedAddress: "10.0.0.1:1")
                }
                ControlMethods.heartbeat.handle { _ in
                    let signer = signers[turn.withLock { $0 % signers.count }].key
                    return HeartbeatReply(
                        numbers: StateNumbers(releases: 9, users: 9, revocations: 9), heldRevocations: 9,
                        revocations: try SignedRecord(RevocationLog(number: 9, serials: [1]), signedBy: signer))
                }
                ControlMethods.sync.handle { _ in
                    let number = turn.withLock { turn in
                        turn += 1
                        return turn
                    }
                    let signer = signers[number % signers.count].key
                    var user = try genuine.unverified()
                    user.grants = [Grant(role: .operator)]
                    let users = [try SignedRecord(user, signedBy: signer)]
                    let releases = try SignedRecord(ReleaseIndex(number: 9, applications: []), signedBy: signer)
                    // Each kind of record alone, so that none hides behind another.
                    return SyncReply(
                        releases: number % 2 == 0 ? releases : nil, users: number % 2 == 0 ? [] : users,
                        numbers: StateNumbers(releases: 9, users: number % 2 == 0 ? 0 : 9, revocations: 9), isComplete: true)
                }
            }
            try await withThrowingTaskGroup(of: Void.self) { group in
                group.addTask { try? await host.serve(server) }
                group.addTask { try? await station.run() }
                while turn.withLock({ $0 }) < 2 * signers.count { try await cloud.sleep(.milliseconds(50)) }
                #expect(await station.numbers == StateNumbers())

                // It has heard of revocations that it lacks: it issues for nobody unless nobody else is there.
                let back = host.client(on: try #require(registered.withLock { $0 }))
                let hash = Array(repeating: UInt8(4), count: 32)
                var query = IdentityQuery(
                    proof: try cloud.operatorProfile.proof(handshakeHash: hash), handshakeHash: ByteString(hash),
                    clientKey: ByteString(cloud.operatorProfile.identity.publicKey.bytes))
                let behind = await #expect(throws: RPCError.self) { _ = try await back.call(StationMethods.verifyIdentity, query) }
                #expect(behind?.code == .failedPrecondition && behind?.message.contains("ask another") == true)
                query.isLastResort = true
                let unknown = await #expect(throws: RPCError.self) { _ = try await back.call(StationMethods.verifyIdentity, query) }
                #expect(unknown?.code == .notFound)
                // What it tells of the station itself needs the root as well.
                for signer in signers {
                    let record = try SignedRecord(
                        NodeRecord(
                            role: .station, name: "renamed", transportKey: keys.identity.publicKey, signingKey: keys.signing.publicKey,
                            addresses: [], epoch: 9, issued: cloud.simulation.time.wallTime), signedBy: signer.key)
                    _ = try await back.call(StationMethods.announce, Announcement(numbers: StateNumbers(), releases: nil, record: record))
                    #expect(try Membership.load(from: stores.files)?.record == membership.record, "\(signer.name)")
                }
                group.cancelAll()
            }
        }
    }

    // MARK: Tickets

    @Test func `a ticket says only what the root says of its user, at the communication server`() throws {
        try RobbedCloud.with { robbed in
            let client = robbed.cloud.client(robbed.ada, port: 72)
            var generator = SeededGenerator(seed: 32)
            var stranger = robbed.ada
            (stranger.identity, stranger.signing) = (StaticKeyPair(using: &generator), SigningKeyPair(using: &generator))
            let nobody = robbed.cloud.client(stranger, port: 73)
            let strangersDevice = DeviceKeys(transportKey: stranger.identity.publicKey, signingKey: stranger.signing.publicKey)
            func attach(_ client: TestClient, _ ticket: SignedRecord<Ticket>) async throws {
                _ = try await client.control.call(ControlMethods.attach, AttachRequest(proof: nil, ticket: ticket))
            }
            for signer in WrongSigners(robbed.cloud, station: robbed.stationKeys, user: robbed.ada).all {
                let promoted = try SignedRecord(robbed.promoted(), signedBy: signer.key)
                await forger.tries("a station's ticket for a user whom \(signer.name) made an operator") {
                    try await attach(client, robbed.ticket(promoted, for: robbed.ada.identity.publicKey))
                }
                let invented = try SignedRecord(robbed.promoted(device: strangersDevice), signedBy: signer.key)
                await forger.tries("a station's ticket for a user whom \(signer.name) invented") {
                    try await attach(nobody, robbed.ticket(invented, for: stranger.identity.publicKey))
                }
                guard signer.name != "a station" else { continue }
                await forger.tries("\(signer.name) issues in a station's name") {
                    try await attach(client, robbed.ticket(robbed.adaRecord, for: robbed.ada.identity.publicKey, signedBy: signer.key))
                }
                let keys = NodeKeys(using: &generator)
                let record = try robbed.record(.station, keys, signedBy: signer.key)
                await forger.tries("a station that \(signer.name) made issues") {
                    try await attach(
                        client, robbed.ticket(robbed.adaRecord, for: robbed.ada.identity.publicKey, issuer: record, signedBy: keys.signing))
                }
            }
            await forger.tries("a station lends a user's identity to a key that no user has") {
                try await attach(nobody, robbed.ticket(robbed.adaRecord, for: stranger.identity.publicKey))
            }
            await forger.tries("a station's ticket for another device than the one that shows it") {
                try await attach(nobody, robbed.ticket(robbed.adaRecord, for: robbed.ada.identity.publicKey))
            }
            await forger.tries("a station's ticket of a year from now") {
                try await attach(
                    client, robbed.ticket(robbed.adaRecord, for: robbed.ada.identity.publicKey, at: robbed.now + .seconds(365 * 86_400)))
            }
            await forger.tries("a station's ticket of an hour ago") {
                try await attach(client, robbed.ticket(robbed.adaRecord, for: robbed.ada.identity.publicKey, at: robbed.now + .seconds(-3600)))
            }
            #expect(forger.believed == [] && forger.attempts == 30)
            try await attach(client, robbed.ticket(robbed.adaRecord, for: robbed.ada.identity.publicKey))
        }
    }

    @Test(arguments: [NodeRole.station, .center]) func `a ticket says only what the root says of its user, at a node`(role: NodeRole) throws {
        try RobbedCloud.with { robbed in
            let client = robbed.cloud.client(robbed.ada, port: 74)
            _ = try await client.attach()
            let candidate = try #require(try await client.lookup("upper").candidates.first { $0.role == role })
            var number = 0
            func run(_ application: String, _ ticket: SignedRecord<Ticket>) async throws {
                number += 1
                _ = try await client.node(candidate).call(
                    RunMethods.run,
                    RunRequest(application: application, input: ByteString("a"), runID: RunID(rawValue: "\(role)-\(number)"), ticket: ticket))
            }
            let key = robbed.ada.identity.publicKey
            for signer in WrongSigners(robbed.cloud, station: robbed.stationKeys, user: robbed.ada).all {
                let promoted = try SignedRecord(robbed.promoted(), signedBy: signer.key)
                await forger.tries("a station's ticket with the grants that \(signer.name) gave") {
                    try await run("trap", robbed.ticket(promoted, for: key))
                }
                guard signer.name != "a station" else { continue }
                await forger.tries("\(signer.name) issues in a station's name") {
                    try await run("upper", robbed.ticket(robbed.adaRecord, for: key, signedBy: signer.key))
                }
                var generator = SeededGenerator(seed: 33)
                let keys = NodeKeys(using: &generator)
                let record = try robbed.record(.center, keys, signedBy: signer.key)
                await forger.tries("a center that \(signer.name) made issues") {
                    try await run("upper", robbed.ticket(robbed.adaRecord, for: key, issuer: record, signedBy: keys.signing))
                }
            }
            let operators = try #require(try await robbed.operators())
            await forger.tries("a station's genuine ticket for somebody who may more") { try await run("trap", robbed.ticket(operators, for: key)) }
            await forger.tries("a station's genuine ticket for what its user may not run") { try await run("trap", robbed.ticket(robbed.adaRecord, for: key)) }
            await forger.tries("a station's ticket of a year from now") {
                try await run("upper", robbed.ticket(robbed.adaRecord, for: key, at: robbed.now + .seconds(365 * 86_400)))
            }
            await forger.tries("a station's ticket of an hour ago") {
                try await run("upper", robbed.ticket(robbed.adaRecord, for: key, at: robbed.now + .seconds(-3600)))
            }
            #expect(forger.believed == [] && forger.attempts == 23)
            try await run("upper", robbed.ticket(robbed.adaRecord, for: key))
        }
    }

    // MARK: Proofs

    @Test func `an identity is proved by its own device, on this connection, for this purpose`() throws {
        try RobbedCloud.with { robbed in
            let client = robbed.cloud.client(robbed.ada, port: 75)
            let hash = try await client.control.connect(within: .seconds(5)).handshakeHash
            let key = robbed.ada.identity.publicKey
            func attach(_ proof: IdentityProof) async throws {
                _ = try await client.control.call(ControlMethods.attach, AttachRequest(proof: proof, ticket: nil))
            }
            await forger.tries("another device's signature") {
                try await attach(IdentityProof(handshakeHash: hash, clientKey: key, signedBy: robbed.stationKeys.signing))
            }
            await forger.tries("a signature from another connection") {
                try await attach(robbed.ada.proof(handshakeHash: Array(repeating: 9, count: 32)))
            }
            await forger.tries("a proof for operation") { try await attach(robbed.ada.proof(.operation, handshakeHash: hash)) }
            await forger.tries("a proof for another key") {
                try await attach(
                    IdentityProof(handshakeHash: hash, clientKey: robbed.stationKeys.identity.publicKey, signedBy: robbed.ada.signing))
            }
            #expect(forger.believed == [])
            try await attach(robbed.ada.proof(handshakeHash: hash))
        }
    }

    /// The methods of operators, as the thief would use them.
    private func operate(_ center: RPCClient, _ options: CallOptions) -> [(name: String, call: () async throws -> Void)] {
        let module = Array("uppr".utf8), digest = ContentDigest(of: module)
        return [
            ("users", { _ = try await center.call(AdminMethods.addUser, AddUser(name: "eve"), options: options) }),
            ("operators", { _ = try await center.call(AdminMethods.addUser, AddUser(name: "eva", isOperator: true), options: options) }),
            ("the end of users", { _ = try await center.call(AdminMethods.removeUser, RemoveUser(name: "ada"), options: options) }),
            ("join tokens", { _ = try await center.call(AdminMethods.makeJoinToken, MakeJoinToken(), options: options) }),
            (
                "uploads",
                {
                    let chunk = UploadChunk(digest: digest, sizeBytes: 4, offset: 0, bytes: ByteString(module))
                    _ = try await center.call(AdminMethods.uploadChunk, chunk, options: options)
                }
            ),
            ("applications", { _ = try await center.call(AdminMethods.pushApplication, PushApplication(name: "own", digest: digest), options: options) }),
            ("the end of applications", { _ = try await center.call(AdminMethods.removeApplication, RemoveApplication(name: "upper"), options: options) }),
            ("the list of applications", { _ = try await center.call(AdminMethods.listApplications, Nothing(), options: options) }),
            ("names of stations", { _ = try await center.call(AdminMethods.renameStation, RenameStation(station: "station-0", name: "station-0"), options: options) }),
            ("the end of stations", { _ = try await center.call(AdminMethods.removeStation, RemoveStation(station: "station-0", staysListed: true), options: options) }),
            ("the center's state", { _ = try await center.call(AdminMethods.status, Nothing(), options: options) }),
        ]
    }

    @Test func `operation is proved to the center against its own records, and no ticket gives it`() throws {
        try RobbedCloud.with { robbed in
            let client = robbed.cloud.client(robbed.ada, port: 76)
            _ = try await client.attach()
            let node = try client.node(robbed.center)
            let hash = try await node.connect(within: .seconds(5)).handshakeHash
            let key = robbed.ada.identity.publicKey
            let promoted = try robbed.ticket(SignedRecord(robbed.promoted(), signedBy: robbed.stationKeys.signing), for: key)
            var presented: [(name: String, value: String?)] = [
                ("nothing", nil),
                ("a ticket that a station signed", Base64URL.encode(promoted.fileBytes)),
                ("a restricted user's own proof", try robbed.ada.proof(.operation, handshakeHash: hash).metadataText),
                ("a proof for runs", try robbed.ada.proof(.runs, handshakeHash: hash).metadataText),
                ("an operator's proof for another key and connection", try robbed.cloud.operatorProfile.proof(.operation, handshakeHash: Array(repeating: 3, count: 32)).metadataText),
            ]
            for signer in WrongSigners(robbed.cloud, station: robbed.stationKeys, user: robbed.ada).all {
                presented.append(
                    ("a proof that \(signer.name) signed", try IdentityProof(scope: .operation, handshakeHash: hash, clientKey: key, signedBy: signer.key).metadataText))
            }
            for (name, value) in presented {
                var options = CallOptions()
                // Also where tickets used to be shown.
                options.metadata = value.map { [operatorProofMetadataName: $0, "mast-ticket": $0] } ?? [:]
                for method in operate(node, options) { await forger.tries("\(name), for \(method.name)") { try await method.call() } }
            }
            // A key that no user has reaches the center only through a client that is attached: the thief's own station.
            #expect(forger.believed == [] && forger.attempts == presented.count * 11)

            // The operator's device with another signing key, and its proof on another connection.
            var impostor = robbed.cloud.operatorProfile
            impostor.signing = robbed.stationKeys.signing
            let own = try await robbed.operating.node(robbed.center).connect(within: .seconds(5)).handshakeHash
            for (name, proof) in [
                ("the operator's key without their signature", try impostor.proof(.operation, handshakeHash: own)),
                ("the operator's proof for runs", try robbed.cloud.operatorProfile.proof(.runs, handshakeHash: own)),
                ("the operator's proof on another connection", try robbed.cloud.operatorProfile.proof(.operation, handshakeHash: hash)),
            ] {
                var options = CallOptions()
                options.metadata = [operatorProofMetadataName: proof.metadataText]
                for method in operate(try robbed.operating.node(robbed.center), options) {
                    await forger.tries("\(name), for \(method.name)") { try await method.call() }
                }
            }
            #expect(forger.believed == [])
            let options = try await robbed.operating.asOperator(robbed.center)
            for method in operate(try robbed.operating.node(robbed.center), options) { try await method.call() }
        }
    }

    // MARK: Connections that give a right

    @Test func `what belongs to a role is refused to every other`() throws {
        try RobbedCloud.with { robbed in
            let client = robbed.cloud.client(robbed.ada, port: 77)
            _ = try await client.attach()
            let station = try #require(try await client.lookup("upper").candidates.first { $0.role == .station })
            let query = IdentityQuery(
                proof: try robbed.ada.proof(handshakeHash: Array(repeating: 1, count: 32)),
                handshakeHash: ByteString(Array(repeating: 1, count: 32)), clientKey: ByteString(robbed.ada.identity.publicKey.bytes))
            let digest = ContentDigest(of: Array("uppr".utf8))
            for (name, who) in [("a user", client), ("an operator", robbed.operating)] {
                await forger.tries("\(name) announces") {
                    _ = try await who.control.call(ControlMethods.announce, Announcement(numbers: StateNumbers(releases: 9, users: 9), releases: nil))
                }
                await forger.tries("\(name) sends heartbeats") {
                    _ = try await who.control.call(
                        ControlMethods.heartbeat, HeartbeatRequest(incarnation: 1, load: NodeLoad(), replicas: nil, numbers: StateNumbers()))
                }
                await forger.tries("\(name) syncs") { _ = try await who.control.call(ControlMethods.sync, SyncRequest(known: StateNumbers())) }
                await forger.tries("\(name) takes a replica") {
                    try await who.control.stream(ControlMethods.fetchReplica, ReplicaRequest(digest: digest)) { for try await _ in $0 {} }
                }
                let stationClient = try who.node(station), center = try who.node(robbed.center)
                await forger.tries("\(name) has a station issue") { _ = try await stationClient.call(StationMethods.verifyIdentity, query) }
                await forger.tries("\(name) announces to a station") {
                    _ = try await stationClient.call(StationMethods.announce, Announcement(numbers: StateNumbers(), releases: nil))
                }
                await forger.tries("\(name) has the center issue") { _ = try await center.call(CenterMethods.verifyIdentity, query) }
                await forger.tries("\(name) joins at the center") {
                    _ = try await center.call(CenterMethods.join, joinRequest(robbed.cloud.tokens[0], robbed.stationKeys))
                }
                await forger.tries("\(name) syncs at the center") { _ = try await center.call(CenterMethods.sync, SyncRequest(known: StateNumbers())) }
                await forger.tries("\(name) moves a station") {
                    _ = try await center.call(CenterMethods.nodesSeen, NodesSeen(sightings: []))
                }
            }
            // The station's disk gives its own rights, and no other's.
            let host = robbed.cloud.network.host(robbed.stationKeys.identity, port: 78)
            let thief = host.client(at: robbed.ada.communicationServer, peerKey: robbed.ada.communicationServerKey)
            _ = try await thief.call(
                ControlMethods.register,
                RegisterRequest(
                    record: robbed.stationRecord, incarnation: 3, replicas: [], load: NodeLoad(), releases: nil, numbers: StateNumbers(releases: 9, users: 9)))
            await forger.tries("a station announces") {
                _ = try await thief.call(ControlMethods.announce, Announcement(numbers: StateNumbers(releases: 9, users: 9), releases: nil))
            }
            #expect(forger.believed == [] && forger.attempts == 21)
        }
    }

    @Test func `a station joins by a token's secret, which a reader of the request does not have`() throws {
        try RobbedCloud.with { robbed in
            var generator = SeededGenerator(seed: 34)
            let keys = NodeKeys(using: &generator)
            let host = robbed.cloud.network.host(keys.identity, port: 79)
            let control = host.client(at: robbed.ada.communicationServer, peerKey: robbed.ada.communicationServerKey)
            var token = robbed.cloud.tokens[0]
            await forger.tries("a used token") { _ = try await control.call(ControlMethods.join, joinRequest(token, keys).request) }
            token.secret = generator.bytes(32)
            await forger.tries("a token's name without its secret") { _ = try await control.call(ControlMethods.join, joinRequest(token, keys).request) }
            token.tokenID = generator.bytes(16)
            await forger.tries("an invented token") { _ = try await control.call(ControlMethods.join, joinRequest(token, keys).request) }
            await forger.tries("the request of another station") {
                _ = try await control.call(ControlMethods.join, joinRequest(robbed.cloud.tokens[0], robbed.stationKeys).request)
            }
            #expect(forger.believed == [])
        }
    }
}

extension RobbedCloud {
    /// The operator's genuine record, which every station stores.
    func operators() async throws -> SignedRecord<UserRecord>? {
        cloud.centerStore.load().users.first { $0.name == "op" }?.signed
    }
}
