/// One stream of a connection, as its table keeps it. A class to stay in place: each packet touches a stream several times.
final class Stream {
    /// Where it stands among those that have something to send.
    enum Queue { case none, ready, outOfCredit }

    let id: StreamID
    // Exclusivity holds by ownership: a table cannot be copied, and hands its streams to nobody.
    @exclusivity(unchecked) var send: SendStream
    @exclusivity(unchecked) var receive: ReceiveStream
    /// The peer opened it and the application has been told.
    var announced: Bool
    /// The peer stopped it before its first bytes came.
    var stopBefore: UInt64?
    var queue = Queue.none
    /// Whether it stands in `controlQueue`: once at most.
    var controlQueued = false
    /// Out of the table; a queue may still have it.
    var isRetired = false

    init(_ id: StreamID, send: SendStream, receive: ReceiveStream, announced: Bool) {
        (self.id, self.send, self.receive, self.announced) = (id, send, receive, announced)
    }
}
