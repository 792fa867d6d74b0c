import MastTimebase

/// Puts the news of one change together. A change comes in a dozen messages: of the link, its addresses, each route.
package struct NetworkPause: Sendable {
    /// Without a message for so long, a change is complete.
    package static let quiet = Interval.milliseconds(10)
    /// Whatever still comes, the first news waits no longer.
    package static let patience = Interval.milliseconds(30)
    /// A network that never comes to rest is looked after ever more seldom: from one time to the next, at most; and after so
    /// long without news all is as at first.
    package static let longestGap = Interval.seconds(1)
    package static let rest = Interval.seconds(5)

    private var change = NetworkChange.nothing
    private var firstAt: Instant?
    private var lastAt: Instant = .zero
    private var toldAt: Instant?
    private var gap = Interval.zero

    package init() {}

    package mutating func note(_ change: NetworkChange, at now: Instant) {
        guard change > .nothing else { return }
        self.change = max(self.change, change)
        firstAt = firstAt ?? now
        lastAt = now
    }

    /// When it is to be told.
    package var due: Instant? {
        guard let firstAt else { return nil }
        let due = min(lastAt + Self.quiet, firstAt + Self.patience)
        return toldAt.map { max(due, $0 + gap) } ?? due
    }

    /// The change, once it is due.
    package mutating func take(at now: Instant) -> NetworkChange? {
        guard let due, due <= now else { return nil }
        let isCalm = toldAt.map { now - $0 >= Self.rest } ?? true
        gap = isCalm ? Self.patience : min(gap * 2, Self.longestGap)
        toldAt = now
        defer { (change, firstAt) = (.nothing, nil) }
        return change
    }
}
