import MastTimebase
import MastTransport
import Synchronization

/// How one call differs from the default.
public struct CallOptions: Sendable {
    /// Nil is 30 s; more than an hour is an hour at the server. A handler's own deadline, less a twentieth of what remains, bounds the calls it makes.
    public var deadline: CallDeadline?
    public var metadata: Metadata
    /// The first included.
    public var maxAttempts: Int
    /// Overrides what the method declares; the receiver still goes by its own declaration.
    public var semantics: CallSemantics?
    /// What of it leaves before what else waits on its connection, and so its answer's at the other end. Most calls need none: what is
    /// small passes what is large. `bulk` is for what may take long, `urgent` for what may not wait behind other small calls. It does not
    /// pass the receiver's flow control: where that has no room, the most urgent waits as well.
    public var urgency: Urgency
    /// Fail as soon as a connection attempt fails, instead of trying until the deadline.
    public var failFast: Bool
    /// Filled while the call runs.
    public var trace: CallTrace?

    public init(
        deadline: CallDeadline? = nil, metadata: Metadata = [:], maxAttempts: Int = 5, semantics: CallSemantics? = nil,
        urgency: Urgency = .standard, failFast: Bool = false, trace: CallTrace? = nil
    ) {
        self.deadline = deadline
        self.metadata = metadata
        self.maxAttempts = maxAttempts
        self.semantics = semantics
        self.urgency = urgency
        self.failFast = failFast
        self.trace = trace
    }
}

/// When what happened to one call, on its host's clock.
public struct CallTimeline: Sendable {
    public var started: Instant?
    /// A connection was there.
    public var connected: Instant?
    /// The last attempt was handed to the transport.
    public var sent: Instant?
    public var firstByte: Instant?
    public var done: Instant?
    public var attempts = 0
    /// Packets that the connection sent again while the call was on it.
    public var retransmittedPackets: UInt64 = 0
    public var servedBy: PublicKey?
}

/// Collects a call's timeline; pass it in `CallOptions.trace`, read it whenever.
public final class CallTrace: Sendable {
    private let state = Mutex(CallTimeline())

    public init() {}
    public var timeline: CallTimeline { state.withLock { $0 } }
    func note(_ change: (inout CallTimeline) -> Void) { state.withLock { change(&$0) } }
}
