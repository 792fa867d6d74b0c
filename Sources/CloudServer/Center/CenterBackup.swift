import Foundation
import GRDB
import MastCloudCore
import MastTimebase

/// A center in one file: its database, and beside its tables the files of its folder, keys included. Whoever has the file
/// is the cloud.
package enum CenterBackup {
    /// What a backup holds, as it was found when it was read again.
    package struct Contents: Sendable, Hashable {
        package var rootKey: SigningPublicKey
        package var numbers: StateNumbers
        package var epoch: UInt64
        package var users: Int
        package var revokedUsers: Int
        package var stations: Int
        package var revokedStations: Int
        package var applications: Int
        package var moduleBytes: Int
    }

    /// Copies the center in a folder, whether it runs or not. What is stored while this goes on is in the copy or not, as a whole.
    /// - Parameters:
    ///   - path: takes its name when it is complete, has reached the disk and was read again.
    ///   - replacing: a file of that name goes.
    ///   - progress: pages copied, of how many.
    package static func write(
        folder: String, to path: String, replacing: Bool, progress: (_ done: Int, _ of: Int) -> Void = { _, _ in }
    ) throws -> Contents {
        guard replacing || access(path, F_OK) != 0 else { throw StorageError(.exists, "\(path) is there already; give --force to replace it") }
        guard access(folder, F_OK) == 0 else { throw StorageError(.missing, "there is no folder \(folder)") }
        let blobs = DirectoryBlobStore(reading: folder)
        guard let keys = try CenterKeys.load(from: blobs) else {
            throw StorageError(.missing, "\(folder) holds no center: it has no keys")
        }
        let database = folder + "/" + CenterBootstrap.database
        let source = try SQLiteCenterStore(running: database, rootKey: keys.root.publicKey)
        let temporary = path + ".new-\(getpid())"
        try makeFile(temporary)
        do {
            do {
                let copy = try DatabaseQueue(path: temporary, configuration: plain())
                try source.copy(to: copy, progress: progress)
                try copy.write { database in
                    try database.execute(sql: "DROP TABLE IF EXISTS folder; CREATE TABLE folder (name TEXT PRIMARY KEY NOT NULL, bytes BLOB NOT NULL) STRICT")
                    for name in CenterBootstrap.files {
                        guard let bytes = try blobs.read(name) else { throw StorageError(.missing, "\(folder) holds no whole center: \(name) is missing") }
                        try database.execute(sql: "INSERT INTO folder (name, bytes) VALUES (?, ?)", arguments: [name, Data(bytes)])
                    }
                    try BackupSeal.write(database)
                }
                try copy.close()
            } catch { throw failure(error, "written", temporary) }
            try flush(temporary)
            let contents = try read(temporary).contents
            try place(temporary, at: path, replacing: replacing)
            return contents
        } catch {
            unlink(temporary)
            unlink(temporary + "-journal")
            throw error
        }
    }

    /// Checks a backup from end to end: SQLite's own checks, the seal over all of it, the root key's signature under every record, each module's digest.
    package static func verify(_ path: String) throws -> Contents { try read(path).contents }

    /// Makes the center of a backup live again in a folder, in a new epoch.
    /// - Parameter replacing: the center there, of the same cloud, goes; what it had revoked stays revoked.
    /// - Returns: what the center holds now, and its epoch.
    package static func restore(_ path: String, into directory: NodeDirectory, replacing: Bool, at now: WallTime) throws -> Contents {
        let backup = try read(path)
        let target = directory.path + "/" + CenterBootstrap.database
        let isOccupied = try (CenterBootstrap.files + [CenterBootstrap.database]).contains { try directory.files.size($0) != nil }
        guard replacing || !isOccupied else {
            throw StorageError(.exists, "\(directory.path) already holds a center or a part of one; give --force to replace it")
        }
        if let old = try CenterKeys.load(from: directory.files), old.root.publicKey != backup.keys.root.publicKey {
            throw StorageError(.exists, "\(directory.path) holds another cloud, with root key \(old.root.publicKey); choose another folder")
        }
        // What the present database knows and the copy does not; one that cannot be read knows nothing.
        let present = try? CenterBootstrap.open(directory).state
        let temporary = target + ".new"
        unlink(temporary)
        try makeFile(temporary)
        do {
            do {
                let copy = try DatabaseQueue(path: temporary, configuration: plain())
                try DatabaseQueue(path: path, configuration: readOnly()).backup(to: copy)
                try copy.write { database in
                    try BackupSeal.remove(database)
                    try database.execute(sql: "DROP TABLE folder")
                    try checkIntegrity(database, path)
                }
                try copy.close()
            } catch { throw failure(error, "written", temporary) }
            var registry = try CenterRegistry(
                keys: backup.keys, membership: backup.membership, store: SQLiteCenterStore(path: temporary, rootKey: backup.keys.root.publicKey))
            _ = try registry.recover([present?.revocations].compactMap(\.self))
            try registry.raiseEpoch(toAtLeast: max(present?.epoch ?? 0, present?.heardEpoch ?? 0) &+ 1, at: now)
            let contents = try contents(registry)
            try flush(temporary)
            try backup.keys.save(to: directory.files)
            // The old database's journal must not be taken for the new one's.
            unlink(target + "-journal")
            try place(temporary, at: target, replacing: true)
            try backup.membership.save(to: directory.files)
            return contents
        } catch {
            unlink(temporary)
            unlink(temporary + "-journal")
            throw error
        }
    }

    /// Goes on with the database that is in a folder, in a new epoch.
    package static func adopt(_ directory: NodeDirectory, at now: WallTime) throws -> Contents {
        var registry = try CenterBootstrap.open(directory)
        // What cannot be read is not taken on.
        _ = try contents(registry)
        try registry.raiseEpoch(at: now)
        return try contents(registry)
    }

    // MARK: Reading

    private static func read(_ path: String) throws -> (keys: CenterKeys, membership: Membership, contents: Contents) {
        guard access(path, R_OK) == 0 else { throw errno == ENOENT ? StorageError(.missing, "there is no backup \(path)") : StorageError.system("read", path) }
        let blobs = MemoryBlobStore()
        let store: SQLiteCenterStore
        do {
            let queue = try DatabaseQueue(path: path, configuration: readOnly())
            try queue.read { database in
                try checkIntegrity(database, path)
                guard try Row.fetchOne(database, sql: "PRAGMA foreign_key_check") == nil else {
                    throw StorageError(.corrupt, "the backup \(path) is damaged: a module is missing")
                }
                guard try database.tableExists("folder") else { throw StorageError(.corrupt, "\(path) is not a backup of a center") }
                guard try BackupSeal.holds(database) else {
                    throw StorageError(.corrupt, "the backup \(path) is damaged, or was changed: it is not what mast center backup wrote; use another copy")
                }
                for row in try FolderRow.fetchAll(database, sql: "SELECT name, bytes FROM folder") { blobs.write(row.name, Array(row.bytes)) }
            }
            guard let root = try CenterKeys.load(from: blobs)?.root.publicKey else { throw StorageError(.corrupt, "the backup \(path) has no keys") }
            store = try SQLiteCenterStore(backup: queue, path: path, rootKey: root)
        } catch { throw failure(error, "read", path) }
        guard let keys = try CenterKeys.load(from: blobs), let membership = try Membership.load(from: blobs), membership.rootKey == keys.root.publicKey else {
            throw StorageError(.corrupt, "the backup \(path) does not hold a whole center")
        }
        do {
            return (keys, membership, try contents(try CenterRegistry(keys: keys, membership: membership, store: store)))
        } catch CenterError.untrusted(let error) {
            throw StorageError(.corrupt, "the backup \(path) holds what its root key did not sign: \(error)")
        }
    }

    private static func checkIntegrity(_ database: Database, _ path: String) throws {
        let faults = try String.fetchAll(database, sql: "PRAGMA integrity_check(3)")
        guard faults == ["ok"] else { throw StorageError(.corrupt, "the backup \(path) is damaged: \(faults.joined(separator: "; "))") }
    }

    /// Reads everything, so that what it says is true.
    private static func contents(_ registry: CenterRegistry) throws -> Contents {
        var bytes = 0
        for application in registry.index.applications { bytes += try registry.module(application.digest).count }
        for station in registry.state.stations { _ = try registry.read(station.signed) }
        let state = registry.state
        return Contents(
            rootKey: registry.keys.root.publicKey, numbers: registry.numbers, epoch: state.epoch,
            users: state.users.count { !$0.isRevoked }, revokedUsers: state.users.count { $0.isRevoked },
            stations: state.stations.count { !$0.isRevoked }, revokedStations: state.stations.count { $0.isRevoked },
            applications: registry.index.applications.count, moduleBytes: bytes)
    }

    // MARK: Files

    /// The file that is to be a database, readable by its owner only from its first byte on.
    private static func makeFile(_ path: String) throws {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw StorageError.system("create", path) }
        close(descriptor)
    }

    private static func flush(_ path: String) throws {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StorageError.system("open", path) }
        defer { close(descriptor) }
        guard fsync(descriptor) == 0 else { throw StorageError.system("flush", path) }
    }

    /// Gives a complete file its name.
    private static func place(_ temporary: String, at path: String, replacing: Bool) throws {
        if replacing {
            guard rename(temporary, path) == 0 else { throw StorageError.system("rename to", path) }
        } else {
            // Unlike a rename, a link never replaces what somebody else put there meanwhile.
            guard link(temporary, path) == 0 else {
                if errno == EEXIST { throw StorageError(.exists, "\(path) is there already; give --force to replace it") }
                throw StorageError.system("create", path)
            }
            unlink(temporary)
        }
        let folder = (path as NSString).deletingLastPathComponent
        try? flush(folder.isEmpty ? "." : folder)
    }

    private static func plain() -> Configuration {
        var configuration = SQLiteCenterStore.configuration()
        configuration.foreignKeysEnabled = false
        return configuration
    }

    static func readOnly() -> Configuration {
        var configuration = Configuration()
        configuration.readonly = true
        return configuration
    }

    private static func failure(_ error: any Error, _ action: String, _ path: String) -> any Error {
        guard error is DatabaseError || error is RowDecodingError else { return error }
        return SQLiteCenterStore.fault(error, action, path, what: "the backup")
    }
}
