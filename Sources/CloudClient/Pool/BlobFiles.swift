import Foundation
import MastCloudCore
import Synchronization

/// The files of a pool: one per digest under `blobs/`, and half-written ones under `incoming/`.
///
/// A writer holds a lock on its half-written file and names it after the digest to come, so whoever finds one
/// without a lock knows that its writer died, and which blob it may have left without an entry.
/// Linking and unlinking under `blobs/` happens only inside a write transaction of the index, which orders
/// it between processes.
struct BlobFiles: Sendable {
    let directory: String
    private var blobs: String { directory + "/blobs" }
    private var incoming: String { directory + "/incoming" }

    init(directory: String) throws(PoolError) {
        self.directory = directory
        for path in [directory, directory + "/blobs", directory + "/incoming"] {
            try DurableFile.makeDirectory(path)
        }
    }

    func path(of digest: ContentDigest) -> String {
        let name = digest.description
        return "\(blobs)/\(name.prefix(2))/\(name)"
    }

    /// A complete file that is not a blob yet. Closing it gives up the lock.
    struct Incoming: ~Copyable {
        let path: String
        let digest: ContentDigest
        fileprivate let descriptor: Int32

        deinit {
            unlink(path)
            close(descriptor)
        }
    }

    /// Writes bytes to a locked temporary file and to the disk.
    func write(_ bytes: [UInt8], _ digest: ContentDigest) throws(PoolError) -> Incoming {
        let serial = Self.serial.add(1, ordering: .relaxed).newValue
        let path = "\(incoming)/\(digest).\(getpid()).\(serial)"
        let descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw .system(path) }
        let file = Incoming(path: path, digest: digest, descriptor: descriptor)
        guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { throw .system(path) }
        try DurableFile.writeAll(bytes, to: descriptor, path: path)
        guard fsync(descriptor) == 0 else { throw .system(path) }
        return file
    }

    /// Gives a complete file its blob name. Inside a write transaction only.
    func publish(_ file: borrowing Incoming) throws(PoolError) {
        let target = path(of: file.digest)
        let parent = String(target.dropLast(65))
        try DurableFile.makeDirectory(parent)
        // The same bytes may lie there already, perhaps damaged: these are fresh.
        unlink(target)
        // A link keeps the incoming name until the index has committed: after a crash in between, the sweep
        // finds it and with it the blob without an entry. Where there are no links, a crash leaks one blob.
        if link(file.path, target) != 0, rename(file.path, target) != 0 { throw .system(target) }
        try DurableFile.syncDirectory(parent)
    }

    /// Inside a write transaction only.
    func unlinkBlob(_ digest: ContentDigest) { unlink(path(of: digest)) }

    /// The bytes of a blob, or nil if they are missing or are not what the digest says.
    func read(_ digest: ContentDigest, size: Int) -> [UInt8]? {
        guard let bytes = DurableFile.read(path(of: digest), limit: size), ContentDigest(of: bytes) == digest else { return nil }
        return bytes
    }

    /// Removes what dead writers left, and returns the digests they may have left without an entry.
    func sweep() -> [ContentDigest] {
        var orphans: [ContentDigest] = []
        guard let names = try? FileManager.default.contentsOfDirectory(atPath: incoming) else { return [] }
        for name in names.sorted() {
            let path = "\(incoming)/\(name)"
            let descriptor = open(path, O_RDONLY | O_CLOEXEC)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            guard flock(descriptor, LOCK_EX | LOCK_NB) == 0 else { continue }  // its writer lives
            // A writer between creating and locking loses its file here, fails to link, and writes it again.
            unlink(path)
            if let digest = ContentDigest(String(name.prefix(64))) { orphans.append(digest) }
        }
        return orphans
    }

    private static let serial = Atomic<Int>(0)
}

/// File operations whose effect is on the disk when they return.
enum DurableFile {
    static func makeDirectory(_ path: String) throws(PoolError) {
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        let parent = (path as NSString).deletingLastPathComponent
        if errno == ENOENT, !parent.isEmpty, parent != path, access(parent, F_OK) != 0 {
            try makeDirectory(parent)
            if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        }
        throw .system(path)
    }

    static func writeAll(_ bytes: [UInt8], to descriptor: Int32, path: String) throws(PoolError) {
        var offset = 0
        while offset < bytes.count {
            let written = bytes[offset...].withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if written < 0, errno == EINTR { continue }
            guard written > 0 else { throw .system(path) }
            offset += written
        }
    }

    /// A whole file; nil if it cannot be read or has more than `limit` bytes.
    static func read(_ path: String, limit: Int) -> [UInt8]? {
        // What is no file, a pipe for instance, would keep its reader waiting.
        let descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
        var bytes: [UInt8] = []
        var buffer = [UInt8](repeating: 0, count: min(max(limit, 1), 1 << 20))
        while true {
            let count = buffer.withUnsafeMutableBytes { Foundation.read(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0, bytes.count + count <= limit else { return nil }
            if count == 0 { return bytes }
            bytes.append(contentsOf: buffer[..<count])
        }
    }

    /// Replaces a file whole: readers see the old bytes or the new ones, also after a crash.
    static func replace(_ path: String, with bytes: [UInt8], mode: mode_t) throws(PoolError) {
        let folder = (path as NSString).deletingLastPathComponent
        let parent = folder.isEmpty ? "." : folder
        try makeDirectory(parent)
        let temporary = "\(path).\(getpid()).\(serial.add(1, ordering: .relaxed).newValue).new"
        let descriptor = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw .system(temporary) }
        do throws(PoolError) {
            defer { close(descriptor) }
            try writeAll(bytes, to: descriptor, path: temporary)
            guard fsync(descriptor) == 0 else { throw .system(temporary) }
        } catch {
            unlink(temporary)
            throw error
        }
        guard rename(temporary, path) == 0 else {
            let error = PoolError.system(path)
            unlink(temporary)
            throw error
        }
        try syncDirectory(parent)
    }

    static func syncDirectory(_ path: String) throws(PoolError) {
        let descriptor = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
        guard descriptor >= 0 else { throw .system(path) }
        defer { close(descriptor) }
        // Some file systems cannot sync a folder and say so with EINVAL; there is nothing to be done then.
        guard fsync(descriptor) == 0 || errno == EINVAL else { throw .system(path) }
    }

    private static let serial = Atomic<Int>(0)
}

extension PoolError {
    /// The error that the last system call left.
    static func system(_ path: String) -> PoolError { .storage(path: path, reason: String(cString: strerror(errno))) }
}
