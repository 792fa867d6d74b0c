import Foundation
import GRDB
import MastCloudCore
import MastTimebase

/// The resource pool on disk: an index in SQLite, bytes in files named by their SHA-256.
///
/// Any number of processes may use one folder at once. Every change is one immediate transaction on the
/// index; bytes are on the disk before the entry that names them, and a file is taken away only after the
/// entry is gone. So whatever the moment of a crash, an entry's bytes are whole or marked as not here, and
/// what a dead process left behind is swept at the next opening.
public final class ResourcePool: ResultPool {
    /// Bytes kept when nobody says otherwise: 1 GiB.
    public static let defaultQuotaBytes = 1 << 30
    /// Results up to this size live in the index itself: one write to the disk instead of three.
    static let inlineLimit = 4096
    /// Entries without bytes kept to recognise a second result; beyond this the oldest are forgotten.
    static let entryLimit = 100_000

    let queue: DatabaseQueue
    let files: BlobFiles
    private let indexPath: String

    /// Opens or makes the pool in `directory` (made with mode 0700).
    ///
    /// - Parameter quotaBytes: sets the quota for everybody who uses the folder; nil leaves it as it is.
    /// - Throws: `PoolError.damaged` for an index that is foreign, corrupt or of a newer version.
    public init(directory: String, quotaBytes: Int? = nil, busyTimeout: Interval = .seconds(10)) throws(PoolError) {
        files = try BlobFiles(directory: directory)
        let path = directory + "/index.sqlite"
        indexPath = path
        var configuration = Configuration()
        configuration.busyMode = .timeout(busyTimeout.inSeconds)
        configuration.label = "mast.pool"
        configuration.prepareDatabase { db in
            // A commit is the promise that a run has its one result: it must survive a power cut.
            try db.execute(sql: "PRAGMA synchronous = FULL")
        }
        let opened = Result { try DatabaseQueue(path: path, configuration: configuration) }
        switch opened {
        case .success(let queue): self.queue = queue
        case .failure(let error): throw .index(path, error)
        }
        chmod(path, 0o600)
        let files = self.files
        let orphans = files.sweep()
        // Nothing is written where nothing changes: results can still be read from a disk that is full.
        let isTidy = try read { db in try PoolIndex.isCurrent(db) && !PoolIndex.isOverQuota(db) } && orphans.isEmpty
        if !isTidy || quotaBytes != nil {
            try write { db in
                try PoolIndex.migrate(db)
                if let quotaBytes { try PoolIndex.set(db, "quota", max(0, quotaBytes)) }
                for digest in orphans { try PoolIndex.addGarbage(db, digest) }
                // Without a clock at hand every lease counts as running.
                try PoolIndex.evict(db, at: WallTime(milliseconds: .min))
            }
        }
        try collect()
    }

    public func resource(for runID: RunID) throws(PoolError) -> VirtualResource? {
        try PoolError.check(runID)
        return try read { db in try PoolIndex.entry(db, runID) }
    }

    public func contents(of runID: RunID) throws(PoolError) -> [UInt8]? {
        try PoolError.check(runID)
        let files = self.files
        // Twice: between looking and reading, another process may have removed and committed it afresh.
        for _ in 0..<2 {
            guard let entry = try resource(for: runID), entry.resident else { return nil }
            let inline = try read { db in try PoolIndex.inlineBytes(db, entry.digest) }
            let bytes = inline.flatMap { ContentDigest(of: $0) == entry.digest ? $0 : nil } ?? files.read(entry.digest, size: entry.size)
            if let bytes {
                try Self.check(bytes, entry)
                // That it was used is worth noting, and no reason to withhold it where nothing can be noted.
                try? write { db in
                    try PoolIndex.touch(db, entry.digest)
                    try PoolIndex.count(db, "hits")
                }
                return bytes
            }
        }
        // Checked again under the write lock, so that nobody else's fresh file is taken for the lost one.
        try write { db in
            guard let entry = try PoolIndex.entry(db, runID), entry.resident,
                try PoolIndex.inlineBytes(db, entry.digest) == nil, files.read(entry.digest, size: entry.size) == nil
            else { return }
            try PoolIndex.dropBlob(db, entry.digest)
            try PoolIndex.count(db, "lost")
        }
        try collect()
        return nil
    }

    public func commit(_ submission: PoolSubmission, at now: WallTime) throws(PoolError) -> CommitOutcome {
        try PoolError.check(submission.runID)
        let digest = ContentDigest(of: submission.bytes)
        let files = self.files
        // A sweep by another process may take the file between its making and its locking: then once more.
        var lastError = PoolError.busy
        for _ in 0..<3 {
            do throws(PoolError) {
                let outcome: CommitOutcome
                if submission.bytes.count > Self.inlineLimit {
                    let file = try files.write(submission.bytes, digest)
                    outcome = try write { db in
                        try PoolIndex.commit(db, submission, digest, at: now) { try files.publish(file) }
                    }
                } else {
                    outcome = try write { db in try PoolIndex.commit(db, submission, digest, at: now, publish: nil) }
                }
                try collect()
                return outcome
            } catch {
                guard case .storage = error else { throw error }
                lastError = error
            }
        }
        throw lastError
    }

