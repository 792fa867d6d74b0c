import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import Testing

/// What each record may hold at most: that much is read back, and one more is an error. Peers choose these lengths.
@Suite struct `Bounds of records` {
    private let cast = Cast()

    /// Whether a reader takes what a writer wrote, as it was.
    private func isRead<Record: TrustRecord>(_ record: Record) -> Bool {
        var writer = CanonicalWriter()
        record.write(to: &writer)
        return (try? SignedRecord<Record>(payload: ByteString(writer.bytes), signature: ByteString([])).unverified()) == record
    }

    private func text(_ count: Int) -> String { String(repeating: "x", count: count) }
    private func digits(_ count: Int) -> String { String(repeating: "0", count: count) }

    private func node(_ change: (inout NodeRecord) -> Void) -> Bool {
        var record = cast.stationRecord
        change(&record)
        return isRead(record)
    }

    private func user(_ change: (inout UserRecord) -> Void) -> Bool {
        var record = cast.user
        change(&record)
        return isRead(record)
    }

    private func application(_ change: (inout ApplicationPackage) -> Void) -> Bool {
        var record = cast.application("word-count", sequence: 1)
        change(&record)
        return isRead(record)
    }

    private func receipt(_ change: (inout Receipt) -> Void) -> Bool {
        let question = Receipt.Question(
            runID: RunID(rawValue: "r"), userID: "u", application: ContentDigest(of: [1]), entry: "run", input: ContentDigest(of: [2]), limits: .standard)
        var record = Receipt(
            question: question, outcome: .output(MerkleRoot(of: [3]), bytes: 1), fuelUsed: 7, nodeID: cast.stationRecord.nodeID, executed: cast.now)
        change(&record)
        return isRead(record)
    }

    private func grants(_ count: Int, _ applications: Int = 1, name: Int = 1) -> [Grant] {
        Array(repeating: Grant(role: .operator, applications: Array(repeating: text(name), count: applications)), count: count)
    }

    private func log(suspended count: Int) -> RevocationLog {
        RevocationLog(number: 1, suspended: (0..<count).map { NodeID(rawValue: "\(1_000_000 + $0)") })
    }

