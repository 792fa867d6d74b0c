import Foundation
import GRDB
import MastCloudCore
import MastTimebase

/// The center's state in one SQLite file. Rollback journal and `synchronous=FULL`: what a method wrote is there
/// after a crash or a loss of power.
package final class SQLiteCenterStore: CenterStore {
    private let queue: DatabaseQueue
    private let path: String

    /// Opens the file, makes it if need be, and brings it to the present schema.
    package init(path: String) throws(CenterError) {
        self.path = path
        var configuration = Configuration()
        configuration.busyMode = .timeout(5)
        configuration.prepareDatabase { database in
            try database.execute(sql: "PRAGMA synchronous = FULL")
            try database.execute(sql: "PRAGMA foreign_keys = ON")
        }
        do {
            queue = try DatabaseQueue(path: path, configuration: configuration)
            try Self.migrator.migrate(queue)
        } catch {
            throw Self.fault(error, "opened", path)
        }
    }

    /// SQLite's own words, without the statement that met them.
    private static func fault(_ error: any Error, _ action: String, _ path: String) -> CenterError {
        let fault = error as? DatabaseError
        if fault?.resultCode == .SQLITE_FULL {
            return .storage(StorageError(.inputOutput, "the disk of the center's database \(path) is full; make room there, then try again"))
        }
        let isForeign = [.SQLITE_NOTADB, .SQLITE_CORRUPT, .SQLITE_ERROR, .SQLITE_SCHEMA, .SQLITE_CONSTRAINT].contains(fault?.resultCode)
        return .storage(StorageError(
            isForeign || fault == nil ? .corrupt : .inputOutput,
            "the center's database \(path) cannot be \(action): \(fault?.message ?? "\(error)")"))
    }

    private func read<Value>(_ body: (Database) throws -> Value) throws(CenterError) -> Value {
        do { return try queue.read(body) } catch { throw Self.fault(error, "read", path) }
    }

    private func write(_ body: (Database) throws -> Void) throws(CenterError) {
        do { try queue.write(body) } catch { throw Self.fault(error, "written", path) }
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
        return migrator
    }

    // MARK: Reading

    package func load() throws(CenterError) -> CenterState {
        try read { database in
            var state = CenterState()
            state.releases = try Self.meta("releases", database).map { try SignedRecord(fileBytes: $0) }
            state.revocations = try Self.meta("revocations", database).map { try SignedRecord(fileBytes: $0) }
            for row in try Row.fetchAll(database, sql: "SELECT * FROM user ORDER BY change") {
                state.users.append(
                    StoredUser(
                        userID: row["userID"], name: row["name"], signed: try Self.record(row), serial: Self.unsigned(row["serial"]),
                        isOperator: row["isOperator"], isRevoked: row["isRevoked"], change: Self.unsigned(row["change"])))
            }
            state.usersNumber = state.users.last?.change ?? 0
            for row in try Row.fetchAll(database, sql: "SELECT * FROM station ORDER BY nodeID") {
                state.stations.append(
                    StoredStation(
                        nodeID: NodeID(rawValue: row["nodeID"]), name: row["name"], signed: try Self.record(row),
                        address: row["address"], lastSeen: WallTime(milliseconds: row["lastSeenMilliseconds"]),
                        isRevoked: row["isRevoked"], isHidden: row["isHidden"]))
            }
            for row in try Row.fetchAll(database, sql: "SELECT * FROM token ORDER BY tokenID") {
                let usedBy: String? = row["usedBy"]
                state.tokens.append(
                    StoredToken(
                        tokenID: row["tokenID"], verifier: Self.bytes(row["verifier"]),
                        notAfter: WallTime(milliseconds: row["notAfterMilliseconds"]), usedBy: usedBy.map(NodeID.init(rawValue:))))
            }
            return state
        }
    }

    package func module(_ digest: ContentDigest) throws(CenterError) -> [UInt8]? {
        try read { database in
            try Row.fetchOne(database, sql: "SELECT bytes FROM module WHERE digest = ?", arguments: [digest.description])
                .map { Self.bytes($0["bytes"]) }
        }
    }

    private static func meta(_ name: String, _ database: Database) throws -> [UInt8]? {
        try Row.fetchOne(database, sql: "SELECT value FROM meta WHERE name = ?", arguments: [name]).map { bytes($0["value"]) }
    }

    private static func record<Record>(_ row: Row) throws -> SignedRecord<Record> where Record: TrustRecord {
        try SignedRecord(fileBytes: bytes(row["record"]))
    }

    private static func bytes(_ data: Data) -> [UInt8] { Array(data) }
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
            try Self.setMeta("releases", releases.fileBytes, database)
        }
    }

    package func save(_ user: StoredUser, revocations: SignedRecord<RevocationLog>?) throws(CenterError) {
        try write { database in
            try database.execute(
                sql: """
                    INSERT OR REPLACE INTO user (userID, name, serial, isOperator, isRevoked, change, record)
                    VALUES (?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    user.userID, user.name, Int64(bitPattern: user.serial), user.isOperator, user.isRevoked,
                    Int64(bitPattern: user.change), Data(user.signed.fileBytes),
                ])
            if let revocations { try Self.setMeta("revocations", revocations.fileBytes, database) }
        }
    }

    package func save(_ station: StoredStation, using token: StoredToken?, revocations: SignedRecord<RevocationLog>?) throws(CenterError) {
        try write { database in
            try database.execute(
                sql: """
                    INSERT OR REPLACE INTO station (nodeID, name, address, lastSeenMilliseconds, record, isRevoked, isHidden)
                    VALUES (?, ?, ?, ?, ?, ?, ?)
                    """,
                arguments: [
                    station.nodeID.rawValue, station.name, station.address, station.lastSeen.milliseconds,
                    Data(station.signed.fileBytes), station.isRevoked, station.isHidden,
                ])
            if let revocations { try Self.setMeta("revocations", revocations.fileBytes, database) }
            if let token { try Self.write(token, database) }
        }
    }

    package func save(_ token: StoredToken) throws(CenterError) { try write { try Self.write(token, $0) } }

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