    public func resources() throws(PoolError) -> [VirtualResource] {
        try read { db in try PoolIndex.entries(db) }
    }

    public func dispute(_ runID: RunID, witnesses: [AttestedReceipt]) throws(PoolError) {
        try write { db in try PoolIndex.dispute(db, runID, witnesses) }
    }

    public func witnesses(of runID: RunID) throws(PoolError) -> [AttestedReceipt] { try read { db in try PoolIndex.witnesses(db, runID) } }

    /// The index may have been changed along with the bytes; the receipt cannot be, unless together with the node's key.
    private static func check(_ bytes: [UInt8], _ entry: VirtualResource) throws(PoolError) {
        guard let receipt = entry.receipt else { return }
        do throws(TrustError) {
            let claims = try receipt.receipt.unverified()
            try claims.check(output: bytes)
            guard claims.question.runID == entry.runID, claims.question.input == entry.provenance.inputDigest else { throw .contradicted(of: Receipt.recordType, field: "run id") }
        } catch { throw .contradictsReceipt(entry.runID) }
    }

    public func remove(_ runID: RunID, force: Bool, at now: WallTime) throws(PoolError) -> Bool {
        // Whatever it is called: a name that nobody may give stands only in an index that was changed, and can go.
        let removed = try write { db in
            if !force, try PoolIndex.isLeased(db, runID, at: now) { throw PoolError.leased(runID) }
            let entry: VirtualResource?
            do { entry = try PoolIndex.entry(db, runID) } catch PoolError.damagedEntry { return try PoolIndex.removeDamaged(db, runID) }
            guard let entry else { return false }
            try PoolIndex.removeEntry(db, entry)
            return true
        }
        try collect()
        return removed
    }

    public func setPinned(_ pinned: Bool, _ runID: RunID) throws(PoolError) -> Bool {
        try PoolError.check(runID)
        return try write { db in
            try db.execute(sql: "UPDATE entry SET pinned = ? WHERE runID = ?", arguments: [pinned, runID.rawValue])
            return db.changesCount > 0
        }
    }

    public func lease(_ runID: RunID, for duration: Interval, at now: WallTime) throws(PoolError) -> Lease? {
        try PoolError.check(runID)
        return try write { db in
            guard let entry = try PoolIndex.entry(db, runID), entry.resident else { return nil }
            let expires = now + duration
            try db.execute(sql: "DELETE FROM lease WHERE expires <= ?", arguments: [now.milliseconds])
            try db.execute(
                sql: "INSERT INTO lease (runID, digest, expires) VALUES (?, ?, ?)",
                arguments: [runID.rawValue, Data(entry.digest.bytes), expires.milliseconds])
            return Lease(runID: runID, expires: expires, number: db.lastInsertedRowID)
        }
    }

    public func release(_ lease: Lease) throws(PoolError) {
        try write { db in try db.execute(sql: "DELETE FROM lease WHERE number = ?", arguments: [lease.number]) }
    }

    public func statistics() throws(PoolError) -> PoolStatistics {
        try read { db in try PoolIndex.statistics(db) }
    }

    /// Changes the quota for everybody who uses the folder and takes what no longer fits.
    public func setQuota(bytes: Int, at now: WallTime) throws(PoolError) {
        try write { db in
            try PoolIndex.set(db, "quota", max(0, bytes))
            try PoolIndex.evict(db, at: now)
        }
        try collect()
    }

    /// Takes away the files that no entry names any more. Not in the transaction that dropped them: the file
    /// may go only once the entry is gone for good.
    private func collect() throws(PoolError) {
        guard try read({ db in try PoolIndex.hasGarbage(db) }) else { return }
        let files = self.files
        try write { db in for digest in try PoolIndex.takeGarbage(db) { files.unlinkBlob(digest) } }
    }

    private func write<T>(_ body: (Database) throws -> T) throws(PoolError) -> T {
        do { return try queue.write(body) } catch { throw .index(indexPath, error) }
    }

    private func read<T>(_ body: (Database) throws -> T) throws(PoolError) -> T {
        do { return try queue.read(body) } catch { throw .index(indexPath, error) }
    }
}

extension PoolError {
    static func index(_ path: String, _ error: any Error) -> PoolError {
        if let error = error as? PoolError { return error }
        if let error = error as? RowDecodingError { return .damaged(path: path, reason: "\(error)") }
        guard let error = error as? DatabaseError else { return .storage(path: path, reason: "\(error)") }
        if error.extendedResultCode == .SQLITE_READONLY_DBMOVED { return .storage(path: path, reason: "it was removed while it was in use") }
        let reason = error.message ?? "SQLite error \(error.resultCode.rawValue)"
        return switch error.resultCode {
        case .SQLITE_BUSY, .SQLITE_LOCKED: .busy
        case .SQLITE_CORRUPT, .SQLITE_NOTADB, .SQLITE_ERROR, .SQLITE_SCHEMA, .SQLITE_MISMATCH: .damaged(path: path, reason: reason)
        default: .storage(path: path, reason: reason)
        }
    }
}
