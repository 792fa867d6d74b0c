import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import Testing

@Suite struct RecordTests {
    let cast = Cast()

    @Test func `a signed record comes back as it was signed`() throws {
        let signed = try SignedRecord(cast.stationRecord, signedBy: cast.root)
        #expect(try signed.verified(by: cast.root.publicKey) == cast.stationRecord)
        let user = try SignedRecord(cast.user, signedBy: cast.root)
        #expect(try user.verified(by: cast.root.publicKey) == cast.user)
    }

    @Test func `equal records have equal bytes and equal signatures`() throws {
        #expect(try SignedRecord(cast.user, signedBy: cast.root) == SignedRecord(Cast().user, signedBy: Cast().root))
    }

    @Test func `a change of any byte is noticed`() throws {
        let signed = try SignedRecord(cast.user, signedBy: cast.root)
        for index in signed.payload.bytes.indices {
            var tampered = signed
            tampered.payload.bytes[index] ^= 1
            #expect(throws: TrustError.wrongSignature(of: "user record")) { try tampered.verified(by: cast.root.publicKey) }
        }
        for index in signed.signature.bytes.indices {
            var tampered = signed
            tampered.signature.bytes[index] ^= 0x80
            #expect(throws: TrustError.wrongSignature(of: "user record")) { try tampered.verified(by: cast.root.publicKey) }
        }
    }

    @Test func `another key's signature is none`() throws {
        let forged = try SignedRecord(cast.user, signedBy: cast.clientSigning)
        #expect(throws: TrustError.wrongSignature(of: "user record")) { try forged.verified(by: cast.root.publicKey) }
    }

    @Test func `a signature over one kind of record is none over another`() throws {
        let log = try SignedRecord(RevocationLog(number: 0, serials: []), signedBy: cast.root)
        let other = SignedRecord<ReleaseIndex>(payload: log.payload, signature: log.signature)
        #expect(throws: TrustError.wrongSignature(of: "release index")) { try other.verified(by: cast.root.publicKey) }
    }

