import MastCloudCore
import MastTimebase

/// Where results live on the client: one committed result per run id, bytes stored once per digest.
///
/// Calls are synchronous and short, so that the simulator can make them inline in virtual time.
/// `ResourcePool` keeps it on disk and shares it between processes; `MemoryPool` dies with the process.
public protocol ResultPool: Sendable {
    /// The entry for a run id, whether or not its bytes are still here.
    func resource(for runID: RunID) throws(PoolError) -> VirtualResource?
    /// The bytes of a run id's result, checked against its digest; nil if they are not (or no longer) here.
    func contents(of runID: RunID) throws(PoolError) -> [UInt8]?
    /// Makes a result the run id's one result, or reports how it relates to the one that is there already.
    func commit(_ submission: PoolSubmission, at now: WallTime) throws(PoolError) -> CommitOutcome
    /// Marks an entry as disputed, with the receipts of those who executed it again; nothing for an unknown run id.
    func dispute(_ runID: RunID, witnesses: [AttestedReceipt]) throws(PoolError)
    /// The receipts of those who executed a disputed run again.
    func witnesses(of runID: RunID) throws(PoolError) -> [AttestedReceipt]
    /// All entries, in the order of their run ids.
    func resources() throws(PoolError) -> [VirtualResource]
    /// Forgets a run id; false if it was unknown. A leased one is refused unless forced.
    func remove(_ runID: RunID, force: Bool, at now: WallTime) throws(PoolError) -> Bool
    /// Keeps a resource whatever the quota says, or stops doing so; false if the run id is unknown.
    func setPinned(_ pinned: Bool, _ runID: RunID) throws(PoolError) -> Bool
    /// Keeps a resource's bytes for `duration`; nil if they are not here.
    func lease(_ runID: RunID, for duration: Interval, at now: WallTime) throws(PoolError) -> Lease?
    /// Ends a lease early.
    func release(_ lease: Lease) throws(PoolError)
    /// What the pool holds and what has happened to it since it was made.
    func statistics() throws(PoolError) -> PoolStatistics
}

/// How a result relates to the run id's entry.
public enum CommitOutcome: Hashable, Sendable {
    /// The first result of this run id, or the same bytes again after the quota had taken them.
    case committed(VirtualResource)
    /// The same bytes a second time. Counted.
    case duplicateSame(VirtualResource)
    /// Other bytes than the committed ones, which stand. Counted and recorded.
    case divergent(committed: VirtualResource, other: ContentDigest)

    /// The entry that now stands for the run id.
    public var resource: VirtualResource {
        switch self {
        case .committed(let resource), .duplicateSame(let resource), .divergent(let resource, _): resource
        }
    }
}

/// What a pool holds and what has happened to it since it was made, over all processes that use it.
public struct PoolStatistics: Hashable, Codable, Sendable {
    /// Entries, with bytes or without.
    public var entries = 0
    /// Entries whose bytes are here.
    public var resident = 0
    public var pinned = 0
    /// Bytes held, each digest counted once.
    public var bytes = 0
    public var quotaBytes = 0
    /// Results committed as the first of their run id.
    public var committed = 0
    /// Results that came a second time with the same bytes.
    public var duplicateSame = 0
    /// Results that came a second time with other bytes.
    public var divergent = 0
    /// Results computed again after the quota had taken their bytes.
    public var restored = 0
    /// Results whose bytes the quota took.
    public var evicted = 0
    /// Results whose bytes were missing or damaged when they were read.
    public var lost = 0
    /// Reads answered from the pool.
    public var hits = 0

    public init() {}
}

/// Why the pool could not do it. Each description names the next step.
public enum PoolError: Error, Hashable, Sendable, CustomStringConvertible {
    /// A run id must be 1 to 128 letters, digits and `-_.@`.
    case invalidRunID(RunID)
    /// The run id belongs to another application, entry point or input.
    case runIDInUse(runID: RunID, application: String)
    /// Somebody is using the bytes.
    case leased(RunID)
    /// The bytes on the disk are not those that the serving node signed.
    case contradictsReceipt(RunID)
    /// What the index says of this run is nothing that was written there: it was changed, or the disk damaged it.
    case damagedEntry(RunID)
    /// Another process held the index longer than the busy timeout.
    case busy
    /// The index cannot be read, or was written by a newer version.
    case damaged(path: String, reason: String)
    /// The file system refused.
    case storage(path: String, reason: String)

    public var description: String {
        switch self {
        case .invalidRunID(let runID):
            "run id \(runID.rawValue.debugDescription) is not 1 to 128 letters, digits and -_.@; choose another"
        case .runIDInUse(let runID, let application):
            "run id \(runID) already names a run of \(application) with other input; choose another"
        case .leased(let runID): "result \(runID) is in use; try again later, or force it"
        case .contradictsReceipt(let runID):
            "the bytes of \(runID) are not those of its receipt: they were changed on this disk; mast pool rm \(runID), and run it again"
        case .damagedEntry(let runID): "the resource pool's entry of \(runID) is damaged or was changed; mast pool rm \(runID), and run it again"
        case .busy: "another process keeps the resource pool locked; try again"
        case .damaged(let path, let reason): "the resource pool's index \(path) is unusable (\(reason)); move it away to start afresh"
        case .storage(let path, let reason): "cannot use \(path): \(reason); check the disk and its permissions"
        }
    }
}

extension PoolError {
    /// Run ids come from a command line and go into listings and file names.
    static func check(_ runID: RunID) throws(PoolError) {
        guard runID.isValid else { throw .invalidRunID(RunID(rawValue: String(runID.rawValue.prefix(40)))) }
    }
}
