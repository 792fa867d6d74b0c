import Foundation

/// A file that is there, and ours, before anything depends on it; what was there before stays.
struct NewFile {
    let path: String
    private let descriptor: Int32

    init(_ path: String, mode: mode_t) throws(Failure) {
        self.path = path
        descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode)
        guard descriptor >= 0 else {
            let reason = errno == EEXIST ? "it is there already, and nothing is overwritten" : String(cString: strerror(errno))
            throw Failure(errno == EEXIST ? .badData : .unavailable, "cannot write \(path): \(reason); choose another file")
        }
    }

    /// Returns when the bytes have reached the disk.
    func write(_ bytes: [UInt8]) throws(Failure) {
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0, errno == EINTR { continue }
            guard count >= 0 else { throw Failure(.unavailable, "cannot write \(path): \(String(cString: strerror(errno))); check the disk") }
            rest = rest.dropFirst(count)
        }
        guard fsync(descriptor) == 0, close(descriptor) == 0 else {
            throw Failure(.unavailable, "cannot write \(path): \(String(cString: strerror(errno))); check the disk")
        }
    }

    /// Nothing came of it.
    func discard() { unlink(path) }
}
