import Foundation

/// A file for something that exists nowhere else: keys, or a token. It is there, empty, its owner's alone and with room on
/// the disk, before what is to stand in it is made; so nothing is made that cannot be kept, and no file is overwritten.
struct SecretFile: ~Copyable {
    /// More than a profile with the longest record has.
    private static let room = 128 << 10

    private let path: String
    private let descriptor: Int32

    /// Makes the file that `make` fills.
    /// - Throws: a `Failure` before `make` where the file cannot be; else what `make` throws, and then there is no file.
    static func write<R>(_ path: String, _ make: () async throws -> (bytes: [UInt8], result: R)) async throws -> R {
        let file = try SecretFile(path)
        do {
            let made = try await make()
            try file.fill(made.bytes)
            return made.result
        } catch {
            unlink(path)
            throw error
        }
    }

    private init(_ path: String) throws(Failure) {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard descriptor >= 0 else {
            if errno == EEXIST { throw Failure(.badData, "\(path) exists and is not overwritten; choose another file, or move it away") }
            throw Failure(.unavailable, "cannot make \(path): \(String(cString: strerror(errno))); nothing was changed")
        }
        // Some file systems cannot set room aside.
        let reason = posix_fallocate(descriptor, 0, off_t(Self.room))
        guard reason != ENOSPC, reason != EDQUOT, reason != EFBIG else {
            unlink(path)
            throw Failure(.unavailable, "cannot make \(path): \(String(cString: strerror(reason))); make room first: nothing was changed")
        }
    }

    deinit { close(descriptor) }

    private func fill(_ bytes: [UInt8]) throws(Failure) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { throw failure() }
            rest = rest.dropFirst(count)
        }
        guard ftruncate(descriptor, off_t(bytes.count)) == 0, fsync(descriptor) == 0 else { throw failure() }
    }

    private func failure() -> Failure {
        Failure(.unavailable, "cannot write \(path): \(String(cString: strerror(errno))); what was to stand in it is lost: take it back, and try again")
    }
}
