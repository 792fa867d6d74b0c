import Collections
import MastTimebase

/// Connections that were in use lately, in the order in which they should be looked at: one that pauses gives back what only saves
/// time (`Connection.rest`).
///
/// Some keep it all the same: an endpoint of few connections has no need to wake up for this.
package struct RestQueue: Sendable {
    private var entries: Deque<(handle: ConnectionHandle, due: Instant)> = []

    /// So long must nothing come and go; what is given back costs some microseconds to make again.
    package static let pause = Interval.milliseconds(100)
    /// So many keep what they have.
    package static let spared = 8

    package init() {}

    /// Those that are gone since are among them, until their turn.
    package var count: Int { entries.count }
    /// When somebody may have paused for long enough; nil while there are few.
    package var next: Instant? { entries.count > Self.spared ? entries.first?.due : nil }

    /// - Parameter used: when something last came or went.
    package mutating func append(_ handle: ConnectionHandle, used: Instant) {
        // Those of a tenth of a second together: one wake-up for all.
        let step = Self.pause.nanoseconds
        entries.append((handle, Instant(nanoseconds: (used.nanoseconds / step + 2) * step)))
    }

    /// The next to be looked at, taken out; nil when there is none yet.
    package mutating func takeDue(at now: Instant) -> ConnectionHandle? {
        guard let next, next <= now else { return nil }
        return entries.removeFirst().handle
    }
}
