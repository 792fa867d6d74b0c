import MastCloudCore

/// Why the center did not do what it was asked to; nothing was changed.
package enum CenterError: Error, Hashable, Sendable {
    /// The request makes no sense, whatever the center holds. The text is a sentence.
    case malformed(String)
    /// There is no such user, station, application or upload.
    case unknown(String)
    /// The name is taken.
    case exists(String)
    /// One of the center's bounds is reached.
    case full(String)
    /// What is there now does not allow it.
    case conflict(String)
    /// A station, or the center's own store, showed what the root key did not sign.
    case untrusted(TrustError)
    /// It could not be stored.
    case storage(StorageError)
}

extension CenterError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .malformed(let text), .unknown(let text), .exists(let text), .full(let text), .conflict(let text): text
        case .untrusted(let error): "\(error)"
        case .storage(let error): "\(error)"
        }
    }
}
