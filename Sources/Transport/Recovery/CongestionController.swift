import MastTimebase

/// Decides how many bytes may be in flight. One is stored per path; every hook is told the time.
package protocol CongestionController: Sendable {
    /// Bytes that may be in flight.
    var window: Int { get }
    /// Whether the window is still growing exponentially.
    var isInSlowStart: Bool { get }

    mutating func onSent(bytes: Int, at now: Instant)
    /// - Parameter limited: whether the window, not the application, bounded what was in flight.
    mutating func onAcknowledged(bytes: Int, sentAt: Instant, rtt: RTTEstimator, limited: Bool, at now: Instant)
    /// Once per loss event; `latestSentAt` is when the newest lost packet was sent.
    mutating func onLoss(bytes: Int, latestSentAt: Instant, at now: Instant)
    /// A packet that was called lost has arrived after all: the cut was a mistake.
    mutating func onSpuriousLoss(at now: Instant)
    /// The path changed to another network: what was learned no longer holds.
    mutating func onPathChange(at now: Instant)
}
