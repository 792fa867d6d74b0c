import Logging
import MastCloudCore
import MastTimebase

/// The newest list of revocations that a node knows. What it has heard counts at once; that it is also written to
/// the node's disk matters for its next start only, is tried again until it succeeds, and is shown until then.
struct RevocationShelf: Sendable {
    private let root: SigningPublicKey
    private let store: any BlobStore
    private let logger: Logger
    private(set) var log = RevocationLog.empty
    private(set) var signed: SignedRecord<RevocationLog>?
    /// Why the stored list could not be read.
    private var readTrouble: String?
    private var storage: StorageTroubles
    private var isWritten = true

    /// What goes wrong with the list on the disk, a line each.
    var troubles: [String] { (readTrouble.map { [$0] } ?? []) + storage.lines }

    private static let file = "revocations"

    /// What is stored. A list that cannot be read is none: it comes again with the next report to the communication server.
    init(root: SigningPublicKey, store: any BlobStore, logger: Logger) {
        (self.root, self.store, self.logger) = (root, store, logger)
        storage = StorageTroubles(log: logger)
        do {
            guard let bytes = try store.read(Self.file) else { return }
            let signed = try SignedRecord<RevocationLog>(fileBytes: bytes)
            (log, self.signed) = (try signed.verified(by: root), signed)
        } catch {
            readTrouble = "the stored revocations cannot be used: \(error)"
            logger.error("stored revocations cannot be used", metadata: ["reason": "\(error)"])
        }
    }

    /// Takes a list if it is genuine and newer.
    /// - Returns: whether it is.
    mutating func take(_ offered: SignedRecord<RevocationLog>?, at now: Instant) -> Bool {
        guard let offered, offered != signed else { return false }
        do {
            let news = try offered.verified(root: root, notOlderThan: log.number)
            guard news.number > log.number else { return false }
            (log, signed, isWritten) = (news, offered, false)
            logger.notice(
                "revocations", metadata: ["number": "\(news.number)", "users": "\(news.serials.count)", "stations": "\(news.nodes.count)"])
            keep(at: now)
            return true
        } catch TrustError.stale {
            return false
        } catch {
            logger.warning("revocations refused", metadata: ["reason": "\(error)"])
            return false
        }
    }

    /// Writes what is not written yet.
    mutating func keep(at now: Instant) {
        guard !isWritten, let signed else { return }
        let store = store
        isWritten = storage.noting("the list of revocations, which counts already,", at: now) { try store.write(Self.file, signed.fileBytes) }
        if isWritten { readTrouble = nil }
    }
}
