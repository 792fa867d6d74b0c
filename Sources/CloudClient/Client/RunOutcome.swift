import MastCloudCore
import MastRPC
import MastTimebase

/// What a caller may say about a run beside its application and input.
public struct RunOptions: Sendable {
    /// From the call to the answer, failovers included.
    public var timeout: Interval = .seconds(30)
    /// Nil makes a fresh random one. Giving one makes the run repeatable: if the pool has its result, that is
    /// the answer, without a packet.
    public var runID: RunID?
    /// Exported function to call; nil is the application's own.
    public var entry: String?
    /// Pins a version of the application by its SHA-256; nil is the newest.
    public var digest: ContentDigest?

    /// Ask only nodes of this role; nil for the nearest that can. For comparing, and for tests.
    public var role: NodeRole?

    public init(timeout: Interval = .seconds(30), runID: RunID? = nil, entry: String? = nil, digest: ContentDigest? = nil, role: NodeRole? = nil) {
        (self.timeout, self.runID, self.entry, self.digest) = (timeout, runID, entry, digest)
        self.role = role
    }
}

/// A run's answer and its story.
public struct RunOutcome: Sendable {
    public var resource: VirtualResource
    public var output: [UInt8]
    /// Nil when the answer came from the pool.
    public var servedBy: ServingNode?
    /// Other results that reached the pool for this run id.
    public var isDuplicate: Bool
    /// Attempts on nodes; 0 when the answer came from the pool.
    public var attempts: Int
    public var timeline: RunTimeline
    /// What the node reports: fuel, and microseconds of waiting and of executing there.
    public var fuelUsed: UInt64
    public var queueMicroseconds: Int64
    public var executionMicroseconds: Int64
    /// One line on why the pool does not have the bytes, when it should: they are here, and nowhere else.
    public var notKept: String?

    /// Another node repeats this run meanwhile: see `CloudClient.auditFindings`.
    public var isAudited = false

    public var fromPool: Bool { servedBy == nil }
}

/// The node that answered, by its root-signed record.
public struct ServingNode: Hashable, Codable, Sendable {
    public var nodeID: NodeID
    public var name: String
    public var role: NodeRole

    package init(_ contact: NodeContact) { (nodeID, name, role) = (contact.nodeID, contact.name, contact.role) }
}

/// What happened to a run, and when.
public struct RunTimeline: Sendable {
    public struct Entry: Sendable {
        /// Since the run was called.
        public var at: Interval
        public var what: String
    }

    public let began: Instant
    public private(set) var ended: Instant
    public private(set) var entries: [Entry] = []

    init(began: Instant) { (self.began, self.ended) = (began, began) }

    public var duration: Interval { ended - began }

    mutating func note(_ what: String, at now: Instant) {
        ended = max(ended, now)
        // A run has some forty attempts at most: the bound is for what nobody foresaw.
        if entries.count < 500 { entries.append(Entry(at: now - began, what: what)) }
    }
}

/// Why a run has no answer.
public struct RunError: Error, Sendable, CustomStringConvertible {
    public enum Kind: Sendable, Hashable {
        /// The application failed by itself, as it would on every node.
        case trapped(RunTrap)
        case unknownApplication
        /// No node can run it: its module cannot be loaded, or its answer is too large for any message.
        case unrunnable
        /// The user's grants do not cover it, or the cloud does not know the profile.
        case denied
        /// No node would take it: it is too large, for instance.
        case invalid
        /// The run id belongs to another request.
        case runIDInUse
        case deadline
        /// Nobody could be reached or would serve, and the bounds on repetition were met.
        case unavailable
        /// A result came that is not the committed one of this run id.
        case divergent
        /// A record or ticket does not bear the signature it should.
        case untrusted
        case pool(PoolError)
        case cancelled
    }

    public var kind: Kind
    /// One line for a person, with the next step.
    public var message: String
    public var runID: RunID
    public var timeline: RunTimeline

    public var description: String { message }

    /// What the pool said, where that was the end of it.
    public var poolError: PoolError? { if case .pool(let error) = kind { error } else { nil } }

    /// The status that a command line reports: `100 + code` is its exit code.
    public var code: StatusCode {
        switch kind {
        case .trapped: .aborted
        case .unknownApplication: .notFound
        case .unrunnable: .failedPrecondition
        case .denied: .permissionDenied
        case .invalid: .invalidArgument
        case .runIDInUse, .pool(.runIDInUse): .alreadyExists
        case .deadline: .deadlineExceeded
        case .unavailable: .unavailable
        case .divergent: .dataLoss
        case .untrusted: .unauthenticated
        case .pool: .internal
        case .cancelled: .cancelled
        }
    }
}

/// What a client has done since it was made.
public struct CloudClientStatistics: Hashable, Sendable {
    public var runs = 0
    public var answered = 0
    public var failed = 0
    public var fromPool = 0
    public var attaches = 0
    public var lookups = 0
    /// Attempts beyond a run's first.
    public var failovers = 0
    /// Results beyond a run id's first, and ones with other bytes.
    public var duplicates = 0
    public var divergent = 0
    /// Answers that had no good receipt, and so were none.
    public var unproven = 0
    /// Runs drawn for repetition, and what came of it. The rest is still under way.
    public var auditsDrawn = 0
    public var auditsConfirmed = 0
    public var auditsDisputed = 0
    /// Without a comparison: nobody could be asked, there was no time, or the run ended for want of memory or stack.
    public var auditsUndecided = 0
    /// Silences that were the radio's.
    public var radioOutages = 0
    /// Packets that carried something sent before, over all connections.
    public var retransmittedPackets: UInt64 = 0

    public init() {}
}
