import MastTimebase
import MastTransport

/// Limits of a host: its transport's, and its calls'.
public struct HostConfiguration: Sendable {
    public var transport = TransportConfiguration()
    public var envelope = EnvelopeLimits()
    /// While a call of ours is open and nothing comes from the peer, ping it this often.
    public var callKeepAlive = Interval.milliseconds(500)
    /// Calls one host may have open or waiting; more fail with `resourceExhausted`, effect none.
    public var maxClientCalls = 65_536
    /// What answers that peers do not read may take here, and when a peer counts as stuck.
    public var answers = AnswerLimits()

    public init() {}
}

/// Counts since the host began.
public struct HostStatistics: Sendable, Equatable {
    public var callsStarted: UInt64 = 0
    public var callsSucceeded: UInt64 = 0
    public var callsFailed: UInt64 = 0
    /// Attempts beyond a call's first.
    public var retries: UInt64 = 0
    /// Handlers started.
    public var served: UInt64 = 0
    /// Calls answered without a handler: unknown method, overload, deadline gone.
    public var refused: UInt64 = 0
    /// Second attempts that joined a running call.
    public var duplicatesJoined: UInt64 = 0
    /// Second attempts answered from a kept result.
    public var duplicatesReplayed: UInt64 = 0
    /// Second attempts whose first nobody could vouch for.
    public var duplicatesForgotten: UInt64 = 0
    /// Streams reset because the peer broke the envelope's format.
    public var protocolErrors: UInt64 = 0
    /// Calls given up because their source held too much here.
    public var overdrawn: UInt64 = 0
    /// Answers replaced by an error because too many wait unread.
    public var answersWithheld: UInt64 = 0
    /// Calls given up because the peer sent no more of them, or read no more of their answers.
    public var stuck: UInt64 = 0
    public var runningHandlers = 0
    /// Calls complete here that wait for a handler.
    public var waitingCalls = 0
    /// Bytes held of what peers sent, with what goes with them; and bytes of ours that peers have not acknowledged.
    public var heldBytes = 0
    public var unreadBytes = 0
    public var connections = 0
    public init() {}
}
