import MastCloudCore

/// Calls under way over nodes, each with the stream that ends it when its node is declared down.
struct Vigils: Sendable {
    private var next: UInt64 = 0
    /// As many as there are calls under way, which their callers bound.
    private var streams: [(number: UInt64, nodeID: NodeID, end: AsyncStream<Void>.Continuation)] = []

    mutating func begin(_ nodeID: NodeID, _ end: AsyncStream<Void>.Continuation) -> UInt64 {
        next += 1
        streams.append((next, nodeID, end))
        return next
    }

    mutating func end(_ number: UInt64) { streams.removeAll { $0.number == number } }

    mutating func endAll(_ nodeID: NodeID) {
        for stream in streams where stream.nodeID == nodeID { stream.end.finish() }
        streams.removeAll { $0.nodeID == nodeID }
    }
}
