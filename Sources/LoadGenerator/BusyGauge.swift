import MastTimebase

/// Whether a thread had time left over lately.
///
/// A generator whose thread never rests cannot tell a slow server from answers that wait for itself.
package struct BusyGauge: Sendable {
    /// Over which it looks: long enough for the system's own account of a thread, which is kept in ticks.
    private static let window = Interval.milliseconds(100)
    /// In percent of a window.
    private static let most: Int64 = 90
    private var begin: Instant
    private var spent: Interval
    package private(set) var isBusy = false

    /// - Parameter spent: by the thread, on a processor or waiting for one.
    package init(at now: Instant, spent: Interval) { (begin, self.spent) = (now, spent) }

    package func isDue(at now: Instant) -> Bool { now - begin >= Self.window }

    package mutating func note(spent total: Interval, at now: Instant) {
        let passed = now - begin
        guard passed > .zero else { return }
        isBusy = (total - spent) * 100 > passed * Self.most
        (begin, spent) = (now, total)
    }
}
