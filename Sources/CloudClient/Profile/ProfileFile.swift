import Foundation
import MastCloudCore

/// Why a profile or known-hosts file cannot be used. Each description names the next step.
public enum ProfileError: Error, Hashable, Sendable, CustomStringConvertible {
    case missing(path: String)
    /// Others could read the private keys in it.
    case readableByOthers(path: String)
    case malformed(path: String, reason: String)
    case storage(path: String, reason: String)
    /// A server shows another key than the one that is known.
    case changedKey(host: String, known: String, shown: String, path: String)

    public var description: String {
        switch self {
        case .missing(let path): "no profile at \(path); make one with `mast user add NAME` and give its path with --profile"
        case .readableByOthers(let path): "the profile \(path) holds private keys and others may read it; run: chmod 600 \(path)"
        case .malformed(let path, let reason): "\(path) is not usable: \(reason)"
        case .storage(let path, let reason): "cannot use \(path): \(reason)"
        case .changedKey(let host, let known, let shown, let path):
            "the key of \(host) has changed: known is \(known), shown is \(shown); somebody may be in between, or the server was made anew. If so, remove its line from \(path)"
        }
    }
}

/// A client's profile on disk: JSON, for its owner only.
public enum ProfileFile {
    /// Reads a profile and checks its keys.
    public static func load(_ path: String) throws(ProfileError) -> ClientProfile {
        var status = stat()
        guard stat(path, &status) == 0 else {
            if errno == ENOENT || errno == ENOTDIR { throw .missing(path: path) }
            throw .storage(path: path, reason: String(cString: strerror(errno)))
        }
        guard status.st_mode & 0o077 == 0 else { throw .readableByOthers(path: path) }
        guard let bytes = DurableFile.read(path, limit: 1 << 20) else { throw .storage(path: path, reason: "it cannot be read") }
        let decoded = Result { try JSONDecoder().decode(ClientProfile.self, from: Data(bytes)) }
        guard case .success(let profile) = decoded else { throw .malformed(path: path, reason: "it is not a profile that `mast user add` wrote") }
        do throws(TrustError) { _ = try profile.opened() } catch { throw .malformed(path: path, reason: "\(error)") }
        return profile
    }

    /// Writes a profile so that it is whole or not there, also after a crash.
    public static func save(_ profile: ClientProfile, to path: String) throws(ProfileError) {
        do throws(PoolError) { try DurableFile.replace(path, with: encode(profile), mode: 0o600) } catch {
            if case .storage(let path, let reason) = error { throw .storage(path: path, reason: reason) }
            throw .storage(path: path, reason: "\(error)")
        }
    }

    /// The file's bytes, for a profile that goes to standard output.
    public static func encode(_ profile: ClientProfile) -> [UInt8] {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        // A profile has texts and numbers only; there is nothing in it that cannot be written.
        return Array((try? encoder.encode(profile)) ?? Data()) + [UInt8(ascii: "\n")]
    }

    /// Where ticket and placements are kept for the profile at `path`.
    public static func statePath(for path: String) -> String { path + ".state" }
}
