import Logging
import MastCloudCore

/// The newest list of revocations that a node knows. What it has heard counts at once; that it is also written to
/// the node's disk matters for its next start only, is tried again until it succeeds, and is shown until then.
struct RevocationShelf: Sendable {
    private let root: SigningPublicKey
    private let store: any BlobStore
    private let logger: Logger
    private(set) var log = RevocationLog.empty
    private(set) var signed: SignedRecord<RevocationLog>?
    /// Why the list could not be written or read, while that is so.
    private(set) var trouble: String?
    private var isWritten = true

    private static let file = "revocations"

    /// What is stored. A list that cannot be read is none: it comes again with the next report to the communication server.
    init(root: SigningPublicKey, store: any BlobStore, logger: Logger) {
        (self.root, self.store, self.logger) = (root, store, logger)
        do {
            guard let bytes = try store.read(Self.file) else { return }
            let signed = try SignedRecord<RevocationLog>(fileBytes: bytes)
            (log, self.signed) = (try signed.verified(by: root), signed)
        } catch {
            trouble = "the stored revocations cannot be used: \(error)"
            logger.error("stored revocations cannot be used", metadata: ["reason": "\(error)"])
        }
    }

    /// Takes a list if it is genuine and newer.
    /// - Returns: whether it is.
    mutating func take(_ offered: SignedRecord<RevocationLog>?) -> Bool {
        guard let offered, offered != signed else { return false }
        do {
            let news = try offered.verified(root: root, notOlderThan: log.number)
            guard news.number > log.number else { return false }
            (log, signed, isWritten) = (news, offered, false)
            logger.notice(
                "revocations", metadata: ["number": "\(news.number)", "users": "\(news.serials.count)", "stations": "\(news.nodes.count)"])
            keep()
            return true
        } catch TrustError.stale {
            return false
        } catch {
            logger.warning("revocations refused", metadata: ["reason": "\(error)"])
            return false
        }
    }

    /// Writes what is not written yet.
    mutating func keep() {
        guard !isWritten, let signed else { return }
        do {
            try store.write(Self.file, signed.fileBytes)
            (isWritten, trouble) = (true, nil)
        } catch {
            let text = "revocations count, but cannot be stored: \(error)"
            if trouble != text { logger.error("revocations cannot be stored", metadata: ["reason": "\(error)"]) }
            trouble = text
        }
    }
}
