import MastTimebase

/// The least of what was seen lately: over half of a time at least, over all of it at most.
package struct WindowedMinimum: Sendable {
    private let half: Interval
    private var begun: Instant?
    private var older: Interval?
    private var newer: Interval?

    package init(over length: Interval) { half = length / 2 }

    package var value: Interval? {
        guard let older else { return newer }
        return newer.map { min(older, $0) } ?? older
    }

    package mutating func insert(_ sample: Interval, at now: Instant) {
        if let begun, now - begun >= half {
            // After a silence of the whole length nothing of before holds.
            older = now - begun >= half * 2 ? nil : newer
            newer = nil
            self.begun = now
        }
        if begun == nil { begun = now }
        newer = newer.map { min($0, sample) } ?? sample
    }

    /// What was seen before no longer holds.
    package mutating func reset(to sample: Interval, at now: Instant) { (begun, older, newer) = (now, nil, sample) }
}
