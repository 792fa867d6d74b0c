import Foundation
import GRDB
import MastCloudCore
import MastTimebase

/// The statements on a pool's index. Each function is part of a transaction that its caller opened.
enum PoolIndex {
    static let version = 2

    static func isCurrent(_ db: Database) throws -> Bool { try Int.fetchOne(db, sql: "PRAGMA user_version") == version }

    static func migrate(_ db: Database) throws {
        let found = try Int.fetchOne(db, sql: "PRAGMA user_version") ?? 0
        guard found <= version else {
            throw PoolError.damaged(path: "of this pool", reason: "it was written by a newer version of mast")
        }
        if found == 0 { try first(db) }
        // Version 2: receipts. Older entries have none, and say so.
        if found < 2 {
            try db.execute(
                sql: """
                    ALTER TABLE entry ADD COLUMN receipt BLOB;
                    ALTER TABLE entry ADD COLUMN disputed INTEGER NOT NULL DEFAULT 0;
                    CREATE TABLE witness (runID TEXT NOT NULL, receipt BLOB NOT NULL);
                    CREATE INDEX witnessByRun ON witness (runID);
                    """)
        }
        try db.execute(sql: "PRAGMA user_version = \(version)")
    }

    private static func first(_ db: Database) throws {
        try db.execute(
            sql: """
                CREATE TABLE entry (
                    runID TEXT PRIMARY KEY, application TEXT NOT NULL, applicationDigest BLOB, entryPoint TEXT NOT NULL,
                    inputDigest BLOB NOT NULL, digest BLOB NOT NULL, size INTEGER NOT NULL, servedBy TEXT NOT NULL,
                    createdAt INTEGER NOT NULL, pinned INTEGER NOT NULL DEFAULT 0);
                CREATE INDEX entryByDigest ON entry (digest);
                CREATE INDEX entryByAge ON entry (createdAt);
                CREATE TABLE blob (
                    digest BLOB PRIMARY KEY, size INTEGER NOT NULL, lastUse INTEGER NOT NULL, bytes BLOB);
                CREATE INDEX blobByUse ON blob (lastUse, size);
                CREATE TABLE lease (
                    number INTEGER PRIMARY KEY AUTOINCREMENT, runID TEXT NOT NULL, digest BLOB NOT NULL,
                    expires INTEGER NOT NULL);
                CREATE TABLE garbage (digest BLOB PRIMARY KEY);
                CREATE TABLE divergence (
                    runID TEXT NOT NULL, committed BLOB NOT NULL, other BLOB NOT NULL, servedBy TEXT NOT NULL,
                    at INTEGER NOT NULL);
                CREATE TABLE number (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
                """)
        try set(db, "quota", ResourcePool.defaultQuotaBytes)
    }

    // MARK: Numbers

    static func set(_ db: Database, _ name: String, _ value: Int) throws {
        try db.execute(
            sql: "INSERT INTO number VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value",
            arguments: [name, value])
    }

    static func count(_ db: Database, _ name: String) throws {
        try db.execute(
            sql: "INSERT INTO number VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = value + 1", arguments: [name])
    }

