import MastRPC
import Synchronization

/// Datagrams that another shard's socket got. The system hands each to the right one by itself, except where it cannot, after a socket
/// was opened anew, and of several that came in one piece all but the first.
final class ShardInbox: Sendable {
    private struct State {
        var datagrams: [ReceivedDatagram] = []
        var dropped: UInt64 = 0
    }

    /// As many as a turn of the socket itself takes at most; a shard that does not come to them loses more, as a full socket does.
    private static let most = 1_024

    private let state = Mutex(State())

    /// - Returns: whether it is the first that waits.
    func put(_ datagram: ReceivedDatagram) -> Bool {
        state.withLock { state in
            guard state.datagrams.count < Self.most else {
                state.dropped += 1
                return false
            }
            state.datagrams.append(datagram)
            return state.datagrams.count == 1
        }
    }

    /// - Parameter datagrams: empty; its memory takes what comes next.
    func take(into datagrams: inout [ReceivedDatagram]) { state.withLock { swap(&$0.datagrams, &datagrams) } }

    var dropped: UInt64 { state.withLock { $0.dropped } }
}
