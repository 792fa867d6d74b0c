import Logging
import MastCloudCore

/// The applications that a station has on its disk, each under its digest. Bytes are believed only while their
/// SHA-256 is right: everything is checked when the catalog opens and again whenever it is read.
package struct ReplicaCatalog: Sendable {
    private let store: any BlobStore
    private let log: Logger
    private let capacityBytes: Int
    /// Least recently used first.
    private var entries: [(digest: ContentDigest, size: Int)] = []

    package init(store: any BlobStore, capacityBytes: Int, log: Logger) throws {
        self.store = store
        self.capacityBytes = capacityBytes
        self.log = log
        for name in try store.names() {
            guard let digest = ContentDigest(name) else {
                log.warning("not a replica, removed", metadata: ["file": "\(name)"])
                try store.remove(name)
                continue
            }
            guard let bytes = try store.read(name), ContentDigest(of: bytes) == digest else {
                log.warning("damaged replica removed", metadata: ["digest": "\(digest)"])
                try store.remove(name)
                continue
            }
            entries.append((digest, bytes.count))
        }
    }

    package var digests: [ContentDigest] { entries.map(\.digest).sorted() }
    package var totalBytes: Int { entries.reduce(0) { $0 + $1.size } }
    package func contains(_ digest: ContentDigest) -> Bool { entries.contains { $0.digest == digest } }

    /// The verified bytes; nil when there are none, or when they turned out damaged (they are gone then).
    package mutating func read(_ digest: ContentDigest) throws -> [UInt8]? {
        guard let index = entries.firstIndex(where: { $0.digest == digest }) else { return nil }
        let entry = entries.remove(at: index)
        guard let bytes = try store.read(digest.description), ContentDigest(of: bytes) == digest else {
            log.warning("damaged replica removed", metadata: ["digest": "\(digest)"])
            try store.remove(digest.description)
            return nil
        }
        entries.append(entry)
        return bytes
    }

    /// The bytes that can be stored without losing anything in `wanted`.
    package func room(beside wanted: [ContentDigest]) -> Int {
        let wanted = Set(wanted)
        return capacityBytes - entries.reduce(0) { $0 + (wanted.contains($1.digest) ? $1.size : 0) }
    }

    /// Stores bytes whose digest the caller has checked. Makes room by dropping what was not used for longest,
    /// but nothing in `wanted`.
    /// - Returns: false when there is no room.
    package mutating func insert(_ digest: ContentDigest, _ bytes: [UInt8], wanted: [ContentDigest]) throws -> Bool {
        guard !contains(digest) else { return true }
        guard bytes.count <= room(beside: wanted) else { return false }
        while totalBytes > capacityBytes - bytes.count {
            guard let victim = entries.first(where: { !wanted.contains($0.digest) }) else { return false }
            try remove(victim.digest)
        }
        try store.write(digest.description, bytes)
        entries.append((digest, bytes.count))
        return true
    }

    package mutating func remove(_ digest: ContentDigest) throws {
        try store.remove(digest.description)
        entries.removeAll { $0.digest == digest }
    }
}
