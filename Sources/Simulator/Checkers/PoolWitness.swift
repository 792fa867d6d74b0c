import MastCloudClient
import MastCloudCore
import MastTimebase
import Synchronization

/// Sees every result that reaches a pool, and what the pool made of it, from outside.
package final class PoolWitness: ResultPool {
    package struct Commit: Sendable {
        package var runID: RunID
        package var digest: ContentDigest
        /// Whether the pool took it as the run's first.
        package var isFirst: Bool
    }

    private let pool: any ResultPool
    private let seen = Mutex<[Commit]>([])

    package init(_ pool: any ResultPool) { self.pool = pool }

    /// In order.
    package var commits: [Commit] { seen.withLock { $0 } }

    package func commit(_ submission: PoolSubmission, at now: WallTime) throws(PoolError) -> CommitOutcome {
        let outcome = try pool.commit(submission, at: now)
        let isFirst = if case .committed = outcome { true } else { false }
        seen.withLock { $0.append(Commit(runID: submission.runID, digest: ContentDigest(of: submission.bytes), isFirst: isFirst)) }
        return outcome
    }

    package func resource(for runID: RunID) throws(PoolError) -> VirtualResource? { try pool.resource(for: runID) }
    package func contents(of runID: RunID) throws(PoolError) -> [UInt8]? { try pool.contents(of: runID) }
    package func dispute(_ runID: RunID, witnesses: [AttestedReceipt]) throws(PoolError) { try pool.dispute(runID, witnesses: witnesses) }
    package func witnesses(of runID: RunID) throws(PoolError) -> [AttestedReceipt] { try pool.witnesses(of: runID) }
    package func resources() throws(PoolError) -> [VirtualResource] { try pool.resources() }
    package func remove(_ runID: RunID, force: Bool, at now: WallTime) throws(PoolError) -> Bool {
        try pool.remove(runID, force: force, at: now)
    }
    package func setPinned(_ pinned: Bool, _ runID: RunID) throws(PoolError) -> Bool { try pool.setPinned(pinned, runID) }
    package func lease(_ runID: RunID, for duration: Interval, at now: WallTime) throws(PoolError) -> Lease? {
        try pool.lease(runID, for: duration, at: now)
    }
    package func release(_ lease: Lease) throws(PoolError) { try pool.release(lease) }
    package func statistics() throws(PoolError) -> PoolStatistics { try pool.statistics() }
}

extension PoolWitness {
    /// Over a pool that is as good as its disk is short-lived.
    package static func overMemory(quotaBytes: Int = 1 << 30) -> PoolWitness { PoolWitness(MemoryPool(quotaBytes: quotaBytes)) }
}
