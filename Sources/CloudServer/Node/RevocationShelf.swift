import Logging
import MastCloudCore
import MastTimebase

/// The revocations that a node knows. What it has heard counts at once; that it is also written to the node's disk
/// matters for its next start only, is tried again until it succeeds, and is shown until then.
///
/// A center that was restored from an older copy may have lost revocations that its nodes hold. They go on counting here,
/// and their lists are kept and shown until the center has taken them into its newest one.
package struct RevocationShelf: Sendable {
    private let root: SigningPublicKey
    private let store: any BlobStore
    private let logger: Logger
    /// All that counts, under the newest list's number.
    package private(set) var log = RevocationLog.empty
    /// The newest list.
    package private(set) var signed: SignedRecord<RevocationLog>?
    /// Older lists that the newest does not cover, each by itself.
    package private(set) var lost: [SignedRecord<RevocationLog>] = []
    /// Why the stored list could not be read.
    private var readTrouble: String?
    private var storage: StorageTroubles
    private var isWritten = true

    /// What goes wrong with the list on the disk, a line each.
    var troubles: [String] { (readTrouble.map { [$0] } ?? []) + storage.lines }

    private static let file = "revocations"
    private static let lostFile = "lost-revocations"
    /// One for each restore that nobody told the center's losses of.
    static let mostLost = 8

    /// What is stored. A list that cannot be read is none: it comes again with the next report to the communication server.
    package init(root: SigningPublicKey, store: any BlobStore, logger: Logger) {
        (self.root, self.store, self.logger) = (root, store, logger)
        storage = StorageTroubles(log: logger)
        do {
            if let bytes = try store.read(Self.lostFile) {
                var reader = CanonicalReader(bytes)
                let lists = try reader.list(atMost: Self.mostLost) { (reader) throws(TrustError) in try SignedRecord<RevocationLog>(from: &reader) }
                for list in lists { try place(list) }
            }
            if let bytes = try store.read(Self.file) { try place(try SignedRecord(fileBytes: bytes)) }
        } catch {
            readTrouble = "the stored revocations cannot be used: \(error)"
            logger.error("stored revocations cannot be used", metadata: ["reason": "\(error)"])
        }
    }

    /// Takes a list if it is genuine and names anything new.
    /// - Returns: whether it does.
    package mutating func take(_ offered: SignedRecord<RevocationLog>?, at now: Instant) -> Bool {
        guard let offered, offered != signed, !lost.contains(offered) else { return false }
        do {
            guard try place(offered) else { return false }
            isWritten = false
            logger.notice(
                "revocations", metadata: ["number": "\(log.number)", "users": "\(log.serials.count)", "stations": "\(log.nodes.count)"])
            keep(at: now)
            return true
        } catch {
            logger.warning("revocations refused", metadata: ["reason": "\(error)"])
            return false
        }
    }

    /// Puts a list where it belongs: newest, lost, or nowhere.
    @discardableResult
    private mutating func place(_ offered: SignedRecord<RevocationLog>) throws(TrustError) -> Bool {
        let list = try offered.verified(by: root)
        let isNewest = signed == nil || list.number > log.number
        guard isNewest || !log.covers(list) else { return false }
        let (newest, others) = isNewest ? (offered, lost + [signed].compactMap(\.self)) : (signed ?? offered, lost + [offered])
        let newestList = try newest.verified(by: root)
        var all = newestList
        lost = []
        // What a later list covers need not be kept; the latest come first.
        for other in others.reversed() where other != newest {
            let list = try other.verified(by: root)
            guard !all.covers(list) else { continue }
            guard lost.count < Self.mostLost else {
                logger.error("too many lost lists of revocations; the oldest is given up", metadata: ["number": "\(list.number)"])
                continue
            }
            lost.append(other)
            // Who is out of placement the newest list alone says: it may have let somebody in again.
            all = RevocationLog(
                number: newestList.number, serials: all.serials + list.serials, nodes: all.nodes + list.nodes, suspended: newestList.suspended)
        }
        lost.reverse()
        (signed, log) = (newest, all)
        return true
    }

    /// Writes what is not written yet.
    mutating func keep(at now: Instant) {
        guard !isWritten, let signed else { return }
        let (store, lost) = (store, lost)
        isWritten = storage.noting("the list of revocations, which counts already,", at: now) {
            // First what the newest list does not say.
            if !lost.isEmpty {
                var writer = CanonicalWriter()
                writer.list(lost) { $1.write(to: &$0) }
                try store.write(Self.lostFile, writer.bytes)
            }
            try store.write(Self.file, signed.fileBytes)
            if lost.isEmpty { try store.remove(Self.lostFile) }
        }
        if isWritten { readTrouble = nil }
    }
}
