import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import Testing

@Suite struct IdentityTests {
    let cast = Cast()
    let hash = [UInt8](repeating: 7, count: 32)

    @Test func `whoever knows the root key can check a ticket alone`() throws {
        let ticket = try cast.ticket().verified(root: cast.root.publicKey, clientKey: cast.clientKeys.publicKey, at: CloudTime(own: cast.now))
        #expect(ticket.userName == "ada" && ticket.grants.mayRun("word-count"))
        #expect(ticket.notAfter == cast.now + .seconds(900))
    }

    @Test func `a ticket ends, and says when`() throws {
        let end = cast.now + Ticket.lifetime
        _ = try cast.ticket().verified(root: cast.root.publicKey, clientKey: cast.clientKeys.publicKey, at: CloudTime(own: end))
        #expect(throws: TrustError.expired(of: "ticket", at: end)) {
            try cast.ticket().verified(
                root: cast.root.publicKey, clientKey: cast.clientKeys.publicKey, at: CloudTime(own: end + .milliseconds(1)))
        }
    }

    @Test func `a ticket that begins in the future is not good yet, but for the width of honest clocks`() throws {
        let early = cast.now + (.zero - Ticket.clockTolerance)
        _ = try cast.ticket().verified(root: cast.root.publicKey, clientKey: cast.clientKeys.publicKey, at: CloudTime(own: early))
        #expect(throws: TrustError.notYet(of: "ticket", from: cast.now)) {
            try cast.ticket().verified(root: cast.root.publicKey, clientKey: cast.clientKeys.publicKey, at: CloudTime(own: early + .milliseconds(-1)))
        }
    }

    @Test func `a ticket is worth nothing to another client`() throws {
        #expect(throws: TrustError.wrongKey(of: "ticket")) {
            try cast.ticket().verified(root: cast.root.publicKey, clientKey: cast.stationKeys.publicKey, at: CloudTime(own: cast.now))
        }
    }

    @Test func `a node that the root did not sign cannot issue tickets`() throws {
        let forged = try SignedRecord(
            Ticket(
                user: SignedRecord(cast.user, signedBy: cast.root), clientKey: cast.clientKeys.publicKey,
                issuer: SignedRecord(cast.stationRecord, signedBy: cast.stationSigning), at: cast.now),
            signedBy: cast.stationSigning)
        #expect(throws: TrustError.wrongSignature(of: "node record")) {
            try forged.verified(root: cast.root.publicKey, clientKey: cast.clientKeys.publicKey, at: CloudTime(own: cast.now))
        }
        let borrowed = try SignedRecord(
            Ticket(
                user: SignedRecord(cast.user, signedBy: cast.root), clientKey: cast.clientKeys.publicKey,
                issuer: SignedRecord(cast.stationRecord, signedBy: cast.root), at: cast.now),
            signedBy: cast.clientSigning)
        #expect(throws: TrustError.wrongSignature(of: "ticket")) {
            try borrowed.verified(root: cast.root.publicKey, clientKey: cast.clientKeys.publicKey, at: CloudTime(own: cast.now))
        }
    }

    @Test func `a proof holds for its connection, its key and its scope only`() throws {
        let device = try #require(cast.user.devices.first)
        let proof = try IdentityProof(handshakeHash: hash, clientKey: cast.clientKeys.publicKey, signedBy: cast.clientSigning)
        try proof.verify(device: device, handshakeHash: hash, scope: .runs)
        #expect(throws: TrustError.wrongSignature(of: "identity proof")) {
            try proof.verify(device: device, handshakeHash: [UInt8](repeating: 8, count: 32), scope: .runs)
        }
        var stolen = device
        stolen.transportKey = cast.stationKeys.publicKey
        #expect(throws: TrustError.wrongSignature(of: "identity proof")) { try proof.verify(device: stolen, handshakeHash: hash, scope: .runs) }
        var widened = proof
        widened.scope = IdentityProof.Scope.operation.rawValue
        #expect(throws: TrustError.wrongSignature(of: "identity proof")) {
            try widened.verify(device: device, handshakeHash: hash, scope: .operation)
        }
        #expect(throws: TrustError.wrongScope(of: "identity proof", expected: "operation")) {
            try proof.verify(device: device, handshakeHash: hash, scope: .operation)
        }
        #expect(throws: TrustError.malformed("identity proof")) { try proof.verify(device: device, handshakeHash: [], scope: .runs) }
    }

    @Test func `a join token survives printing, and a damaged one is refused`() throws {
        var generator = SeededGenerator(seed: 3)
        let token = JoinToken(
            rootKey: cast.root.publicKey, communicationServer: .loopback(port: 4433),
            communicationServerKey: cast.stationKeys.publicKey, notAfter: cast.now, using: &generator)
        #expect(try JoinToken(text: token.text) == token)
        #expect(throws: TrustError.self) { try JoinToken(text: String(token.text.dropLast(3))) }
        #expect(throws: TrustError.self) { try JoinToken(text: "mast2." + token.text.dropFirst(6)) }
        #expect(throws: TrustError.self) { try JoinToken(text: "") }
    }

    @Test func `a join request proves the token's secret and covers every field`() throws {
        var generator = SeededGenerator(seed: 3)
        let token = JoinToken(
            rootKey: cast.root.publicKey, communicationServer: .loopback(port: 4433),
            communicationServerKey: cast.stationKeys.publicKey, notAfter: cast.now, using: &generator)
        let request = JoinRequest(
            token: token, name: "station-a", transportKey: cast.stationKeys.publicKey,
            signingKey: cast.stationSigning.publicKey, addresses: [])
        #expect(request.isAuthentic(verifier: token.verifier))
        #expect(!request.isAuthentic(verifier: token.secret))
        let changes: [(inout JoinRequest) -> Void] = [
            { $0.name = "station-b" }, { $0.tokenID = ByteString([1]) }, { $0.transportKey = ByteString(cast.clientKeys.publicKey.bytes) },
            { $0.signingKey = ByteString(cast.clientSigning.publicKey.bytes) }, { $0.addresses = ["10.0.0.1:1"] }, { $0.code = ByteString([]) },
        ]
        for change in changes {
            var changed = request
            change(&changed)
            #expect(!changed.isAuthentic(verifier: token.verifier))
        }
    }

    @Test func `a token's parts have their sizes`() throws {
        var generator = SeededGenerator(seed: 3)
        let token = JoinToken(
            rootKey: cast.root.publicKey, communicationServer: .loopback(port: 4433),
            communicationServerKey: cast.stationKeys.publicKey, notAfter: cast.now, using: &generator)
        #expect(token.tokenID.count == 16 && token.secret.count == 32 && JoinToken.defaultLifetime == .seconds(3_600))
        let changes: [(inout JoinToken) -> Void] = [
            { $0.tokenID.removeLast() }, { $0.tokenID.append(0) }, { $0.secret.removeLast() }, { $0.secret.append(0) },
        ]
        for change in changes {
            var changed = token
            change(&changed)
            #expect(throws: TrustError.self) { try JoinToken(text: changed.text) }
        }
        // Nothing may follow.
        let longer = "mast1." + Base64URL.encode(try #require(Base64URL.decode(String(token.text.dropFirst(6)))) + [0])
        #expect(throws: TrustError.malformed("record: bytes follow its end")) { try JoinToken(text: longer) }
        // A text of more than 4,096 bytes is not even decoded.
        let isNone = TrustError.malformed("join token: it begins with \"mast1.\" and is printed by the center")
        #expect(throws: isNone) { try JoinToken(text: "mast1." + String(repeating: "A", count: 4_091)) }
        do {
            _ = try JoinToken(text: "mast1." + String(repeating: "A", count: 4_090))
            Issue.record("zeros are no token")
        } catch { #expect(error != isNone) }
    }

    /// Other implementations sign the same bytes.
    @Test func `what is signed begins with what it is`() throws {
        func bytes(_ fields: [[UInt8]]) -> [UInt8] {
            fields.flatMap { field in (0..<4).map { UInt8(truncatingIfNeeded: field.count >> (24 - 8 * $0)) } + field }
        }
        let key = cast.clientKeys.publicKey
        let proof = try IdentityProof(handshakeHash: hash, clientKey: key, signedBy: cast.clientSigning)
        let proven = bytes([Array("mast identity v1".utf8), hash, key.bytes, Array("runs".utf8)])
        #expect(cast.clientSigning.publicKey.isValidSignature(proof.signature.bytes, of: proven))
        let record = try SignedRecord(UsersNumber(StateNumber(epoch: 1, count: 5)), signedBy: cast.root)
        let number = [UInt8](repeating: 0, count: 7) + [1] + [UInt8](repeating: 0, count: 7) + [5]
        #expect(record.payload.bytes == number)
        let signed = bytes([Array("mast record v1".utf8), Array("users number".utf8), number])
        #expect(cast.root.publicKey.isValidSignature(record.signature.bytes, of: signed))
        #expect(throws: TrustError.malformed("record: bytes follow its end")) { try SignedRecord<UsersNumber>(fileBytes: record.fileBytes + [0]) }
    }

    @Test func `an operator's proof has at most 128 characters`() {
        for (count, isRead) in [(128, true), (132, false)] { #expect((IdentityProof(operatorProof: String(repeating: "A", count: count)) != nil) == isRead) }
    }

    private func profile() throws -> ClientProfile {
        ClientProfile(
            userName: "ada", communicationServer: .loopback(port: 4433), communicationServerKey: cast.stationKeys.publicKey,
            servers: try SignedRecord(
                CommunicationServers(number: 1, servers: [.init(address: .loopback(port: 4433), key: cast.stationKeys.publicKey)]), signedBy: cast.root),
            rootKey: cast.root.publicKey, identity: cast.clientKeys, signing: cast.clientSigning,
            userRecord: try SignedRecord(cast.user, signedBy: cast.root))
    }

    @Test func `a profile opens to the keys it was made of`() throws {
        let opened = try profile().opened()
        #expect(opened.identity.publicKey == cast.clientKeys.publicKey)
        #expect(opened.signing.publicKey == cast.clientSigning.publicKey)
        #expect(opened.communicationServer == .loopback(port: 4433) && opened.communicationServerKey == cast.stationKeys.publicKey)
        let device = try #require(cast.user.devices.first)
        for scope in [IdentityProof.Scope.runs, .operation] {
            try opened.proof(scope, handshakeHash: hash).verify(device: device, handshakeHash: hash, scope: scope)
        }
    }

    @Test func `a profile names the field that is wrong`() throws {
        let short = Base64URL.encode([1, 2, 3])
        let fields: [(name: String, wrong: String, path: WritableKeyPath<ClientProfile, String>)] = [
            ("communicationServer", "nowhere", \.communicationServer), ("communicationServerKey", short, \.communicationServerKey),
            ("communicationServerKey", "?", \.communicationServerKey), ("rootKey", "?", \.rootKey), ("rootKey", short, \.rootKey),
            ("transportPrivateKey", short, \.transportPrivateKey), ("transportPrivateKey", "?", \.transportPrivateKey),
            ("signingPrivateKey", short, \.signingPrivateKey), ("signingPrivateKey", "?", \.signingPrivateKey),
        ]
        for field in fields {
            var broken = try profile()
            broken[keyPath: field.path] = field.wrong
            #expect(throws: TrustError.malformed("profile field \(field.name)")) { try broken.opened() }
        }
        for version in [1, 3] {
            var other = try profile()
            other.formatVersion = version
            #expect(throws: TrustError.malformed("profile: format version \(version) is not known here")) { try other.opened() }
        }
    }

    @Test func `a key pair's text never shows the private half`() {
        #expect(!"\(cast.root)".contains(Base64URL.encode(cast.root.privateBytes)))
    }
}
