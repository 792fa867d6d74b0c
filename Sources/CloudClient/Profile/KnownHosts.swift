import Foundation
import MastTransport

/// Trust on first use: which key each server showed when it was first met. One `host:port key` a line.
public struct KnownHosts: Sendable {
    public let path: String
    /// A file with more is not ours.
    private static let limit = 4 << 20

    public init(path: String) { self.path = path }

    /// The key that `host` is known by; nil for a host never met.
    public func key(of host: String) throws(ProfileError) -> PublicKey? {
        for line in try lines() {
            let fields = line.split(separator: " ", omittingEmptySubsequences: true)
            guard let name = fields.first, name == host, !line.hasPrefix("#") else { continue }
            guard fields.count >= 2, let key = PublicKey(String(fields[1])) else {
                throw .malformed(path: path, reason: "the line of \(host) has no key; remove it")
            }
            return key
        }
        return nil
    }

    /// Compares a key with the known one, and remembers it if the host was never met.
    /// - Returns: whether the host is new.
    /// - Throws: `changedKey`, naming both keys.
    @discardableResult
    public func check(_ host: String, shows key: PublicKey) throws(ProfileError) -> Bool {
        // Two processes that meet hosts at once must not lose each other's line.
        let lock = open(path + ".lock", O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        if lock < 0, errno == ENOENT {
            try wrap { () throws(PoolError) in try DurableFile.makeDirectory((path as NSString).deletingLastPathComponent) }
            return try check(host, shows: key)
        }
        guard lock >= 0 else { throw .storage(path: path, reason: String(cString: strerror(errno))) }
        defer { close(lock) }
        guard flock(lock, LOCK_EX) == 0 else { throw .storage(path: path, reason: String(cString: strerror(errno))) }

        if let known = try self.key(of: host) {
            guard known == key else {
                throw .changedKey(host: host, known: known.description, shown: key.description, path: path)
            }
            return false
        }
        var text = try lines().joined(separator: "\n")
        if !text.isEmpty { text += "\n" }
        text += "\(host) \(key)\n"
        try wrap { () throws(PoolError) in try DurableFile.replace(path, with: Array(text.utf8), mode: 0o600) }
        return true
    }

    private func lines() throws(ProfileError) -> [Substring] {
        guard access(path, F_OK) == 0 else { return [] }
        guard let bytes = DurableFile.read(path, limit: Self.limit) else { throw .storage(path: path, reason: "it cannot be read") }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n", omittingEmptySubsequences: true)
    }

    private func wrap(_ body: () throws(PoolError) -> Void) throws(ProfileError) {
        do throws(PoolError) { try body() } catch {
            if case .storage(let path, let reason) = error { throw .storage(path: path, reason: reason) }
            throw .storage(path: path, reason: "\(error)")
        }
    }
}
