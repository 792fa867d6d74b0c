import MastTimebase

/// What answers that a peer does not read may take.
public struct AnswerLimits: Sendable {
    /// While a connection's unread bytes, and what its running handlers will add, are above this, its next call waits:
    /// eight times the largest message.
    public var gatePerConnection = 32 << 20
    /// The same for all connections of a source.
    public var gatePerSource = 64 << 20
    /// An answer that would bring a connection beyond this is replaced by `resourceExhausted`. For sources and the host
    /// see `TransportConfiguration.unreadBytesPerSource` and `unreadBytes`.
    public var bytesPerConnection = 64 << 20
    /// How large an answer is taken to be before there was one: 512 handlers may start on a new connection.
    public var firstExpected = 64 << 10
    /// A peer that sends no more of a request, or acknowledges no more of an answer, for this long is stuck: the call is
    /// given up whatever its deadline. Twice the idle timeout of a connection.
    public var patience = Interval.seconds(60)
    public init() {}
}

/// The answers of one connection: how many bytes the transport has not taken, and how large the next may be.
struct AnswerBook {
    /// Accepted from handlers, not yet by the transport.
    var pending = 0
    /// A recent maximum: a sixteenth less with every answer that is smaller.
    private(set) var expected: Int?
    /// Whether somebody will look after answers that are not acknowledged.
    var isSwept = false

    mutating func note(_ bytes: Int, limits: AnswerLimits) {
        let before = expected ?? limits.firstExpected
        expected = max(bytes, before - before / 16, 1_024)
    }

    /// Whether another handler may start beside `running` ones, with `unread` bytes under way to the peer.
    func allowsAnother(running: Int, unread: Int, limits: AnswerLimits) -> Bool {
        let waiting = unread + pending
        if running == 0 { return waiting <= limits.gatePerConnection }
        return waiting + (running + 1) * (expected ?? limits.firstExpected) <= limits.gatePerConnection
    }
}
