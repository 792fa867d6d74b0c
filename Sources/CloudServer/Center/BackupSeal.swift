import Crypto
import Foundation
import GRDB

/// A SHA-256 over everything that a backup holds, kept in the backup: a bit that turned over on the way is seen wherever it
/// lies, also where neither SQLite's checks nor a signature reach. It proves nothing against somebody who writes it anew.
enum BackupSeal {
    private static let table = "seal"
    private static let statement = "CREATE TABLE seal (digest BLOB NOT NULL) STRICT"

    static func write(_ database: Database) throws {
        try database.execute(sql: "DROP TABLE IF EXISTS \(table)")
        let digest = try digest(database)
        try database.execute(sql: statement)
        try database.execute(sql: "INSERT INTO \(table) VALUES (?)", arguments: [digest])
    }

    /// - Returns: whether all is as it was when the backup was written.
    static func holds(_ database: Database) throws -> Bool {
        // SQLite finds it under `SEAL`, too.
        let own = try SchemaRow.fetchAll(database, sql: "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE lower(name) = ?", arguments: [table])
        guard own == [SchemaRow(type: "table", name: table, tbl_name: table, sql: statement)] else { return false }
        let kept = try Data.fetchAll(database, sql: "SELECT digest FROM \(table)")
        return try kept == [digest(database)]
    }

    static func remove(_ database: Database) throws { try database.execute(sql: "DROP TABLE IF EXISTS \(table)") }

    /// Over all that the schema names, triggers and indexes too, and each table's rows; each value with its type and length, so
    /// that no two contents read the same.
    private static func digest(_ database: Database) throws -> Data {
        var hash = SHA256()
        func add(_ kind: UInt8, _ bytes: some DataProtocol) {
            var head = Data([kind])
            withUnsafeBytes(of: UInt64(bytes.count).littleEndian) { head.append(contentsOf: $0) }
            hash.update(data: head)
            hash.update(data: bytes)
        }
        let all = try SchemaRow.fetchAll(
            database, sql: "SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name <> ? ORDER BY type, name", arguments: [table])
        for one in all {
            for text in [one.type, one.name, one.tbl_name] { add(0, Data(text.utf8)) }
            add(1, Data((one.sql ?? "").utf8))
            guard one.type == "table" else { continue }
            let name = one.name.replacingOccurrences(of: "\"", with: "\"\"")
            let rows = try Row.fetchCursor(database, sql: "SELECT * FROM \"\(name)\" ORDER BY rowid")
            while let row = try rows.next() {
                add(2, Data())
                for (_, value) in row {
                    switch value.storage {
                    case .null: add(3, Data())
                    case .int64(let number): add(4, withUnsafeBytes(of: number.littleEndian) { Data($0) })
                    case .double(let number): add(5, withUnsafeBytes(of: number.bitPattern.littleEndian) { Data($0) })
                    case .string(let text): add(6, Data(text.utf8))
                    case .blob(let bytes): add(7, bytes)
                    }
                }
            }
        }
        return Data(hash.finalize())
    }

    private struct SchemaRow: Decodable, FetchableRecord, Equatable {
        var type, name, tbl_name: String
        var sql: String?
    }
}
