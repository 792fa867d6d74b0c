import Foundation

/// Reads what a command is given.
package enum InputFile {
    /// Inputs and modules fit into memory by design; more is a mistake.
    package static let limit = 256 << 20

    /// - Parameter path: `-` is standard input.
    package static func read(_ path: String, limit: Int = limit) throws(FileFailure) -> [UInt8] {
        let descriptor = path == "-" ? 0 : open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw FileFailure(.noInput, "cannot open \(path): \(String(cString: strerror(errno)))") }
        defer { if descriptor > 0 { close(descriptor) } }
        var bytes: [UInt8] = []
        var chunk = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            let count = Foundation.read(descriptor, &chunk, chunk.count)
            if count == 0 { return bytes }
            if count < 0 {
                if errno == EINTR { continue }
                throw FileFailure(.noInput, "cannot read \(path): \(String(cString: strerror(errno)))")
            }
            bytes += chunk[..<count]
            guard bytes.count <= limit else { throw FileFailure(.badData, "\(path) is larger than \(limit >> 20) MiB, which is more than this command takes") }
        }
    }

    /// Makes a folder and those above it, where they are not there yet.
    package static func makeFolder(_ path: String) throws(FileFailure) {
        do { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) } catch {
            throw FileFailure(.unavailable, "cannot make the folder \(path): \((error as NSError).localizedDescription)")
        }
    }

    package static func write(_ bytes: [UInt8], to path: String, mode: mode_t = 0o644) throws(FileFailure) {
        let descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode)
        guard descriptor >= 0 else { throw FileFailure(.unavailable, "cannot write \(path): \(String(cString: strerror(errno)))") }
        var rest = bytes[...]
        while !rest.isEmpty {
            let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
            if count < 0 {
                if errno == EINTR { continue }
                let reason = String(cString: strerror(errno))
                close(descriptor)
                throw FileFailure(.unavailable, "cannot write \(path): \(reason); check the disk")
            }
            rest = rest.dropFirst(count)
        }
        guard close(descriptor) == 0 else { throw FileFailure(.unavailable, "cannot write \(path): \(String(cString: strerror(errno))); check the disk") }
    }
}
