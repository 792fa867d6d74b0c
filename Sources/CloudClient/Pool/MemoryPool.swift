import MastCloudCore
import MastTimebase
import Synchronization

/// A pool that dies with the process: the simulator's, and for callers who want nothing on disk.
///
/// Same rules as `ResourcePool`, and no file, clock or thread, so it behaves alike in every run.
public final class MemoryPool: ResultPool {
    fileprivate struct Entry {
        var resource: VirtualResource
        var leases: [Lease] = []
        var witnesses: [AttestedReceipt] = []
    }

    fileprivate struct Blob {
        var bytes: [UInt8]
        var lastUse: Int64
    }

    fileprivate struct State {
        var entries: [RunID: Entry] = [:]  // lookup only
        var blobs: [ContentDigest: Blob] = [:]  // lookup only
        /// Of all blobs.
        var heldBytes = 0
        var statistics = PoolStatistics()
        var clock: Int64 = 0

        mutating func tick() -> Int64 {
            clock += 1
            return clock
        }
    }

    private let state: Mutex<State>

    /// - Parameter quotaBytes: bytes of results to keep; what was used longest ago goes first.
    public init(quotaBytes: Int = 1 << 30) {
        var state = State()
        state.statistics.quotaBytes = max(0, quotaBytes)
        self.state = Mutex(state)
    }

    public func resource(for runID: RunID) throws(PoolError) -> VirtualResource? {
        try PoolError.check(runID)
        return state.withLock { $0.current(runID) }
    }

    public func contents(of runID: RunID) throws(PoolError) -> [UInt8]? {
        try PoolError.check(runID)
        return state.withLock { state in
            guard let entry = state.entries[runID], let bytes = state.blobs[entry.resource.digest]?.bytes else { return nil }
            let use = state.tick()
            state.blobs[entry.resource.digest]?.lastUse = use
            state.statistics.hits += 1
            return bytes
        }
    }

    public func commit(_ submission: PoolSubmission, at now: WallTime) throws(PoolError) -> CommitOutcome {
        try PoolError.check(submission.runID)
        let digest = ContentDigest(of: submission.bytes)
        let result: Result<CommitOutcome, PoolError> = state.withLock { state in
            let runID = submission.runID
            guard let there = state.current(runID) else {
                var resource = VirtualResource(
                    runID: runID, application: submission.application, digest: digest, size: submission.bytes.count,
                    servedBy: submission.servedBy, createdAt: now, provenance: submission.provenance)
                resource.receipt = submission.receipt
                state.entries[runID] = Entry(resource: resource)
                state.statistics.committed += 1
                state.keep(submission.bytes, digest, at: now)
                return .success(.committed(state.current(runID) ?? resource))
            }
            guard there.answers(
                application: submission.application, entry: submission.provenance.entry,
                inputDigest: submission.provenance.inputDigest)
            else { return .failure(.runIDInUse(runID: runID, application: there.application)) }
            guard there.digest == digest else {
                state.statistics.divergent += 1
                return .success(.divergent(committed: there, other: digest))
            }
            let again = there.resident
            state.keep(submission.bytes, digest, at: now)
            if again { state.statistics.duplicateSame += 1 } else { state.statistics.restored += 1 }
            let resource = state.current(runID) ?? there
            return .success(again ? .duplicateSame(resource) : .committed(resource))
        }
        return try result.get()
    }

    public func dispute(_ runID: RunID, witnesses: [AttestedReceipt]) throws(PoolError) {
        state.withLock { state in
            state.entries[runID]?.resource.isDisputed = true
            state.entries[runID]?.witnesses = witnesses
        }
    }

    public func witnesses(of runID: RunID) throws(PoolError) -> [AttestedReceipt] { state.withLock { $0.entries[runID]?.witnesses ?? [] } }

    public func resources() throws(PoolError) -> [VirtualResource] {
        state.withLock { state in state.entries.keys.sorted().compactMap { state.current($0) } }
    }

    public func remove(_ runID: RunID, force: Bool, at now: WallTime) throws(PoolError) -> Bool {
        let result: Result<Bool, PoolError> = state.withLock { state in
            guard let entry = state.entries[runID] else { return .success(false) }
            if !force, entry.leases.contains(where: { $0.expires > now }) { return .failure(.leased(runID)) }
            state.entries[runID] = nil
            if !state.entries.values.contains(where: { $0.resource.digest == entry.resource.digest }) {
                state.discard(entry.resource.digest)
            }
            return .success(true)
        }
        return try result.get()
    }

    public func setPinned(_ pinned: Bool, _ runID: RunID) throws(PoolError) -> Bool {
        state.withLock { state in
            state.entries[runID]?.resource.pinned = pinned
            return state.entries[runID] != nil
        }
    }

    public func lease(_ runID: RunID, for duration: Interval, at now: WallTime) throws(PoolError) -> Lease? {
        state.withLock { state in
            guard let resource = state.current(runID), resource.resident else { return nil }
            let lease = Lease(runID: runID, expires: now + duration, number: state.tick())
            state.entries[runID]?.leases.removeAll { $0.expires <= now }
            state.entries[runID]?.leases.append(lease)
            return lease
        }
    }

    public func release(_ lease: Lease) throws(PoolError) {
        state.withLock { state in state.entries[lease.runID]?.leases.removeAll { $0.number == lease.number } }
    }

    public func statistics() throws(PoolError) -> PoolStatistics {
        state.withLock { state in
            var statistics = state.statistics
            statistics.entries = state.entries.count
            statistics.pinned = state.entries.values.count { $0.resource.pinned }
            statistics.resident = state.entries.values.count { state.blobs[$0.resource.digest] != nil }
            statistics.bytes = state.heldBytes
            return statistics
        }
    }
}

extension MemoryPool.State {
    fileprivate func current(_ runID: RunID) -> VirtualResource? {
        guard var resource = entries[runID]?.resource else { return nil }
        resource.resident = blobs[resource.digest] != nil
        return resource
    }

    /// Stores bytes and takes what was used longest ago until the quota holds; the new bytes are not kept at
    /// all when protected ones leave them no room.
    fileprivate mutating func keep(_ bytes: [UInt8], _ digest: ContentDigest, at now: WallTime) {
        let use = tick()
        guard blobs[digest] == nil else {
            blobs[digest]?.lastUse = use
            return
        }
        if heldBytes + bytes.count > statistics.quotaBytes, !makeRoom(for: bytes.count, at: now) {
            statistics.evicted += 1
            return
        }
        heldBytes += bytes.count
        blobs[digest] = MemoryPool.Blob(bytes: bytes, lastUse: use)
    }

    /// False, and nothing is gone, when what is protected leaves too little.
    private mutating func makeRoom(for bytes: Int, at now: WallTime) -> Bool {
        let protected = Set(
            entries.values.filter { $0.resource.pinned || $0.leases.contains { $0.expires > now } }.map(\.resource.digest))
        let protectedBytes = blobs.filter { protected.contains($0.key) }.reduce(0) { $0 + $1.value.bytes.count }
        guard protectedBytes + bytes <= statistics.quotaBytes else { return false }
        let candidates = blobs.filter { !protected.contains($0.key) }.sorted { $0.value.lastUse < $1.value.lastUse }
        for candidate in candidates where heldBytes + bytes > statistics.quotaBytes {
            discard(candidate.key)
            statistics.evicted += 1
        }
        return true
    }

    fileprivate mutating func discard(_ digest: ContentDigest) {
        heldBytes -= blobs.removeValue(forKey: digest)?.bytes.count ?? 0
    }
}
