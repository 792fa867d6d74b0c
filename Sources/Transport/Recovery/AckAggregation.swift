import MastTimebase

/// How much more is acknowledged at once than the path delivers meanwhile: a radio delivers in lumps, and acknowledgements are held
/// (draft-ietf-ccwg-bbr section 5.5.9). So much more must be under way for the path not to run dry.
package struct AckAggregation: Sendable {
    private struct Peak {
        var round: Int
        var bytes: Double
    }

    private var begun: Instant?
    private var arrived = 0.0
    /// Falling, one for each round at most.
    private var peaks: [Peak] = []

    package init() {}

    /// Bytes: the largest excess of the rounds remembered.
    package var extra: Double { peaks.first?.bytes ?? 0 }

    /// Nothing was sent: the silence is no delivery.
    package mutating func restart(at now: Instant) { begun = now }

    /// - Parameters:
    ///   - bandwidth: bytes a second.
    ///   - most: bytes; no excess is more.
    ///   - rounds: how many are remembered, this one included.
    package mutating func onAcknowledgement(arrived bytes: Int, bandwidth: Double, most: Int, round: Int, rounds: Int, at now: Instant) {
        var expected = bandwidth * max(0, (now - (begun ?? now)).inSeconds)
        if begun == nil || arrived <= expected { (begun, arrived, expected) = (now, 0, 0) }
        arrived += Double(bytes)
        let excess = min(arrived - expected, Double(most))
        peaks.removeAll { $0.round <= round - rounds }
        if let last = peaks.last, last.round == round, last.bytes >= excess { return }
        while let last = peaks.last, last.bytes <= excess { peaks.removeLast() }
        peaks.append(Peak(round: round, bytes: excess))
    }
}
