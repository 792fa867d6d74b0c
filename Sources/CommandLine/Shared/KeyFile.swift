import Foundation
import MastTransport

/// A private transport key in a file of its own: base64url on one line, readable by its owner only.
enum KeyFile {
    /// The key at `path`; a new one is made there first if there is none.
    static func loadOrCreate(_ path: String) throws(Failure) -> StaticKeyPair {
        var status = stat()
        if stat(path, &status) != 0, errno == ENOENT {
            var generator = SystemRandomNumberGenerator()
            let pair = StaticKeyPair(using: &generator)
            try InputFile.write(Array((Base64URL.encode(pair.privateBytes) + "\n").utf8), to: path, mode: 0o600)
            return pair
        }
        let text = String(decoding: try InputFile.read(path, limit: 4_096), as: UTF8.self)
        guard status.st_mode & 0o077 == 0 else {
            throw Failure(.badData, "the key file \(path) may be read by others; run: chmod 600 \(path)")
        }
        guard let bytes = Base64URL.decode(text.trimmingCharacters(in: .whitespacesAndNewlines)), let pair = StaticKeyPair(privateKey: bytes) else {
            throw Failure(.badData, "\(path) is not a key file; remove it, and a new one is made")
        }
        return pair
    }
}
