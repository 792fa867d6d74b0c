import MastTransport

/// One connection's calls: whose a stream is, and what its answers take. A class only to stay in place, so that a call
/// finds it without a look-up; the host's lock guards it.
final class CallMultiplexer {
    enum Owner {
        case client(ClientRecord)
        case server(ServerRecord)
    }

    var info: ConnectionInfo
    /// The client that opens calls on it.
    var peer: Peer?
    /// Whom what the peer makes us hold is counted for.
    var source: TrafficSource
    @exclusivity(unchecked) var answers = AnswerBook()
    /// Our calls on it.
    private(set) var openCalls = 0
    /// The connection is established.
    private(set) var isOpen = true
    /// By the streams' numbers, which are hashed faster than what wraps them.
    @exclusivity(unchecked) private var streams: [UInt64: Owner] = [:]  // lookup only

    init(_ info: ConnectionInfo, source: TrafficSource) { (self.info, self.source) = (info, source) }

    var handle: ConnectionHandle { info.handle }

    subscript(_ stream: StreamID) -> Owner? { streams[stream.rawValue] }

    /// Our call has that stream.
    /// - Returns: whether it is the only one.
    func begin(_ call: ClientRecord, on stream: StreamID) -> Bool {
        streams[stream.rawValue] = .client(call)
        openCalls += 1
        return openCalls == 1
    }

    /// Our call has its stream no more.
    /// - Returns: whether it was the last.
    func end(_ stream: StreamID) -> Bool {
        streams[stream.rawValue] = nil
        openCalls -= 1
        return openCalls == 0
    }

    func accept(_ call: ServerRecord, on stream: StreamID) { streams[stream.rawValue] = .server(call) }
    func forget(_ stream: StreamID) { streams[stream.rawValue] = nil }

    /// The connection is gone.
    /// - Returns: whose streams were open, in their order.
    func close() -> [Owner] {
        isOpen = false
        defer { streams = [:] }
        return streams.keys.sorted().compactMap { streams[$0] }
    }
}
