import Foundation

/// A result file that is written as it grows.
package final class BufferedFile {
    private let path: String
    private var stream: UnsafeMutablePointer<FILE>?

    /// Replaces what `path` holds; `-` is standard output.
    package init(_ path: String) throws(FileFailure) {
        self.path = path
        guard let stream = path == "-" ? fdopen(dup(1), "w") : fopen(path, "w") else {
            throw FileFailure(.unavailable, "cannot write \(path): \(String(cString: strerror(errno)))")
        }
        self.stream = stream
    }

    deinit { if let stream { fclose(stream) } }

    package func write(_ bytes: [UInt8]) throws(FileFailure) {
        guard let stream, fwrite(bytes, 1, bytes.count, stream) == bytes.count else {
            throw FileFailure(.unavailable, "cannot write \(path): \(String(cString: strerror(errno))); check the disk")
        }
    }

    /// A full disk may show only here.
    package func close() throws(FileFailure) {
        guard let stream else { return }
        self.stream = nil
        guard fclose(stream) == 0 else {
            throw FileFailure(.unavailable, "cannot write \(path): \(String(cString: strerror(errno))); check the disk")
        }
    }
}
