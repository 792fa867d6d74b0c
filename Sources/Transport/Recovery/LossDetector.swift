import MastTimebase

/// Decides which packets are lost after an acknowledgement: by time (RACK, RFC 8985; RFC 9002 section 6.1.2)
/// and by packet count (section 6.1.1). Both thresholds widen when a "lost" packet turns out to have been late.
package struct LossDetector: Sendable {
    package private(set) var packetThreshold: UInt64 = 3
    /// Time threshold in eighths of the round trip: 9/8, at most 16/8.
    package private(set) var timeThresholdEighths: Int64 = 9
    package private(set) var largestAcknowledged: UInt64?

    /// Reordering beyond this many packets is not worth waiting for.
    private static let maximumPacketThreshold: UInt64 = 20

    package init() {}

    package mutating func onAcknowledged(largest: UInt64) {
        largestAcknowledged = max(largest, largestAcknowledged ?? 0)
    }

    package mutating func onSpuriousLoss(distance: UInt64) {
        packetThreshold = min(Self.maximumPacketThreshold, max(packetThreshold, distance + 1))
        timeThresholdEighths = min(16, timeThresholdEighths + 1)
    }

    /// The packets lost at `now`, and when to look again if some are only late so far.
    package func detect(in sent: SentPackets, rtt: RTTEstimator, at now: Instant) -> (lost: [UInt64], again: Instant?) {
        guard let largest = largestAcknowledged, !sent.isEmpty else { return ([], nil) }
        let reference = max(rtt.smoothed, rtt.latest ?? rtt.smoothed)
        // 1 ms is the timer granularity below which waiting is noise (RFC 9002 section 6.1.2).
        let patience = max(reference * timeThresholdEighths / 8, .milliseconds(1))
        var lost: [UInt64] = []
        var again: Instant?
        for index in sent.firstOutstanding..<sent.count {
            let number = sent.number(at: index)
            guard number < largest else { break }
            guard sent.state(at: index) == .outstanding else { continue }
            let due = sent.sentAt(at: index) + patience
            if due <= now || largest - number >= packetThreshold {
                lost.append(number)
            } else {
                again = min(again ?? due, due)
            }
        }
        return (lost, again)
    }
}
