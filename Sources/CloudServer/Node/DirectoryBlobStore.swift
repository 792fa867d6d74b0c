import Foundation

/// What went wrong with a node's files; the message names the path and the next step.
package struct StorageError: Error, CustomStringConvertible, Hashable, Sendable {
    package enum Kind: Sendable {
        case inUse, missing, exists, corrupt
        /// No room, on the disk or within the owner's quota.
        case full
        /// The system does not let this process write there, or nobody.
        case denied
        case inputOutput
    }
    package var kind: Kind
    package var message: String

    package init(_ kind: Kind, _ message: String) { (self.kind, self.message) = (kind, message) }
    package var description: String { message }

    /// What the last system call left, in the words of whoever has to mend it.
    package static func system(_ action: String, _ path: String) -> StorageError {
        let code = errno
        let text = "cannot \(action) \(path): \(String(cString: strerror(code)))"
        return switch code {
        case ENOSPC: StorageError(.full, "the disk is full: \(text); make room there")
        case EDQUOT: StorageError(.full, "the disk quota is used up: \(text); make room there, or raise the quota")
        case EROFS: StorageError(.denied, "the file system is read-only: \(text); mount it for writing, or choose another folder")
        case EACCES, EPERM: StorageError(.denied, "no permission: \(text); give the folder to the user that this role runs as")
        default: StorageError(.inputOutput, text)
        }
    }
}

/// One file per blob in one folder, readable by its owner only. A write goes to a temporary file, reaches the disk,
/// takes its name, and then the folder reaches the disk: after a crash there is the old blob or the new one.
package struct DirectoryBlobStore: BlobStore {
    package let path: String
    private static let temporaryPrefix = ".new-"

    /// Opens the folder, makes it if need be, and clears away what an interrupted write left.
    package init(path: String) throws {
        self.path = path
        try Self.makeFolder(path)
        for name in try entries() where name.hasPrefix(Self.temporaryPrefix) { unlink(path + "/" + name) }
    }

    /// A folder that another process may have open: only to be read.
    init(reading path: String) { self.path = path }

    /// Makes the folder, and those above it that are missing.
    private static func makeFolder(_ path: String) throws {
        if mkdir(path, 0o700) == 0 { return }
        if errno == ENOENT {
            let parent = (path as NSString).deletingLastPathComponent
            if !parent.isEmpty, parent != path, access(parent, F_OK) != 0 { try makeFolder(parent) }
            if mkdir(path, 0o700) == 0 { return }
        }
        guard errno == EEXIST else { throw StorageError.system("create the folder", path) }
        var status = stat()
        guard stat(path, &status) == 0, status.st_mode & S_IFMT == S_IFDIR else { throw StorageError(.inputOutput, "\(path) is no folder; choose another one") }
    }

    private func entries() throws -> [String] {
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: path) else {
            throw StorageError(.inputOutput, "cannot read the folder \(path)")
        }
        return names.sorted()
    }

    private func file(_ name: String) throws -> String {
        // Names are ours (digests, identifiers), yet some come from a peer's record.
        guard !name.isEmpty, name.utf8.count <= 200, !name.hasPrefix("."), !name.contains("/"), !name.utf8.contains(0) else {
            throw StorageError(.inputOutput, "not a file name: \(name)")
        }
        return path + "/" + name
    }

    package func read(_ name: String) throws -> [UInt8]? {
        let file = try file(name)
        let descriptor = open(file, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            if errno == ENOENT { return nil }
            throw StorageError.system("open", file)
        }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw StorageError.system("read", file) }
        let size = Int(status.st_size)
        var bytes = [UInt8](repeating: 0, count: size)
        var count = 0
        while count < size {
            let read = bytes.withUnsafeMutableBytes { buffer in
                Foundation.read(descriptor, buffer.baseAddress.map { $0 + count }, size - count)
            }
            if read < 0 {
                if errno == EINTR { continue }
                throw StorageError.system("read", file)
            }
            if read == 0 { break }
            count += read
        }
        return count == size ? bytes : Array(bytes.prefix(count))
    }

    package func write(_ name: String, _ bytes: [UInt8]) throws {
        let final = try file(name)
        let temporary = path + "/" + Self.temporaryPrefix + name
        unlink(temporary)
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw StorageError.system("create", temporary) }
        do {
            defer { close(descriptor) }
            try Self.writeAll(descriptor, bytes, temporary)
            guard fsync(descriptor) == 0 else { throw StorageError.system("flush", temporary) }
        } catch {
            unlink(temporary)
            throw error
        }
        guard rename(temporary, final) == 0 else {
            let error = StorageError.system("rename to", final)
            unlink(temporary)
            throw error
        }
        try flushFolder()
    }

    private static func writeAll(_ descriptor: Int32, _ bytes: [UInt8], _ path: String) throws {
        var offset = 0
        while offset < bytes.count {
            let written = bytes.withUnsafeBytes { buffer in
                Foundation.write(descriptor, buffer.baseAddress.map { $0 + offset }, bytes.count - offset)
            }
            if written < 0 {
                if errno == EINTR { continue }
                throw StorageError.system("write", path)
            }
            offset += written
        }
    }

    package func remove(_ name: String) throws {
        let file = try file(name)
        guard unlink(file) == 0 || errno == ENOENT else { throw StorageError.system("remove", file) }
        try flushFolder()
    }

    package func names() throws -> [String] { try entries().filter { !$0.hasPrefix(".") } }

    package func size(_ name: String) throws -> Int? {
        var status = stat()
        guard stat(try file(name), &status) == 0 else { return nil }
        return Int(status.st_size)
    }

    package var freeBytes: Int64? {
        var figures = statvfs()
        guard statvfs(path, &figures) == 0 else { return nil }
        let (bytes, isHuge) = Int64(clamping: figures.f_bavail).multipliedReportingOverflow(by: Int64(clamping: figures.f_frsize))
        return isHuge ? .max : bytes
    }

    private func flushFolder() throws {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw StorageError.system("open", path) }
        defer { close(descriptor) }
        // Some file systems cannot flush a folder; the rename is then as durable as they make it.
        guard fsync(descriptor) == 0 || errno == EINVAL else { throw StorageError.system("flush", path) }
    }
}
