import Foundation
import GRDB
import MastCloudClient
import MastCloudCore
import MastRPC
import MastTimebase
import MastTransport
import Testing

/// Receipts in the pool on disk.
@Suite struct `Receipts in the pool` {
    private let root: SigningKeyPair
    private let receipts: [AttestedReceipt]

    /// Of stations `a`, `b` and `c` over the bytes 1, 2, 3 of run `r1`.
    init() throws {
        var generator = SeededGenerator(seed: 12)
        root = SigningKeyPair(using: &generator)
        var receipts: [AttestedReceipt] = []
        for name in ["a", "b", "c"] {
            let signing = SigningKeyPair(using: &generator)
            let record = NodeRecord(
                role: .station, name: name, transportKey: StaticKeyPair(using: &generator).publicKey, signingKey: signing.publicKey, addresses: [],
                epoch: 1, issued: noon)
            let question = Receipt.Question(
                runID: "r1", userID: "ada", application: ContentDigest(of: [7]), entry: "run", input: ContentDigest(of: [8]), limits: .standard)
            let receipt = Receipt(
                question: question, outcome: .output(MerkleRoot(of: [1, 2, 3]), bytes: 3), fuelUsed: 1, nodeID: record.nodeID, executed: noon)
            receipts.append(AttestedReceipt(receipt: try SignedRecord(receipt, signedBy: signing), node: try SignedRecord(record, signedBy: root)))
        }
        self.receipts = receipts
    }

    private func submitted(_ bytes: [UInt8] = [1, 2, 3]) -> PoolSubmission {
        var submission = PoolSubmission(
            runID: "r1", application: "sort", servedBy: "a",
            provenance: Provenance(applicationDigest: ContentDigest(of: [7]), entry: "", inputDigest: ContentDigest(of: [8])), bytes: bytes)
        submission.receipt = receipts[0]
        return submission
    }

    @Test func `A receipt and the witnesses of a dispute survive, and go with their entry`() throws {
        let folder = TemporaryFolder()
        _ = try ResourcePool(directory: folder.path).commit(submitted(), at: noon)
        try ResourcePool(directory: folder.path).dispute("r1", witnesses: [receipts[1], receipts[2]])
        let pool = try ResourcePool(directory: folder.path)
        let entry = try #require(try pool.resource(for: "r1"))
        #expect(entry.receipt == receipts[0] && entry.isDisputed)
        #expect(try pool.witnesses(of: "r1") == [receipts[1], receipts[2]])
        #expect(try entry.receipt?.verified(root: root.publicKey).node.name == "a")
        // An unknown run has no dispute.
        try pool.dispute("r2", witnesses: [receipts[1]])
        #expect(try pool.witnesses(of: "r2") == [] && pool.resource(for: "r2") == nil)
        #expect(try pool.remove("r1", force: false, at: noon))
        #expect(try pool.witnesses(of: "r1") == [])
        _ = try pool.commit(submitted(), at: noon)
        #expect(try pool.resource(for: "r1")?.isDisputed == false)
    }

    @Test(arguments: [3, 10_000]) func `Bytes that were changed together with the index are not handed out`(_ count: Int) throws {
        let folder = TemporaryFolder()
        let bytes = [UInt8](repeating: 5, count: count)
        var submission = submitted(bytes)
        submission.receipt = receipts[0]
        let other = ContentDigest(of: bytes)
        _ = try ResourcePool(directory: folder.path).commit(submission, at: noon)
        // The receipt is about 1, 2, 3; index and bytes agree with each other on something else.
        let pool = try ResourcePool(directory: folder.path)
        #expect(try pool.resource(for: "r1")?.digest == other)
        #expect(throws: PoolError.contradictsReceipt("r1")) { try pool.contents(of: "r1") }
    }

    /// A folder with the run `r1`, whose index somebody changes by hand.
    private func changed(_ sql: String, _ folder: borrowing TemporaryFolder) throws -> ResourcePool {
        _ = try ResourcePool(directory: folder.path).commit(submitted(), at: noon)
        let queue = try DatabaseQueue(path: folder.path + "/index.sqlite")
        try queue.write { db in try db.execute(sql: "UPDATE entry SET \(sql) WHERE runID = 'r1'") }
        try queue.close()
        return try ResourcePool(directory: folder.path)
    }

