import Foundation
import MastTransport

/// A private transport key in a file of its own: base64url on one line, readable by its owner only.
enum KeyFile {
    /// The key at `path`; a new one is made there first if there is none. Of programs that begin at once, all get the same.
    /// - Parameter makesFolder: the file's folder is made, too, if there is none.
    static func loadOrCreate(_ path: String, makesFolder: Bool = false) throws(Failure) -> StaticKeyPair {
        var status = stat()
        if stat(path, &status) != 0, errno == ENOENT {
            if makesFolder { try makeFolder((path as NSString).deletingLastPathComponent) }
            try create(path)
        }
        return try load(path)
    }

    private static func load(_ path: String) throws(Failure) -> StaticKeyPair {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else { throw Failure(.noInput, "cannot read the key file \(path): \(String(cString: strerror(errno)))") }
        defer { close(descriptor) }
        var status = stat()
        guard fstat(descriptor, &status) == 0 else { throw Failure(.noInput, "cannot read the key file \(path): \(String(cString: strerror(errno)))") }
        guard status.st_mode & S_IFMT == S_IFREG else { throw Failure(.badData, "the key file \(path) is \(kind(status)); give a file, or a name for a new one") }
        guard status.st_mode & 0o077 == 0 else {
            throw Failure(.badData, "the key file \(path) may be read by others; run: chmod 600 \(path)")
        }
        var bytes = [UInt8](repeating: 0, count: 4_096)
        let count = max(0, read(descriptor, &bytes, bytes.count))
        let text = String(decoding: bytes[..<count], as: UTF8.self).trimmingCharacters(in: .whitespacesAndNewlines)
        guard let key = Base64URL.decode(text), let pair = StaticKeyPair(privateKey: key) else {
            throw Failure(.badData, "\(path) is not a key file; remove it, and a new one is made")
        }
        return pair
    }

    private static func kind(_ status: stat) -> String { status.st_mode & S_IFMT == S_IFDIR ? "a folder" : "no regular file" }

    /// The key is whole before it takes its name, and does not take a name that somebody else's has taken meanwhile.
    private static func create(_ path: String) throws(Failure) {
        var template = Array((path + ".XXXXXX").utf8CString)
        // mkstemp gives its file to the owner alone.
        let descriptor = mkstemp(&template)
        guard descriptor >= 0 else { throw Failure(.unavailable, "cannot make the key file \(path): \(String(cString: strerror(errno)))") }
        defer {
            close(descriptor)
            unlink(template)
        }
        var generator = SystemRandomNumberGenerator()
        let text = Array((Base64URL.encode(StaticKeyPair(using: &generator).privateBytes) + "\n").utf8)
        guard write(descriptor, text, text.count) == text.count, fsync(descriptor) == 0 else {
            throw Failure(.unavailable, "cannot write the key file \(path): \(String(cString: strerror(errno))); check the disk")
        }
        if link(template, path) == 0 || errno == EEXIST { return }
        // Without hard links, as on FAT: of two at the very same moment the later one's key stays.
        guard rename(template, path) == 0 else { throw Failure(.unavailable, "cannot make the key file \(path): \(String(cString: strerror(errno)))") }
    }

    private static func makeFolder(_ path: String) throws(Failure) {
        if mkdir(path, 0o700) == 0 || errno == EEXIST { return }
        let reason = errno
        let parent = (path as NSString).deletingLastPathComponent
        guard reason == ENOENT, !parent.isEmpty, parent != path else {
            throw Failure(.unavailable, "cannot make the folder \(path): \(String(cString: strerror(reason)))")
        }
        try makeFolder(parent)
        guard mkdir(path, 0o700) == 0 || errno == EEXIST else {
            throw Failure(.unavailable, "cannot make the folder \(path): \(String(cString: strerror(errno)))")
        }
    }
}