    @Test func `A record is read up to its bounds, and no further`() throws {
        let address = NetworkAddress(ipv4: 1, port: 1)
        let device = try #require(cast.user.devices.first)
        let rows: [(what: String, most: Int, isRead: (Int) -> Bool)] = [
            ("a node's name", 128, { count in node { $0.name = text(count) } }),
            ("a node's addresses", 16, { count in node { $0.addresses = Array(repeating: address, count: count) } }),
            ("a user's id", 128, { count in user { $0.userID = text(count) } }),
            ("a user's name", 128, { count in user { $0.name = text(count) } }),
            ("a user's devices", 64, { count in user { $0.devices = Array(repeating: device, count: count) } }),
            ("a user's grants", 64, { count in user { $0.grants = grants(count) } }),
            ("a grant's applications", 256, { count in user { $0.grants = grants(1, count) } }),
            ("a name in a grant", 128, { count in user { $0.grants = grants(1, name: count) } }),
            ("an application's name", 128, { count in application { $0.name = text(count) } }),
            ("its version", 128, { count in application { $0.version = text(count) } }),
            ("its entry", 128, { count in application { $0.entry = text(count) } }),
            ("its stated size", 64 << 20, { count in application { $0.sizeBytes = UInt64(count) } }),
            ("an index's applications", 4_096, { count in
                isRead(ReleaseIndex(number: 1, applications: (0..<count).map { cast.application("\(10_000 + $0)", sequence: 1) }))
            }),
            ("revoked serials", RevocationLog.mostSerials, { count in isRead(RevocationLog(number: 1, serials: Array(1...UInt64(count)))) }),
            ("removed nodes", RevocationLog.mostNodes, { count in
                isRead(RevocationLog(number: 1, nodes: (0..<count).map { NodeID(rawValue: "\(1_000_000 + $0)") }))
            }),
            ("suspended nodes", 4_096, { count in isRead(log(suspended: count)) }),
            ("a removed node's id", 16, { count in isRead(RevocationLog(number: 1, nodes: [NodeID(rawValue: text(count))])) }),
            ("a suspended node's id", 16, { count in isRead(RevocationLog(number: 1, suspended: [NodeID(rawValue: text(count))])) }),
            ("a receipt's run id", 128, { count in receipt { $0.question.runID = RunID(rawValue: text(count)) } }),
            ("its user", 128, { count in receipt { $0.question.userID = text(count) } }),
            ("its entry", 128, { count in receipt { $0.question.entry = text(count) } }),
            ("its trap", 128, { count in receipt { $0.outcome = .trap(text(count)) } }),
            ("its node", 16, { count in receipt { $0.nodeID = NodeID(rawValue: text(count)) } }),
        ]
        for row in rows { #expect(row.isRead(row.most) && !row.isRead(row.most + 1), "\(row.what), at most \(row.most)") }
    }

    /// Integers that stand for a choice: other values than those that are written are refused.
    @Test func `A number that means nothing is refused`() throws {
        func integers<Record: TrustRecord>(_ type: Record.Type, of record: Record, at offset: Int, _ values: [UInt64]) -> [UInt64] {
            values.filter { value in
                var writer = CanonicalWriter()
                record.write(to: &writer)
                var number = CanonicalWriter()
                number.integer(value)
                var bytes = writer.bytes
                bytes.replaceSubrange(offset..<offset + 8, with: number.bytes)
                return (try? SignedRecord<Record>(payload: ByteString(bytes), signature: ByteString([])).unverified()) != nil
            }
        }
        // The role stands first.
        #expect(integers(NodeRecord.self, of: cast.stationRecord, at: 0, [0, 1, 2, 3]) == [1, 2])
        // Behind two texts, a list of one device with two keys, and the grants' count.
        let role = 4 + 2 + 4 + 3 + 4 + 2 * (4 + 32) + 4
        #expect(integers(UserRecord.self, of: cast.user, at: role, [0, 1, 2, 3]) == [1, 2])
        // Whether audits are refused, behind name, version, digest, size, entry and three limits.
        let audit = 4 + 1 + 4 + 1 + 4 + 32 + 8 + 4 + 3 + 3 * 8
        #expect(integers(ApplicationPackage.self, of: cast.application("a", sequence: 1), at: audit, [0, 1, 2]) == [0, 1])
        for refuses in [false, true] { #expect(application { $0.refusesAudit = refuses }) }
        // How it ended, behind two texts, two digests, the entry and three limits.
        let question = Receipt.Question(
            runID: RunID(rawValue: "r"), userID: "u", application: ContentDigest(of: [1]), entry: "run", input: ContentDigest(of: [2]), limits: .standard)
        let trapped = Receipt(question: question, outcome: .trap("t"), fuelUsed: 7, nodeID: cast.stationRecord.nodeID, executed: cast.now)
        let outcome = 4 + 1 + 4 + 1 + 4 + 32 + 4 + 3 + 4 + 32 + 3 * 8
        #expect(integers(Receipt.self, of: trapped, at: outcome, [0, 2, 3]) == [2])
    }

    @Test func `Keys and digests have 32 bytes, and nothing else is one`() {
        let bytes = (0..<33).map { UInt8($0) }
        for count in [0, 31, 32, 33] {
            let cut = Array(bytes.prefix(count))
            #expect((SigningPublicKey(bytes: cut) != nil) == (count == 32))
            #expect((ContentDigest(bytes: cut) != nil) == (count == 32))
            #expect((MerkleRoot(bytes: cut) != nil) == (count == 32))
            #expect((SigningKeyPair(privateKey: cut) != nil) == (count == 32))
        }
    }

    @Test func `Keys and digests are ordered as their bytes are, and survive being written`() throws {
        let bytes = [UInt8](repeating: 7, count: 31)
        let low = try #require(ContentDigest(bytes: bytes + [1]))
        let high = try #require(ContentDigest(bytes: bytes + [2]))
        #expect(low < high && !(high < low) && !(low < low))
        let first = try #require(SigningPublicKey(bytes: bytes + [1]))
        let second = try #require(SigningPublicKey(bytes: bytes + [2]))
        #expect(first < second && !(second < first) && !(first < first))
        #expect(ContentDigest(low.description) == low && SigningPublicKey(first.description) == first)
        #expect(ContentDigest("07") == nil && ContentDigest("no digits") == nil && SigningPublicKey("AAAA") == nil && SigningPublicKey("?") == nil)
        let (a, b) = (RunID(rawValue: "a"), RunID(rawValue: "b"))
        #expect(a < b && !(b < a) && !(a < a) && a.isValid && !RunID(rawValue: "").isValid)
        // The digest of what is not contiguous is that of the same bytes.
        #expect(ContentDigest(of: (0..<200).lazy.map { UInt8($0) }) == ContentDigest(of: (0..<200).map { UInt8($0) }))
    }

    @Test func `A generator's words become bytes, the lowest first`() {
        struct Counting: RandomNumberGenerator {
            mutating func next() -> UInt64 { 0x0807_0605_0403_0201 }
        }
        var generator = Counting()
        #expect(generator.bytes(10) == [1, 2, 3, 4, 5, 6, 7, 8, 1, 2] && generator.bytes(0) == [])
    }

    @Test func `A record larger than any is not looked at, signed or not`() throws {
        for (count, fits) in [(maximumRecordBytes, true), (maximumRecordBytes + 1, false)] {
            let large = SignedRecord<NodeRecord>(payload: ByteString([UInt8](repeating: 0, count: count)), signature: ByteString([]))
            let tooLarge = TrustError.malformed("node record: too large")
            for read in [{ try large.unverified() }, { try large.verified(by: cast.root.publicKey) }] as [() throws -> NodeRecord] {
                do {
                    _ = try read()
                    Issue.record("zeros are no record")
                } catch let error as TrustError { #expect((error == tooLarge) == !fits, "\(count) bytes: \(error)") }
            }
        }
    }

    @Test func `A signature has at most 64 bytes, and what a ticket carries is bounded`() throws {
        func isRead(_ signature: Int) -> Bool {
            let record = SignedRecord<NodeRecord>(payload: ByteString([1]), signature: ByteString([UInt8](repeating: 0, count: signature)))
            return (try? SignedRecord<NodeRecord>(fileBytes: record.fileBytes)) == record
        }
        #expect(isRead(64) && !isRead(65))
        /// A ticket whose user's record is filled up to so many bytes.
        func ticket(userBytes count: Int) throws -> Bool {
            var user = cast.user
            user.grants = grants(2, 150, name: 120) + [Grant(role: .user, applications: [])]
            let given = try SignedRecord(user, signedBy: cast.root).payload.bytes.count
            // Names of 60 bytes after a length of 4, and a last one of what is left.
            let room = count - given
            user.grants[2].applications = Array(repeating: text(60), count: room / 64 - 1) + [text(room % 64 + 60)]
            let record = try SignedRecord(user, signedBy: cast.root)
            #expect(record.payload.bytes.count == count)
            let made = try Ticket(user: record, clientKey: cast.clientKeys.publicKey, issuer: SignedRecord(cast.stationRecord, signedBy: cast.root), at: cast.now)
            return self.isRead(made)
        }
        #expect(try ticket(userBytes: UserRecord.maximumBytes) && !ticket(userBytes: UserRecord.maximumBytes + 1))
        #expect(UserRecord.maximumBytes == 49_152 && NodeRecord.maximumBytes == 2_048 && Receipt.maximumBytes == 2_048)
    }
}
