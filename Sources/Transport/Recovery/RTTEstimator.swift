import MastTimebase

/// Round-trip time as RFC 9002 section 5 defines it.
package struct RTTEstimator: Sendable {
    package private(set) var latest: Interval?
    package private(set) var smoothed: Interval
    package private(set) var variation: Interval
    package private(set) var minimum: Interval?

    package init(initial: Interval) {
        smoothed = initial
        variation = initial / 2
    }

    package var hasSample: Bool { latest != nil }

    /// - Parameters:
    ///   - sample: time from sending the largest newly acknowledged packet to now.
    ///   - ackDelay: how long the peer says it held the acknowledgement.
    package mutating func update(sample: Interval, ackDelay: Interval) {
        let sample = max(sample, .microseconds(1))
        latest = sample
        guard let oldMinimum = minimum else {
            // Section 5.3: the first sample sets everything.
            minimum = sample
            smoothed = sample
            variation = sample / 2
            return
        }
        // Section 5.2: the minimum ignores the acknowledgement delay.
        let floor = min(oldMinimum, sample)
        minimum = floor
        // Section 5.3: never subtract so much that the sample falls below the minimum.
        let adjusted = sample - ackDelay >= floor ? sample - ackDelay : sample
        variation = (variation * 3 + (smoothed - adjusted).magnitude) / 4
        smoothed = (smoothed * 7 + adjusted) / 8
    }
}
