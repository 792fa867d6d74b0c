import MastCloudCore
import MastTimebase

/// The result of a run as an application sees it: a handle to immutable bytes in the resource pool.
///
/// The handle outlives the bytes: when the quota takes them, the entry stays (its digest still tells a second,
/// different result from the first), and running again under the same run id brings them back.
public struct VirtualResource: Hashable, Sendable {
    /// Chosen by the client; one committed result each.
    public var runID: RunID
    /// Name of the application that produced the bytes.
    public var application: String
    /// SHA-256 of the bytes.
    public var digest: ContentDigest
    /// Number of bytes.
    public var size: Int
    /// Name of the node that ran it, as the node's own signed record gives it.
    public var servedBy: String
    /// When the result was committed, by the client's calendar.
    public var createdAt: WallTime
    /// What the bytes were computed from.
    public var provenance: Provenance
    /// Kept whatever the quota says, until unpinned or removed.
    public var pinned: Bool
    /// Whether the bytes are in the pool now.
    public var resident: Bool
    /// Another node signed something else about this run: see `ResultPool.witnesses`.
    public var isDisputed = false
    /// The serving node's signature; nil for results from before receipts.
    public var receipt: AttestedReceipt?

    public init(
        runID: RunID, application: String, digest: ContentDigest, size: Int, servedBy: String, createdAt: WallTime,
        provenance: Provenance, pinned: Bool = false, resident: Bool = true
    ) {
        (self.runID, self.application, self.digest, self.size) = (runID, application, digest, size)
        (self.servedBy, self.createdAt, self.provenance) = (servedBy, createdAt, provenance)
        (self.pinned, self.resident) = (pinned, resident)
    }

    /// Whether this entry is the answer to that question: a run id used for another application, entry or
    /// input is a mistake of the caller, never a reason to hand out the old bytes.
    public func answers(application: String, entry: String, inputDigest: ContentDigest) -> Bool {
        self.application == application && provenance.entry == entry && provenance.inputDigest == inputDigest
    }
}

/// What a result is a pure function of: application bytes, entry point and input.
public struct Provenance: Hashable, Sendable {
    /// SHA-256 of the WebAssembly module that ran, as the serving node reported it.
    public var applicationDigest: ContentDigest?
    /// Exported function that was called.
    public var entry: String
    /// SHA-256 of the input.
    public var inputDigest: ContentDigest

    public init(applicationDigest: ContentDigest?, entry: String, inputDigest: ContentDigest) {
        (self.applicationDigest, self.entry, self.inputDigest) = (applicationDigest, entry, inputDigest)
    }
}

/// A result about to be committed.
public struct PoolSubmission: Sendable {
    public var runID: RunID
    public var application: String
    public var servedBy: String
    public var provenance: Provenance
    public var bytes: [UInt8]
    public var receipt: AttestedReceipt?

    public init(runID: RunID, application: String, servedBy: String, provenance: Provenance, bytes: [UInt8]) {
        (self.runID, self.application, self.servedBy) = (runID, application, servedBy)
        (self.provenance, self.bytes) = (provenance, bytes)
    }
}

/// Keeps one resource's bytes in the pool for a while, across processes.
///
/// It runs out by itself, so a process that dies holding it blocks nothing for good.
public struct Lease: Hashable, Sendable {
    public let runID: RunID
    /// The calendar time after which the quota may take the bytes again.
    public let expires: WallTime
    package let number: Int64
}
