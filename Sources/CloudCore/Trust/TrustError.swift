import MastTimebase

/// Why a record, proof or token was not believed. Every case names what was wrong, and none carries a secret.
package enum TrustError: Error, Hashable, Sendable {
    /// The bytes are not a record of the expected shape; `what` names the field or rule.
    case malformed(String)
    /// The signature does not belong to these bytes and this key.
    case wrongSignature(of: String)
    /// The record speaks for another key than the one that presented it.
    case wrongKey(of: String)
    /// The record is genuine but its holder may not act in this role.
    case wrongRole(String)
    case expired(of: String, at: WallTime)
    /// It begins in the future: its issuer's clock, or this one, is wrong.
    case notYet(of: String, from: WallTime)
    /// A proof that was made for something else.
    case wrongScope(of: String, expected: String)
    case revoked(serial: UInt64)
    /// The center removed this node from the cloud.
    case removed(node: String)
    /// A numbered record is older than the one already known.
    case stale(of: String, known: StateNumber, offered: StateNumber)
    /// A node's record is older than the one already known.
    case outdated(of: String, known: UInt64, offered: UInt64)
    /// A genuine statement about something else than what is at hand; `field` names the difference.
    case contradicted(of: String, field: String)
    case digestMismatch(expected: ContentDigest, actual: ContentDigest)
    case unknown(String)
    case alreadyUsed(String)
}

extension TrustError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .malformed(let what): "malformed \(what)"
        case .wrongSignature(let what): "the signature of the \(what) is not valid"
        case .wrongKey(let what): "the \(what) belongs to another key"
        case .wrongRole(let what): what
        case .expired(let what, let at): "the \(what) expired at \(at.milliseconds) ms since 1970"
        case .notYet(let what, let from): "the \(what) begins at \(from.milliseconds) ms since 1970, which is not yet"
        case .wrongScope(let what, let expected): "the \(what) was not made for \(expected)"
        case .revoked(let serial): "user record \(serial) was revoked"
        case .removed(let node): "node \(node) was removed from this cloud"
        case .stale(let what, let known, let offered): "\(what) number \(offered) is older than the known \(known)"
        case .contradicted(let what, let field): "the \(what) states another \(field)"
        case .outdated(let what, let known, let offered): "\(what) of epoch \(offered) is older than the known one of epoch \(known)"
        case .digestMismatch(let expected, let actual): "content has SHA-256 \(actual), expected \(expected)"
        case .unknown(let what): "unknown \(what)"
        case .alreadyUsed(let what): "the \(what) was already used"
        }
    }
}