    static func number(_ db: Database, _ name: String) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT value FROM number WHERE name = ?", arguments: [name]) ?? 0
    }

    static func statistics(_ db: Database) throws -> PoolStatistics {
        var statistics = PoolStatistics()
        statistics.entries = try Int.fetchOne(db, sql: "SELECT count(*) FROM entry") ?? 0
        statistics.resident = try Int.fetchOne(db, sql: "SELECT count(*) FROM entry JOIN blob USING (digest)") ?? 0
        statistics.pinned = try Int.fetchOne(db, sql: "SELECT count(*) FROM entry WHERE pinned") ?? 0
        statistics.bytes = try heldBytes(db)
        statistics.quotaBytes = try number(db, "quota")
        statistics.committed = try number(db, "committed")
        statistics.duplicateSame = try number(db, "duplicateSame")
        statistics.divergent = try number(db, "divergent")
        statistics.restored = try number(db, "restored")
        statistics.evicted = try number(db, "evicted")
        statistics.lost = try number(db, "lost")
        statistics.hits = try number(db, "hits")
        return statistics
    }

    private static func heldBytes(_ db: Database) throws -> Int {
        try Int.fetchOne(db, sql: "SELECT coalesce(sum(size), 0) FROM blob INDEXED BY blobByUse") ?? 0
    }

    // MARK: Entries

    private static let columns = """
        SELECT entry.*, EXISTS (SELECT 1 FROM blob WHERE blob.digest = entry.digest) AS resident FROM entry
        """

    /// - Throws: `PoolError.damagedEntry` for a row that no version of ours can have written.
    static func entry(_ db: Database, _ runID: RunID) throws -> VirtualResource? {
        do {
            // By way of a copied row, whose values keep their types: SQLite turns a text into a number where it is asked for one.
            return try Row.fetchOne(db, sql: columns + " WHERE runID = ?", arguments: [runID.rawValue]).map { try EntryRow(row: $0).resource() }
        } catch is RowDecodingError { throw PoolError.damagedEntry(runID) }
    }

    static func entries(_ db: Database) throws -> [VirtualResource] {
        try Row.fetchAll(db, sql: columns + " ORDER BY runID").map { row in
            do { return try EntryRow(row: row).resource() } catch is RowDecodingError {
                throw PoolError.damagedEntry(RunID(rawValue: (row["runID"] as DatabaseValue?).flatMap(String.fromDatabaseValue) ?? "without a name"))
            }
        }
    }

    /// GRDB decodes it: a column of another type is an error, where `Row`'s subscripts would end the process.
    private struct EntryRow: Decodable, FetchableRecord {
        var runID, application, entryPoint, servedBy: String
        var digest, inputDigest: Data
        var applicationDigest, receipt: Data?
        var size: Int
        var createdAt: Int64
        var pinned, resident, disputed: Bool

        func resource() throws(PoolError) -> VirtualResource {
            let id = RunID(rawValue: runID)
            func known(_ data: Data) throws(PoolError) -> ContentDigest {
                guard let digest = ContentDigest(bytes: Array(data)) else { throw .damagedEntry(id) }
                return digest
            }
            guard id.isValid, size >= 0 else { throw .damagedEntry(id) }
            var of: ContentDigest?
            if let applicationDigest { of = try known(applicationDigest) }
            var resource = VirtualResource(
                runID: id, application: application, digest: try known(digest), size: size, servedBy: servedBy,
                createdAt: WallTime(milliseconds: createdAt),
                provenance: Provenance(applicationDigest: of, entry: entryPoint, inputDigest: try known(inputDigest)), pinned: pinned, resident: resident)
            resource.isDisputed = disputed
            if let receipt {
                do throws(TrustError) { resource.receipt = try AttestedReceipt(fileBytes: Array(receipt)) } catch { throw .damagedEntry(id) }
            }
            return resource
        }
    }

    private static func digest(_ row: Row, _ column: String) -> ContentDigest? {
        (row[column] as DatabaseValue?).flatMap(Data.fromDatabaseValue).flatMap { ContentDigest(bytes: Array($0)) }
    }

    /// An entry that cannot be read names no bytes that could be looked for: whatever they were, the quota takes them.
    static func removeDamaged(_ db: Database, _ runID: RunID) throws -> Bool {
        try db.execute(sql: "DELETE FROM lease WHERE runID = ?", arguments: [runID.rawValue])
        try db.execute(sql: "DELETE FROM witness WHERE runID = ?", arguments: [runID.rawValue])
        try db.execute(sql: "DELETE FROM entry WHERE runID = ?", arguments: [runID.rawValue])
        return db.changesCount > 0
    }

    static func removeEntry(_ db: Database, _ entry: VirtualResource) throws {
        try db.execute(sql: "DELETE FROM entry WHERE runID = ?", arguments: [entry.runID.rawValue])
        try db.execute(sql: "DELETE FROM lease WHERE runID = ?", arguments: [entry.runID.rawValue])
        try db.execute(sql: "DELETE FROM witness WHERE runID = ?", arguments: [entry.runID.rawValue])
        let others = try Int.fetchOne(
            db, sql: "SELECT count(*) FROM entry WHERE digest = ?", arguments: [Data(entry.digest.bytes)])
        if others == 0 { try dropBlob(db, entry.digest) }
    }

    static func isLeased(_ db: Database, _ runID: RunID, at now: WallTime) throws -> Bool {
        try Bool.fetchOne(
            db, sql: "SELECT EXISTS (SELECT 1 FROM lease WHERE runID = ? AND expires > ?)",
            arguments: [runID.rawValue, now.milliseconds]) ?? false
    }

    // MARK: Commit

    /// - Parameter publish: gives the file of the bytes its place; nil for bytes that live in the index.
    static func commit(
        _ db: Database, _ submission: PoolSubmission, _ digest: ContentDigest, at now: WallTime, publish: (() throws -> Void)?
    ) throws -> CommitOutcome {
        let runID = submission.runID
        let there = try entry(db, runID)
        if let there {
            guard there.answers(
                application: submission.application, entry: submission.provenance.entry,
                inputDigest: submission.provenance.inputDigest)
            else { throw PoolError.runIDInUse(runID: runID, application: there.application) }
            guard there.digest == digest else {
                try recordDivergence(db, submission, there, digest, at: now)
                return .divergent(committed: there, other: digest)
            }
        } else {
            try db.execute(
                sql: """
                    INSERT INTO entry
                        (runID, application, applicationDigest, entryPoint, inputDigest, digest, size, servedBy, createdAt, receipt)
                    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    runID.rawValue, submission.application, submission.provenance.applicationDigest.map { Data($0.bytes) },
                    submission.provenance.entry, Data(submission.provenance.inputDigest.bytes), Data(digest.bytes),
                    submission.bytes.count, submission.servedBy, now.milliseconds, submission.receipt.map { Data($0.fileBytes) },
                ])
            try forgetOldest(db, but: runID)
        }
        try keep(db, submission.bytes, digest, at: now, publish: publish)
        // Kept before results had receipts.
        if let there, there.receipt == nil, let receipt = submission.receipt {
            try db.execute(sql: "UPDATE entry SET receipt = ? WHERE runID = ?", arguments: [Data(receipt.fileBytes), runID.rawValue])
        }
        let duplicate = there?.resident == true
        try count(db, there == nil ? "committed" : duplicate ? "duplicateSame" : "restored")
        guard let resource = try entry(db, runID) else { throw PoolError.busy }
        return duplicate ? .duplicateSame(resource) : .committed(resource)
    }

    // MARK: Disputes

    static func dispute(_ db: Database, _ runID: RunID, _ witnesses: [AttestedReceipt]) throws {
        try db.execute(sql: "UPDATE entry SET disputed = 1 WHERE runID = ?", arguments: [runID.rawValue])
        guard db.changesCount > 0 else { return }
        try db.execute(sql: "DELETE FROM witness WHERE runID = ?", arguments: [runID.rawValue])
        for witness in witnesses {
            try db.execute(sql: "INSERT INTO witness VALUES (?, ?)", arguments: [runID.rawValue, Data(witness.fileBytes)])
        }
    }

    static func witnesses(_ db: Database, _ runID: RunID) throws -> [AttestedReceipt] {
        try Data.fetchAll(db, sql: "SELECT receipt FROM witness WHERE runID = ? ORDER BY rowid", arguments: [runID.rawValue])
            .compactMap { try? AttestedReceipt(fileBytes: Array($0)) }
    }

    private static func recordDivergence(
        _ db: Database, _ submission: PoolSubmission, _ there: VirtualResource, _ other: ContentDigest, at now: WallTime
    ) throws {
        try count(db, "divergent")
        try db.execute(
            sql: "INSERT INTO divergence VALUES (?, ?, ?, ?, ?)",
            arguments: [
                submission.runID.rawValue, Data(there.digest.bytes), Data(other.bytes), submission.servedBy, now.milliseconds,
            ])
        // The last thousand tell the story; the counter tells how many there were.
        try db.execute(
            sql: "DELETE FROM divergence WHERE rowid <= (SELECT max(rowid) FROM divergence) - 1000")
    }

    /// Entries whose bytes are gone cost some 200 bytes each: bounded, so that years of runs do not pile up.
    private static func forgetOldest(_ db: Database, but runID: RunID) throws {
        let entries = try Int.fetchOne(db, sql: "SELECT count(*) FROM entry") ?? 0
        guard entries > ResourcePool.entryLimit else { return }
        let oldest = try String.fetchAll(
            db, sql: "SELECT runID FROM entry WHERE NOT pinned AND runID <> ? ORDER BY createdAt LIMIT ?",
            arguments: [runID.rawValue, entries - ResourcePool.entryLimit + ResourcePool.entryLimit / 100])
        for id in oldest.map(RunID.init(rawValue:)) {
            do {
                if let entry = try entry(db, id) { try removeEntry(db, entry) }
            } catch PoolError.damagedEntry { _ = try removeDamaged(db, id) }
        }
    }

    // MARK: Bytes

    /// Stores bytes and evicts down to the quota; they are not kept at all when protected ones leave no room.
    private static func keep(
        _ db: Database, _ bytes: [UInt8], _ digest: ContentDigest, at now: WallTime, publish: (() throws -> Void)?
    ) throws {
        let key = Data(digest.bytes)
        if try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM blob WHERE digest = ?)", arguments: [key]) == true {
            return try touch(db, digest)
        }
        let protected = try Int.fetchOne(
            db,
            sql: """
                SELECT coalesce(sum(size), 0) FROM blob WHERE digest IN
                    (SELECT digest FROM entry WHERE pinned UNION SELECT digest FROM lease WHERE expires > ?)
                """, arguments: [now.milliseconds]) ?? 0
        guard try protected + bytes.count <= number(db, "quota") else { return try count(db, "evicted") }
        try publish?()
        try db.execute(
            sql: "INSERT INTO blob (digest, size, lastUse, bytes) VALUES (?, ?, ?, ?)",
            arguments: [key, bytes.count, try tick(db), publish == nil ? Data(bytes) : nil])
        try db.execute(sql: "DELETE FROM garbage WHERE digest = ?", arguments: [key])
        try evict(db, at: now)
    }

    static func inlineBytes(_ db: Database, _ digest: ContentDigest) throws -> [UInt8]? {
        try Data.fetchOne(
            db, sql: "SELECT bytes FROM blob WHERE digest = ? AND bytes IS NOT NULL", arguments: [Data(digest.bytes)]
        ).map { Array($0) }
    }

    /// The order of use is a counter in the index, not a clock: it is the same for all processes and never jumps.
    private static func tick(_ db: Database) throws -> Int {
        try count(db, "use")
        return try number(db, "use")
    }

    static func touch(_ db: Database, _ digest: ContentDigest) throws {
        try db.execute(
            sql: "UPDATE blob SET lastUse = ? WHERE digest = ?", arguments: [try tick(db), Data(digest.bytes)])
    }

    static func isOverQuota(_ db: Database) throws -> Bool { try heldBytes(db) > number(db, "quota") }

    /// Takes bytes, those used longest ago first, until the quota holds. Pinned and leased ones stay.
    static func evict(_ db: Database, at now: WallTime) throws {
        let quota = try number(db, "quota")
        var held = try heldBytes(db)
        while held > quota {
            let row = try BlobRow.fetchOne(
                db,
                sql: """
                    SELECT rowid, digest, size, bytes IS NOT NULL AS isInline FROM blob WHERE
                        NOT EXISTS (SELECT 1 FROM entry WHERE entry.digest = blob.digest AND pinned)
                        AND NOT EXISTS (SELECT 1 FROM lease WHERE lease.digest = blob.digest AND expires > ?)
                    ORDER BY lastUse LIMIT 1
                    """, arguments: [now.milliseconds])
            guard let row else { return }
            // A size that is none frees nothing, and the row goes all the same: by its place, whatever its digest is.
            held -= min(max(0, row.size), held)
            try db.execute(sql: "DELETE FROM blob WHERE rowid = ?", arguments: [row.rowid])
            if !row.isInline, let digest = ContentDigest(bytes: Array(row.digest)) { try addGarbage(db, digest) }
            try count(db, "evicted")
        }
    }

    private struct BlobRow: Decodable, FetchableRecord {
        var rowid: Int64
        var digest: Data
        var size: Int
        var isInline: Bool
    }

    static func dropBlob(_ db: Database, _ digest: ContentDigest) throws {
        let key = Data(digest.bytes)
        let inline = try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM blob WHERE digest = ? AND bytes IS NOT NULL)", arguments: [key]) == true
        try db.execute(sql: "DELETE FROM blob WHERE digest = ?", arguments: [key])
        if db.changesCount > 0, !inline { try addGarbage(db, digest) }
    }

    static func addGarbage(_ db: Database, _ digest: ContentDigest) throws {
        try db.execute(sql: "INSERT OR IGNORE INTO garbage VALUES (?)", arguments: [Data(digest.bytes)])
    }

    static func hasGarbage(_ db: Database) throws -> Bool {
        try Bool.fetchOne(db, sql: "SELECT EXISTS (SELECT 1 FROM garbage)") ?? false
    }

    /// Files to take away, none of which a committed entry names.
    static func takeGarbage(_ db: Database) throws -> [ContentDigest] {
        let rows = try Row.fetchAll(
            db, sql: "SELECT digest FROM garbage WHERE digest NOT IN (SELECT digest FROM blob WHERE bytes IS NULL)")
        try db.execute(sql: "DELETE FROM garbage")
        return rows.compactMap { digest($0, "digest") }
    }
}
