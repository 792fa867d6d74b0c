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
    /// Where in the queue of those that are ready.
    var stand = SendQueue<Stream>.probes
    var urgency: Urgency
    /// Whether it stands in `controlQueue`: once at most.
    var controlQueued = false
    /// Out of the table; a queue may still have it.
    var isRetired = false

    init(_ id: StreamID, urgency: Urgency, send: SendStream, receive: ReceiveStream, announced: Bool) {
        (self.id, self.urgency, self.send, self.receive, self.announced) = (id, urgency, send, receive, announced)
    }

    /// Where it belongs among those that are ready, as of now.
    var place: Int { SendQueue<Stream>.place(urgency, isSmall: send.isSmall) }
}
