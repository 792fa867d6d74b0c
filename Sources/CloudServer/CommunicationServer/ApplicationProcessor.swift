import Logging
import MastCloudCore
import MastRPC
import MastTimebase

/// One place from which a replica can be had.
package struct ReplicaSource: Sendable {
    package var name: String
    /// Bytes whose digest was checked.
    package var fetch: @Sendable (ContentDigest) async throws -> [UInt8]

    package init(name: String, fetch: @escaping @Sendable (ContentDigest) async throws -> [UInt8]) {
        (self.name, self.fetch) = (name, fetch)
    }
}

/// The communication server's copies of applications: a station that lacks one is filled from here instead of from
/// the far center. Bounded, verified, and several stations that want the same one cause a single transfer.
package actor ApplicationProcessor {
    private var copies: BoundedCache<ContentDigest, [UInt8]>
    /// Digests that nobody had a moment ago.
    private var absent = BoundedCache<ContentDigest, Instant>(maximumCount: 1024)
    private let flights = SingleFlight<ContentDigest, [UInt8]>()
    private let now: @Sendable () -> Instant
    private let log: Logger
    private(set) var transfers: UInt64 = 0

    /// How long a failed search is not repeated.
    static let absence = Interval.milliseconds(500)

    package init(capacityBytes: Int, now: @escaping @Sendable () -> Instant, log: Logger) {
        copies = BoundedCache(maximumCost: capacityBytes)
        self.now = now
        self.log = log
    }

    package var count: Int { copies.count }
    package var totalBytes: Int { copies.totalCost }
    package func holds(_ digest: ContentDigest) -> Bool { copies.contains(digest) }

    /// The application with `digest`: the copy here, else from the first of `sources` that has it.
    /// - Throws: `unavailable` when none has.
    package func replica(_ digest: ContentDigest, from sources: [ReplicaSource]) async throws -> [UInt8] {
        if let copy = copies.value(digest) { return copy }
        return try await flights.run(digest) {
            if let copy = copies.value(digest) { return copy }
            if let until = absent.value(digest), now() < until { throw Self.nobody(digest) }
            for source in sources {
                do {
                    let bytes = try await source.fetch(digest)
                    guard ContentDigest(of: bytes) == digest else {
                        throw TrustError.digestMismatch(expected: digest, actual: ContentDigest(of: bytes))
                    }
                    copies.insert(digest, bytes, cost: bytes.count)
                    absent.remove(digest)
                    transfers += 1
                    log.info("application copied", metadata: ["digest": "\(digest)", "bytes": "\(bytes.count)", "from": "\(source.name)"])
                    return bytes
                } catch {
                    try Task.checkCancellation()
                    log.info("no copy from there", metadata: ["digest": "\(digest)", "from": "\(source.name)", "reason": "\(error)"])
                }
            }
            absent.insert(digest, now() + Self.absence)
            throw Self.nobody(digest)
        }
    }

    func forget(_ digest: ContentDigest) { copies.remove(digest) }

    private static func nobody(_ digest: ContentDigest) -> RPCError {
        RPCError(.unavailable, "no node that is up has the application \(digest)", effect: .none, retryAfter: absence)
    }
}
