import Foundation
import GRDB
import MastCloudCore
import MastTimebase

/// The center's state in one SQLite file. Rollback journal and `synchronous=FULL`: what a method wrote is there
/// after a crash or a loss of power.
package final class SQLiteCenterStore: CenterStore {
    private let queue: DatabaseQueue
    private let path: String

    /// Makes the database of a new center.
    /// - Throws: `StorageError.exists` when there is a file.
    package static func create(path: String, for rootKey: SigningPublicKey) throws -> SQLiteCenterStore {
        let descriptor = Foundation.open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else {
            if errno == EEXIST { throw StorageError(.exists, "\(path) is there already, and nothing is overwritten") }
            throw StorageError.system("create", path)
        }
        close(descriptor)
        let store = try SQLiteCenterStore(file: path)
        do {
            try migrator.migrate(store.queue)
            try store.queue.write { try setMeta("root-key", rootKey.bytes, $0) }
        } catch {
            throw fault(error, "made", path)
        }
        return store
    }

    /// Opens the database of the center with that root key. Never makes one: an empty center in the place of a lost one
    /// would know nobody, and tell nobody so.
    /// - Throws: `StorageError`: `missing`, or `corrupt` for a file that is not this center's.
    package convenience init(path: String, rootKey: SigningPublicKey) throws {
        try self.init(file: path)
        do {
            try Self.checkIdentity(queue, path, rootKey)
            try Self.migrator.migrate(queue)
        } catch let error as StorageError {
            throw error
        } catch {
            throw Self.fault(error, "opened", path)
        }
    }

    /// The database of a center that may run, to be copied: what a crash left half done is undone, and nothing else is changed.
    convenience init(running path: String, rootKey: SigningPublicKey) throws {
        try self.init(file: path)
        do { try Self.checkIdentity(queue, path, rootKey) } catch let error as StorageError { throw error } catch { throw Self.fault(error, "read", path) }
    }

    /// A backup, which is only read.
    init(backup queue: DatabaseQueue, path: String, rootKey: SigningPublicKey) throws {
        (self.queue, self.path) = (queue, path)
        try Self.checkIdentity(queue, path, rootKey)
        guard try queue.read(Self.migrator.hasCompletedMigrations) else {
            throw StorageError(.corrupt, "\(path) was written by another version of this program; restore it with that one")
        }
    }

    private static func checkIdentity(_ queue: DatabaseQueue, _ path: String, _ rootKey: SigningPublicKey) throws {
        guard let identity = try queue.read({ try $0.tableExists("meta") ? meta("root-key", $0) : nil }) else {
            throw StorageError(.corrupt, "\(path) is not the database of a center")
        }
        guard identity == rootKey.bytes else {
            let owner = SigningPublicKey(bytes: identity).map { "with root key \($0)" } ?? "of nobody"
            throw StorageError(.corrupt, "\(path) is the database of another cloud, \(owner); this folder's is \(rootKey)")
        }
    }

    /// Copies the database while others may write to it. Steps of few pages let them; SQLite begins anew when they do, and
    /// where that happens again and again the copy is made in one step, for which they wait.
    func copy(to target: DatabaseQueue, progress: (_ done: Int, _ of: Int) -> Void) throws {
        struct Restless: Error {}
        // SQLite calls it while this function runs, and not afterwards.
        try withoutActuallyEscaping(progress) { progress in
            var (left, restarts) = (Int.max, 0)
            do {
                try target.writeWithoutTransaction { target in
                    try queue.writeWithoutTransaction { source in
                        try source.backup(to: target, pagesPerStep: 64) { step in
                            if step.remainingPageCount > left { restarts += 1 }
                            left = step.remainingPageCount
                            if restarts > 3 { throw Restless() }
                            progress(step.completedPageCount, step.totalPageCount)
                        }
                    }
                }
            } catch is Restless {
                try queue.backup(to: target) { progress($0.completedPageCount, $0.totalPageCount) }
            }
        }
    }

    private init(file: String) throws {
        path = file
        var status = stat()
        guard stat(file, &status) == 0 else {
            if errno == ENOENT { throw StorageError(.missing, "there is no database \(file)") }
            throw StorageError.system("open", file)
        }
        do { queue = try DatabaseQueue(path: file, configuration: Self.configuration()) } catch { throw Self.fault(error, "opened", file) }
    }

    static func configuration() -> Configuration {
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA synchronous = FULL")
            try database.execute(sql: "PRAGMA foreign_keys = ON")
        }
        return configuration
    }

    /// SQLite's own words, without the statement that met them.
    static func fault(_ error: any Error, _ action: String, _ path: String, what: String = "the center's database") -> StorageError {
        let fault = error as? DatabaseError
        switch fault?.resultCode {
        case .SQLITE_FULL: return StorageError(.full, "the disk is full: \(what) \(path) cannot be \(action); make room there, then try again")
        case .SQLITE_READONLY, .SQLITE_PERM, .SQLITE_CANTOPEN:
            return StorageError(
                .denied, "no permission: \(what) \(path) cannot be \(action); folder and file must be writable for the user that the center runs as")
        default: break
        }
        let isForeign = [.SQLITE_NOTADB, .SQLITE_CORRUPT, .SQLITE_ERROR, .SQLITE_SCHEMA, .SQLITE_CONSTRAINT].contains(fault?.resultCode)
        return StorageError(
            isForeign || fault == nil ? .corrupt : .inputOutput,
            "\(what) \(path) cannot be \(action): \(fault?.message ?? "\(error)")")
    }

    private func read<Value>(_ body: (Database) throws -> Value) throws(CenterError) -> Value {
        do { return try queue.read(body) } catch { throw .storage(Self.fault(error, "read", path)) }
    }

    private func write(_ body: (Database) throws -> Void) throws(CenterError) {
        do { try queue.write(body) } catch { throw .storage(Self.fault(error, "written", path)) }
    }

    private static var migrator: DatabaseMigrator {
        var migrator = DatabaseMigrator()
        migrator.registerMigration("1 first schema") { database in
            try database.execute(
                sql: """
                    CREATE TABLE meta (name TEXT PRIMARY KEY NOT NULL, value BLOB NOT NULL) STRICT;
                    CREATE TABLE module (digest TEXT PRIMARY KEY NOT NULL, sizeBytes INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT;
                    CREATE TABLE application (
                        name TEXT NOT NULL, sequence INTEGER NOT NULL, version TEXT NOT NULL,
                        digest TEXT NOT NULL REFERENCES module (digest), entry TEXT NOT NULL, issuedMilliseconds INTEGER NOT NULL,
                        PRIMARY KEY (name, sequence)) STRICT;
                    CREATE TABLE station (
                        nodeID TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, address TEXT NOT NULL,
                        lastSeenMilliseconds INTEGER NOT NULL, record BLOB NOT NULL) STRICT;
                    CREATE TABLE user (
                        userID TEXT PRIMARY KEY NOT NULL, name TEXT NOT NULL, serial INTEGER NOT NULL, isOperator INTEGER NOT NULL,
                        isRevoked INTEGER NOT NULL, change INTEGER NOT NULL, record BLOB NOT NULL) STRICT;
                    CREATE TABLE token (
                        tokenID TEXT PRIMARY KEY NOT NULL, verifier BLOB NOT NULL, notAfterMilliseconds INTEGER NOT NULL,
                        usedBy TEXT) STRICT;
                    """)
        }
        migrator.registerMigration("2 stations can be removed") { database in
            try database.execute(
                sql: """
                    ALTER TABLE station ADD COLUMN isRevoked INTEGER NOT NULL DEFAULT 0;
                    ALTER TABLE station ADD COLUMN isHidden INTEGER NOT NULL DEFAULT 0;
                    """)
        }
        migrator.registerMigration("receipts that contradict each other") { database in
            try database.execute(
                sql: """
                    CREATE TABLE divergence (
                        id TEXT PRIMARY KEY NOT NULL, reportedMilliseconds INTEGER NOT NULL, isCleared INTEGER NOT NULL,
                        first BLOB NOT NULL, second BLOB NOT NULL) STRICT;
                    """)
        }
        return migrator
    }

    // MARK: Reading

    package func load() throws(CenterError) -> CenterState {
        try read { database in
            var state = CenterState()
            state.releases = try Self.meta("releases", database).map { try SignedRecord(fileBytes: $0) }
            state.revocations = try Self.meta("revocations", database).map { try SignedRecord(fileBytes: $0) }
            state.servers = try Self.meta("communication servers", database).map { try SignedRecord(fileBytes: $0) }
            for row in try UserRow.fetchAll(database, sql: "SELECT * FROM user ORDER BY change") {
                state.users.append(
                    StoredUser(
                        userID: row.userID, name: row.name, signed: try Self.record(row.record), serial: Self.unsigned(row.serial),
                        isOperator: row.isOperator, isRevoked: row.isRevoked, change: Self.unsigned(row.change)))
            }
            state.usersNumber = state.users.last?.change ?? 0
            state.epoch = try Self.number("epoch", database) ?? StateNumber.firstEpoch
            state.usersAtEpoch = try Self.number("users-at-epoch", database) ?? 0
            state.heardEpoch = try Self.number("heard-epoch", database) ?? 0
            for row in try StationRow.fetchAll(database, sql: "SELECT * FROM station ORDER BY nodeID") {
                state.stations.append(
                    StoredStation(
                        nodeID: NodeID(rawValue: row.nodeID), name: row.name, signed: try Self.record(row.record),
                        address: row.address, lastSeen: WallTime(milliseconds: row.lastSeenMilliseconds),
                        isRevoked: row.isRevoked, isHidden: row.isHidden))
            }
            for row in try TokenRow.fetchAll(database, sql: "SELECT * FROM token ORDER BY tokenID") {
                state.tokens.append(
                    StoredToken(
                        tokenID: row.tokenID, verifier: Array(row.verifier),
                        notAfter: WallTime(milliseconds: row.notAfterMilliseconds), usedBy: row.usedBy.map(NodeID.init(rawValue:))))
            }
            for row in try DivergenceRow.fetchAll(database, sql: "SELECT * FROM divergence ORDER BY reportedMilliseconds, id") {
                state.divergences.append(
                    StoredDivergence(
                        divergence: Divergence(try AttestedReceipt(fileBytes: Array(row.first)), try AttestedReceipt(fileBytes: Array(row.second))),
                        reported: WallTime(milliseconds: row.reportedMilliseconds), isCleared: row.isCleared))
            }
            return state
        }
    }

    package func module(_ digest: ContentDigest) throws(CenterError) -> [UInt8]? {
        try read { database in
            try Data.fetchOne(database, sql: "SELECT bytes FROM module WHERE digest = ?", arguments: [digest.description]).map { Array($0) }
        }
    }

    private static func meta(_ name: String, _ database: Database) throws -> [UInt8]? {
        try Data.fetchOne(database, sql: "SELECT value FROM meta WHERE name = ?", arguments: [name]).map { Array($0) }
    }

    private static func number(_ name: String, _ database: Database) throws -> UInt64? {
        guard let bytes = try meta(name, database) else { return nil }
        var reader = CanonicalReader(bytes)
        return try reader.integer()
    }

    private static func setNumber(_ name: String, _ value: UInt64, _ database: Database) throws {
        var writer = CanonicalWriter()
        writer.integer(value)
        try setMeta(name, writer.bytes, database)
    }

    private static func record<Record>(_ bytes: Data) throws -> SignedRecord<Record> where Record: TrustRecord {
        try SignedRecord(fileBytes: Array(bytes))
    }

    private static func unsigned(_ value: Int64) -> UInt64 { UInt64(bitPattern: value) }

    // MARK: Writing

    package func save(
        _ releases: SignedRecord<ReleaseIndex>, _ index: ReleaseIndex, adding: (digest: ContentDigest, bytes: [UInt8])?
    ) throws(CenterError) {
        try write { database in
            if let adding {
                try database.execute(
                    sql: "INSERT OR REPLACE INTO module (digest, sizeBytes, bytes) VALUES (?, ?, ?)",
                    arguments: [adding.digest.description, adding.bytes.count, Data(adding.bytes)])
            }
            try Self.write(releases, index, database)
        }
    }

    private static func write(_ releases: SignedRecord<ReleaseIndex>, _ index: ReleaseIndex, _ database: Database) throws {
        try database.execute(sql: "DELETE FROM application")
        for application in index.applications {
            try database.execute(
                sql: """
                    INSERT INTO application (name, sequence, version, digest, entry, issuedMilliseconds) VALUES (?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    application.name, Int64(bitPattern: application.sequence), application.version,
                    application.digest.description, application.entry, application.issued.milliseconds,
                ])
        }
        try database.execute(sql: "DELETE FROM module WHERE digest NOT IN (SELECT digest FROM application)")
        try setMeta("releases", releases.fileBytes, database)
    }

    package func save(_ user: StoredUser, revocations: SignedRecord<RevocationLog>?) throws(CenterError) {
        try write { database in
            try Self.write(user, database)
            if let revocations { try Self.setMeta("revocations", revocations.fileBytes, database) }
        }
    }

    private static func write(_ user: StoredUser, _ database: Database) throws {
        try database.execute(
            sql: """
                INSERT OR REPLACE INTO user (userID, name, serial, isOperator, isRevoked, change, record)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                user.userID, user.name, Int64(bitPattern: user.serial), user.isOperator, user.isRevoked,
                Int64(bitPattern: user.change), Data(user.signed.fileBytes),
            ])
    }

    package func save(_ station: StoredStation, using token: StoredToken?, revocations: SignedRecord<RevocationLog>?) throws(CenterError) {
        try write { database in
            try Self.write(station, database)
            if let revocations { try Self.setMeta("revocations", revocations.fileBytes, database) }
            if let token { try Self.write(token, database) }
        }
    }

    private static func write(_ station: StoredStation, _ database: Database) throws {
        try database.execute(
            sql: """
                INSERT OR REPLACE INTO station (nodeID, name, address, lastSeenMilliseconds, record, isRevoked, isHidden)
                VALUES (?, ?, ?, ?, ?, ?, ?)
                """,
            arguments: [
                station.nodeID.rawValue, station.name, station.address, station.lastSeen.milliseconds,
                Data(station.signed.fileBytes), station.isRevoked, station.isHidden,
            ])
    }

    package func save(_ renewal: StateRenewal) throws(CenterError) {
        try write { database in
            for user in renewal.users { try Self.write(user, database) }
            for station in renewal.stations { try Self.write(station, database) }
            if let (signed, index) = renewal.releases { try Self.write(signed, index, database) }
            try Self.setMeta("revocations", renewal.revocations.fileBytes, database)
            try Self.setNumber("epoch", renewal.epoch, database)
            try Self.setNumber("users-at-epoch", renewal.usersAtEpoch, database)
        }
    }

    package func save(heardEpoch: UInt64) throws(CenterError) { try write { try Self.setNumber("heard-epoch", heardEpoch, $0) } }

    package func save(_ token: StoredToken) throws(CenterError) { try write { try Self.write(token, $0) } }

    package func save(_ servers: SignedRecord<CommunicationServers>) throws(CenterError) {
        try write { try Self.setMeta("communication servers", servers.fileBytes, $0) }
    }

    package func save(_ divergences: [StoredDivergence], dropping: [ContentDigest], revocations: SignedRecord<RevocationLog>?) throws(CenterError) {
        try write { database in
            for id in dropping { try database.execute(sql: "DELETE FROM divergence WHERE id = ?", arguments: [id.description]) }
            for stored in divergences {
                try database.execute(
                    sql: "INSERT OR REPLACE INTO divergence (id, reportedMilliseconds, isCleared, first, second) VALUES (?, ?, ?, ?, ?)",
                    arguments: [
                        stored.id.description, stored.reported.milliseconds, stored.isCleared, Data(stored.divergence.first.fileBytes),
                        Data(stored.divergence.second.fileBytes),
                    ])
            }
            if let revocations { try Self.setMeta("revocations", revocations.fileBytes, database) }
        }
    }

    package func removeTokens(endedBefore time: WallTime) throws(CenterError) {
        try write { database in
            try database.execute(sql: "DELETE FROM token WHERE notAfterMilliseconds < ?", arguments: [time.milliseconds])
        }
    }

    private static func write(_ token: StoredToken, _ database: Database) throws {
        try database.execute(
            sql: "INSERT OR REPLACE INTO token (tokenID, verifier, notAfterMilliseconds, usedBy) VALUES (?, ?, ?, ?)",
            arguments: [token.tokenID, Data(token.verifier), token.notAfter.milliseconds, token.usedBy?.rawValue])
    }

    private static func setMeta(_ name: String, _ value: [UInt8], _ database: Database) throws {
        try database.execute(
            sql: "INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", arguments: [name, Data(value)])
    }
}
