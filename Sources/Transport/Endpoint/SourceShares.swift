/// Who holds how much of a bounded table of connections, and in what order each source's came or were last heard of.
///
/// A share bounds only what is contended: one source may take what the others leave, and gives way when they come.
/// There are no more sources than members, so the table's own bound is this one's too.
package struct SourceShares: Sendable {
    private var members = QueueTable<TrafficSource, ConnectionHandle>()
    /// Sources by the number of their members: the largest share in one look-up.
    private var sizes = QueueTable<Int, TrafficSource>()
    package private(set) var largest = 0

    package init() {}

    package var count: Int { members.count }
    package var sourceCount: Int { members.queueCount }
    package func count(of source: TrafficSource) -> Int { members.count(of: source) }
    package func source(of member: ConnectionHandle) -> TrafficSource? { members.key(of: member) }

    /// The member that came first, or was silent longest, of the source that holds most.
    package var firstOfLargest: ConnectionHandle? { sizes.first(of: largest).flatMap { members.first(of: $0) } }

    package mutating func add(_ member: ConnectionHandle, of source: TrafficSource) {
        remove(member)
        members.append(member, to: source)
        resize(source)
    }

    package mutating func remove(_ member: ConnectionHandle) {
        guard let source = members.key(of: member) else { return }
        members.remove(member)
        resize(source)
    }

    /// The member was heard of: the last of its source to be asked to leave.
    package mutating func refresh(_ member: ConnectionHandle) { members.refresh(member) }

    private mutating func resize(_ source: TrafficSource) {
        let size = members.count(of: source)
        if size == 0 { sizes.remove(source) } else { sizes.append(source, to: size) }
        largest = max(largest, size)
        // Sizes change by one, so this looks at one step, rarely more.
        while largest > 0, sizes.count(of: largest) == 0 { largest -= 1 }
    }

    /// How many of a table of `size` places `source` may hold now: what the others leave, less as much again as they
    /// hold, so that they find room to double; at most `alone`, and always a quarter.
    package func allowance(of source: TrafficSource, of size: Int, alone: Int) -> Int {
        let others = count - count(of: source)
        return max(max(1, size / 4), min(alone, size - 2 * others))
    }

    /// The place in a full table that a newcomer of `source` takes: the oldest of the source that holds most, when
    /// that is more than its own.
    package func displaced(by source: TrafficSource) -> ConnectionHandle? { count(of: source) < largest ? firstOfLargest : nil }

    /// The same, for a newcomer that is also below its fair share of `size` places.
    package func displaced(by source: TrafficSource, fairlyOf size: Int) -> ConnectionHandle? {
        let held = count(of: source)
        let fair = size / max(1, sourceCount + (held == 0 ? 1 : 0))
        return held < max(1, fair) ? displaced(by: source) : nil
    }
}
