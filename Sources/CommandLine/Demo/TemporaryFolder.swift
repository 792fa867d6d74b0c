import Foundation

/// Folders that are gone when the program has ended, however it ended: also by a second Ctrl-C.
enum TemporaryFolder {
    private static let folders = Lock<[String]>([])
    /// Once in a program.
    private static let removesAtExit: Void = { atexit { TemporaryFolder.removeAll() } }()

    static func make(_ purpose: String) throws(Failure) -> String {
        _ = removesAtExit
        let parent = FileManager.default.temporaryDirectory.path
        var template = Array((parent + "/mast-\(purpose)-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else {
            throw Failure(.unavailable, "no temporary folder can be made in \(parent): \(String(cString: strerror(errno))); set TMPDIR to another folder")
        }
        let path = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        folders.withLock { $0.append(path) }
        return path
    }

    /// It stays.
    static func keep(_ path: String) { folders.withLock { $0.removeAll { $0 == path } } }

    static func remove(_ path: String) {
        // A process that has just been killed may still make a file meanwhile.
        for _ in 0..<5 {
            try? FileManager.default.removeItem(atPath: path)
            if access(path, F_OK) != 0 { break }
        }
        keep(path)
    }

    private static func removeAll() { for path in folders.withLock({ $0 }) { remove(path) } }
}