    @Test func `records cut short, lengthened or made of noise are errors`() throws {
        let bytes = try SignedRecord(cast.user, signedBy: cast.root).payload.bytes
        for length in 0..<bytes.count {
            let cut = SignedRecord<UserRecord>(payload: ByteString(Array(bytes.prefix(length))), signature: ByteString([]))
            #expect(throws: TrustError.self) { try cut.unverified() }
        }
        let long = SignedRecord<UserRecord>(payload: ByteString(bytes + [0]), signature: ByteString([]))
        #expect(throws: TrustError.self) { try long.unverified() }
        var generator = SeededGenerator(seed: 9)
        for _ in 0..<2000 {
            let noise = generator.bytes(Int(generator.next(below: 200)))
            #expect(throws: (any Error).self) {
                _ = try SignedRecord<UserRecord>(payload: ByteString(noise), signature: ByteString([])).unverified()
            }
            #expect(throws: (any Error).self) { _ = try SignedRecord<NodeRecord>(fileBytes: noise).unverified() }
        }
    }

    @Test func `a record survives its file and its wire form`() throws {
        let signed = try SignedRecord(cast.user, signedBy: cast.root)
        #expect(try SignedRecord<UserRecord>(fileBytes: signed.fileBytes) == signed)
        let proof = try IdentityProof(
            scope: .operation, handshakeHash: Array(repeating: 1, count: 32), clientKey: cast.clientKeys.publicKey, signedBy: cast.clientSigning)
        #expect(IdentityProof(operatorProof: proof.metadataText) == proof)
        #expect(IdentityProof(operatorProof: "no proof!") == nil && IdentityProof(operatorProof: nil) == nil)
    }

    @Test func `a revocation list names users and nodes, in order and once`() throws {
        let nodes = ["b", "a", "b"].map(NodeID.init(rawValue:))
        let log = RevocationLog(number: 4, serials: [9, 3, 9, 5], nodes: nodes)
        #expect(log.serials == [3, 5, 9] && log.nodes.map(\.rawValue) == ["a", "b"])
        #expect([3, 5, 9].allSatisfy { log.contains($0 as UInt64) } && ![0, 4, 10].contains { log.contains($0 as UInt64) })
        #expect(log.contains(NodeID(rawValue: "a")) && !log.contains(NodeID(rawValue: "c")) && !RevocationLog.empty.contains(7 as UInt64))
        let signed = try SignedRecord(log, signedBy: cast.root)
        #expect(try signed.verified(root: cast.root.publicKey, notOlderThan: 4) == log)
        #expect(throws: TrustError.stale(of: "revocation log", known: 5, offered: 4)) {
            try signed.verified(root: cast.root.publicKey, notOlderThan: 5)
        }
        // Look-ups rest on the order, so a list that lacks it is none.
        for (serials, nodes, suspended) in [([5, 3], [], []), ([], ["b", "a"], []), ([], [], ["b", "a"]), ([3, 3], [], [])] as [([UInt64], [String], [String])] {
            var writer = CanonicalWriter()
            writer.integer(1)
            writer.integer(1)
            writer.list(serials) { $0.integer($1) }
            for list in [nodes, suspended] { writer.list(list) { $0.text($1) } }
            #expect(throws: TrustError.malformed("revocation log: not in order")) {
                try SignedRecord<RevocationLog>(payload: ByteString(writer.bytes), signature: ByteString([])).unverified()
            }
        }
    }

    @Test func `a ticket ends with its user or with the station that issued it`() throws {
        let ticket = try cast.ticket().unverified()
        try RevocationLog(number: 1, serials: [8], nodes: [NodeID(rawValue: "0")]).check(ticket)
        #expect(throws: TrustError.revoked(serial: 7)) { try RevocationLog(number: 1, serials: [7]).check(ticket) }
        let issuer = cast.stationRecord.nodeID
        #expect(throws: TrustError.removed(node: issuer.rawValue)) { try RevocationLog(number: 1, nodes: [issuer]).check(ticket) }
    }

    @Test func `the largest revocation list fits a record`() throws {
        let log = RevocationLog(
            number: 1, serials: Array(0..<UInt64(RevocationLog.mostSerials)),
            nodes: (0..<RevocationLog.mostNodes).map { NodeID(rawValue: String(100_000_000_000_000_0 + $0)) })
        #expect(try SignedRecord(log, signedBy: cast.root).verified(by: cast.root.publicKey) == log)
    }

    @Test func `stations refuse a release index older than the one they know`() throws {
        let old = try SignedRecord(ReleaseIndex(number: 3, applications: []), signedBy: cast.root)
        #expect(try old.verified(root: cast.root.publicKey, notOlderThan: 3).number == 3)
        #expect(throws: TrustError.stale(of: "release index", known: 4, offered: 3)) {
            try old.verified(root: cast.root.publicKey, notOlderThan: 4)
        }
    }

    @Test func `a release index names the newest version, and a pinned one by its digest`() throws {
        let first = cast.application("word-count", sequence: 1, content: "old")
        let second = cast.application("word-count", sequence: 2, content: "new")
        let index = ReleaseIndex(number: 1, applications: [first, cast.application("a", sequence: 1), second])
        let back = try SignedRecord(index, signedBy: cast.root).verified(by: cast.root.publicKey)
        #expect(back == index)
        #expect(back.application("word-count") == second)
        #expect(back.application("word-count", digest: first.digest) == first)
        #expect(back.application("word-count", digest: ContentDigest(of: [1])) == nil)
        #expect(back.application("missing") == nil)
    }

    @Test func `grants cover names and their beginnings`() {
        let grants = [Grant(role: .user, applications: ["word-*", "exact"])]
        #expect(grants.mayRun("word-count") && grants.mayRun("exact"))
        #expect(!grants.mayRun("exactly") && !grants.mayRun("image") && !grants.mayOperate)
        #expect([Grant(role: .operator)].mayOperate)
    }

    @Test func `a node's name is the beginning of its key's digest`() {
        let id = NodeID(of: cast.stationKeys.publicKey)
        #expect(id.rawValue.count == 16)
        #expect(ContentDigest(of: cast.stationKeys.publicKey.bytes).description.hasPrefix(id.rawValue))
    }

    @Test func `names that could be paths or options are none`() {
        #expect(isValidName("word-count.v2") && isValidName("ada@example") && isValidName("azAZ09_") && isValidName(String(repeating: "x", count: 128)))
        for bad in ["`", "{", "[", "/", ":", "", ".", "..", "a/b", "a b", "a\0", "ä", String(repeating: "x", count: 129)] { #expect(!isValidName(bad)) }
    }
}