    @Test(arguments: [
        "size = -5", "size = 'many'", "digest = x'00'", "digest = 'text'", "inputDigest = x'01'", "application = x'FF'", "createdAt = 'noon'",
        "applicationDigest = x'02'", "receipt = x'03'", "receipt = 'text'", "pinned = 'yes'", "servedBy = x'FE'",
    ]) func `A row that nobody of ours wrote is an error of that run, which can be removed`(_ sql: String) throws {
        let folder = TemporaryFolder()
        let pool = try changed(sql, folder)
        #expect(throws: PoolError.damagedEntry("r1")) { try pool.resource(for: "r1") }
        #expect(throws: PoolError.damagedEntry("r1")) { try pool.contents(of: "r1") }
        #expect(throws: PoolError.damagedEntry("r1")) { try pool.resources() }
        #expect(throws: PoolError.damagedEntry("r1")) { try pool.commit(submitted(), at: noon) }
        #expect(try pool.remove("r1", force: false, at: noon))
        #expect(try pool.resources().isEmpty)
        guard case .committed = try pool.commit(submitted(), at: noon) else { return #expect(Bool(false)) }
        #expect(try pool.contents(of: "r1") == [1, 2, 3])
    }

    @Test func `A row under a name that no run may have is told, and can be removed by it`() throws {
        let folder = TemporaryFolder()
        let pool = try changed("runID = 'no name, and ../worse'", folder)
        #expect(throws: PoolError.damagedEntry("no name, and ../worse")) { try pool.resources() }
        #expect(try pool.remove("no name, and ../worse", force: false, at: noon))
        #expect(try pool.resources().isEmpty)
    }

    @Test(arguments: ["digest = 'a text'", "digest = x'00'", "size = 9000000000000000000", "size = 'much', digest = 7"])
    func `Bytes whose row is no row of ours are evicted once, and not for ever`(_ sql: String) throws {
        let folder = TemporaryFolder()
        _ = try ResourcePool(directory: folder.path).commit(submitted(), at: noon)
        let queue = try DatabaseQueue(path: folder.path + "/index.sqlite")
        try queue.write { db in try db.execute(sql: "UPDATE blob SET \(sql)") }
        try queue.close()
        let pool = try ResourcePool(directory: folder.path, quotaBytes: 0)
        #expect(try pool.statistics().bytes <= 0)
        #expect(try pool.contents(of: "r1") == nil)
    }

    @Test func `The receipt of another run proves nothing about this one`() throws {
        let folder = TemporaryFolder()
        let pool = try ResourcePool(directory: folder.path)
        var other = submitted()
        other.runID = "r2"
        // Run `r1`'s, over the same bytes.
        _ = try pool.commit(other, at: noon)
        #expect(throws: PoolError.contradictsReceipt("r2")) { try pool.contents(of: "r2") }
    }

    @Test func `A result without a receipt gets one when it is computed again`() throws {
        let folder = TemporaryFolder()
        let pool = try changed("receipt = NULL", folder)
        #expect(try pool.resource(for: "r1")?.receipt == nil)
        guard case .duplicateSame(let entry) = try pool.commit(submitted(), at: noon) else { return #expect(Bool(false)) }
        #expect(entry.receipt == receipts[0])
    }

    @Test func `A pool from before receipts is taken over, and its entries say that they have none`() throws {
        let folder = TemporaryFolder()
        _ = try ResourcePool(directory: folder.path).commit(submitted(), at: noon)
        // What version 1 had.
        let queue = try DatabaseQueue(path: folder.path + "/index.sqlite")
        try queue.write { db in
            try db.execute(
                sql: """
                    DROP INDEX witnessByRun; DROP TABLE witness;
                    ALTER TABLE entry DROP COLUMN receipt; ALTER TABLE entry DROP COLUMN disputed;
                    PRAGMA user_version = 1;
                    """)
        }
        try queue.close()

        let pool = try ResourcePool(directory: folder.path)
        let entry = try #require(try pool.resource(for: "r1"))
        #expect(entry.receipt == nil && !entry.isDisputed)
        #expect(try pool.contents(of: "r1") == [1, 2, 3])
        var next = submitted()
        next.runID = "r2"
        _ = try pool.commit(next, at: noon)
        #expect(try pool.resource(for: "r2")?.receipt == receipts[0])
    }
}
