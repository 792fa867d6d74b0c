import Foundation
import MastFiles
import MastTransport

/// A key log file that may grow while it is read. Not for two threads at once.
package final class KeyLogFollower {
    /// A million key phases.
    private static let mostBytes = 256 << 20

    package private(set) var log = KeyLog()
    private let descriptor: Int32
    private var taken = 0
    private var chunk = [UInt8](repeating: 0, count: 1 << 16)

    package init(path: String) throws(FileFailure) {
        descriptor = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { throw FileFailure(.noInput, "cannot open the key log \(path): \(String(cString: strerror(errno)))") }
        readMore()
    }

    deinit { close(descriptor) }

    /// The log, if it names a connection whose packets go to this ID.
    func log(naming destination: ConnectionID) -> KeyLog? {
        if log.way(to: destination) != nil { return log }
        return readMore() && log.way(to: destination) != nil ? log : nil
    }

    /// - Returns: whether there was more.
    @discardableResult
    func readMore() -> Bool {
        let before = taken
        let size = chunk.count
        while taken < Self.mostBytes {
            let count = read(descriptor, &chunk, size)
            if count < 0, errno == EINTR { continue }
            guard count > 0 else { break }
            log.append(chunk[..<count])
            taken += count
        }
        return taken > before
    }
}
