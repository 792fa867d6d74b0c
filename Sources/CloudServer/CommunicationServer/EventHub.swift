import MastCloudCore
import MastRPC

/// Hands node events to the clients that watch. A client that does not keep up is cut off and has to begin again,
/// rather than miss an event unnoticed.
struct EventHub: Sendable {
    private static let backlog = 256
    private var watchers: [PeerConnection: AsyncStream<NodeEvent>.Continuation] = [:]
    private var isOver = false

    /// One watch per connection: a second one ends the first.
    mutating func watch(_ connection: PeerConnection) -> AsyncStream<NodeEvent> {
        let (stream, continuation) = AsyncStream.makeStream(of: NodeEvent.self, bufferingPolicy: .bufferingOldest(Self.backlog))
        if isOver {
            continuation.finish()
        } else {
            watchers.updateValue(continuation, forKey: connection)?.finish()
        }
        return stream
    }

    mutating func end(_ connection: PeerConnection) { watchers.removeValue(forKey: connection)?.finish() }

    mutating func publish(_ event: NodeEvent) {
        // Order among watchers decides nothing: each has its own stream. Still the same on every run.
        for (connection, watcher) in watchers.sorted(by: { $0.key.peerKey < $1.key.peerKey }) {
            if case .enqueued = watcher.yield(event) { continue }
            watcher.finish()
            watchers[connection] = nil
        }
    }

    /// Ends all watches, also those that are asked for later.
    mutating func endAll() {
        isOver = true
        for watcher in watchers.values { watcher.finish() }
        watchers = [:]
    }
}
