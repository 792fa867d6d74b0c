import Synchronization

/// Named bytes that survive a restart: a node's keys, records and replicas. Synchronous, so that the simulator can
/// hold them in memory and stay on its one thread.
package protocol BlobStore: Sendable {
    /// Nil when there is no such blob.
    func read(_ name: String) throws -> [UInt8]?
    /// All or nothing, and durable when it returns.
    func write(_ name: String, _ bytes: [UInt8]) throws
    func remove(_ name: String) throws
    /// Ascending.
    func names() throws -> [String]
    func size(_ name: String) throws -> Int?
    /// What can still be written; nil where nobody knows.
    var freeBytes: Int64? { get }
}

extension BlobStore {
    package var freeBytes: Int64? { nil }
}

/// A store that a simulated node keeps across its simulated restarts.
package final class MemoryBlobStore: BlobStore {
    private let blobs = Mutex<[String: [UInt8]]>([:])

    package init() {}
    package func read(_ name: String) -> [UInt8]? { blobs.withLock { $0[name] } }
    package func write(_ name: String, _ bytes: [UInt8]) { blobs.withLock { $0[name] = bytes } }
    package func remove(_ name: String) { blobs.withLock { $0[name] = nil } }
    package func names() -> [String] { blobs.withLock { $0.keys.sorted() } }
    package func size(_ name: String) -> Int? { blobs.withLock { $0[name]?.count } }
}
