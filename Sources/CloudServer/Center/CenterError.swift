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
    /// Others hold newer state than this center: it came back from an older copy, and what it said now would count for nothing.
    case superseded(own: StateNumbers, others: StateNumbers)
    /// Another process is this center too: what one of them changed, the other would not know.
    case twice
    /// Nobody could change the cloud any more.
    case lastOperator(String)
    /// A station, or the center's own store, showed what the root key did not sign.
    case untrusted(TrustError)
    /// It could not be stored.
    case storage(StorageError)
}

extension CenterError: CustomStringConvertible {
    package var description: String {
        switch self {
        case .malformed(let text), .unknown(let text), .exists(let text), .full(let text), .conflict(let text): text
        case .superseded(let own, let others):
            "the cloud holds newer state (\(others.text)) than this center (\(own.text)): its database is an older copy, and nothing is "
                + "changed until it has an epoch of its own; stop the center, then run mast center restore BACKUP --dir DIR --force, "
                + "or mast center adopt --dir DIR to go on with the database that is there"
        case .twice:
            "this center runs twice, from two copies of its folder: nothing is changed while both live; stop one of them, the one whose folder is the older copy"
        case .lastOperator(let name): "\(name) is the last operator; make another one first, with mast user add --operator"
        case .untrusted(let error): "\(error)"
        case .storage(let error): "\(error)"
        }
    }
}
