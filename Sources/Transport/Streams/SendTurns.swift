import Collections

/// Whose message may use connection credit when there is not enough for all.
///
/// Credit for a part of a message is credit lost until the rest can follow: a hundred uploads that share a window evenly
/// would fill it with a hundred parts, and the receiver waits for the end of one. So a message is begun only while the
/// credit covers it and all that are begun (the banker's rule: each of those can end); one that no credit covers goes when
/// no other is under way, and the receiver grants it the rest. The most urgent is begun first; but for sixteen that pass a less urgent
/// one, one of those is.
package struct SendTurns: Sendable {
    package enum Turn: Equatable, Sendable {
        /// Nothing to wait for: little is unsent.
        case free
        case waiting
        /// New bytes may go up to this offset.
        case until(UInt64)
    }

    /// Unsent bytes that wait for no turn: about what one packet more or less carries, so that small calls pass the large.
    package static let small: UInt64 = 4 << 10
    /// What may be begun beside a message that no credit covers, as a part of the peer's window: a receiver's assembly has
    /// as much room beside the message.
    package static let besideShare: UInt64 = 16
    package var beside: UInt64 = 0

    /// By urgency.
    private var waiting = InlineArray<3, Deque<StreamID>>(repeating: [])
    /// Messages begun while somebody of that urgency waited.
    private var passed = InlineArray<3, UInt8>(repeating: 0)
    private static let patience: UInt8 = 16
    /// Unsent bytes of messages begun, less the oversize one's.
    package private(set) var committed: UInt64 = 0
    private var oversize: StreamID?

    package init() {}

    /// Whose urgency's turn it is.
    private var next: Int? {
        let owed = waiting.indices.first { !waiting[$0].isEmpty && passed[$0] >= Self.patience }
        return owed ?? waiting.indices.first { !waiting[$0].isEmpty }
    }

    package var first: StreamID? { next.flatMap { waiting[$0].first } }
    package mutating func removeFirst() { if let next { waiting[next].removeFirst() } }
    package mutating func wait(_ id: StreamID, _ urgency: Urgency = .standard) { waiting[urgency.rank].append(id) }

    /// It waits no longer.
    package mutating func withdraw(_ id: StreamID, _ urgency: Urgency) { waiting[urgency.rank].removeAll { $0 == id } }

    /// Whether the first that waits may begin; it then no longer waits.
    package mutating func admit(_ id: StreamID, bytes: UInt64, credit: UInt64) -> Bool {
        if oversize != nil {
            guard committed + bytes <= beside else { return false }
            committed += bytes
        } else if committed + bytes <= credit {
            committed += bytes
        } else {
            guard committed == 0 else { return false }
            oversize = id
        }
        guard let next else { return true }
        waiting[next].removeFirst()
        for rank in waiting.indices { passed[rank] = rank == next || waiting[rank].isEmpty ? 0 : min(passed[rank] + 1, Self.patience) }
        return true
    }

    /// False when more is sent than was begun: our own fault.
    package mutating func sent(_ id: StreamID, _ bytes: UInt64) -> Bool { giveBack(id, bytes) }

    /// The stream's turn is over, with `unsent` bytes of it left.
    /// - Returns: as `sent`.
    package mutating func end(_ id: StreamID, unsent: UInt64) -> Bool {
        let isRight = giveBack(id, unsent)
        if oversize == id { oversize = nil }
        return isRight
    }

    private mutating func giveBack(_ id: StreamID, _ bytes: UInt64) -> Bool {
        guard oversize != id else { return true }
        let isRight = bytes <= committed
        committed -= min(bytes, committed)
        return isRight
    }
}
