import Logging
import MastCloudCore
import MastTimebase
import MastTransport

/// The newest list of communication servers that a communication server knows, kept so that it can tell those who come
/// after the center has gone.
struct ServerListShelf: Sendable {
    private let root: SigningPublicKey
    private let store: any BlobStore
    private let logger: Logger
    private(set) var list: CommunicationServers?
    private(set) var signed: SignedRecord<CommunicationServers>?
    private var storage: StorageTroubles
    private var isWritten = true

    private static let file = "communication-servers"

    init(root: SigningPublicKey, store: any BlobStore, logger: Logger) {
        (self.root, self.store, self.logger) = (root, store, logger)
        storage = StorageTroubles(log: logger)
        // One that cannot be read is none: nodes bring it again.
        guard let bytes = try? store.read(Self.file), let kept = try? SignedRecord<CommunicationServers>(fileBytes: bytes),
            let list = try? kept.verified(by: root)
        else { return }
        (self.list, signed) = (list, kept)
    }

    var number: StateNumber { list?.number ?? 0 }
    var troubles: [String] { storage.lines }

    /// Takes a list if it is genuine and newer.
    /// - Returns: whether it is.
    mutating func take(_ offered: SignedRecord<CommunicationServers>?, at now: Instant) -> Bool {
        guard let offered, offered != signed else { return false }
        do {
            (list, signed, isWritten) = (try offered.verified(root: root, newerThan: number), offered, false)
            keep(at: now)
            return true
        } catch TrustError.stale {
            return false
        } catch {
            logger.warning("list of communication servers refused", metadata: ["reason": "\(error)"])
            return false
        }
    }

    /// Writes what is not written yet.
    mutating func keep(at now: Instant) {
        guard !isWritten, let signed else { return }
        let store = store
        isWritten = storage.noting("the list of communication servers", at: now) { try store.write(Self.file, signed.fileBytes) }
    }

    /// A line for a server that the list does not name any more; nil for one that it does, or while there is none.
    func farewell(from key: PublicKey) -> String? {
        guard let list, !list.contains(key) else { return nil }
        return "the cloud has moved to \(list.first.address) (list \(list.number)): stop this communication server when nobody is left here"
    }
}
