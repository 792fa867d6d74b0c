import MastTimebase

/// What may be sent on suspicion: five in a hundred of the bytes sent, or a tenth of what the path is thought to carry, whichever is more.
package struct RepairBudget: Sendable {
    private var ofBytes = 0.0
    private var ofRate = 0.0
    private var filledAt: Instant?

    private static let byteShare = 0.05
    private static let rateShare = 0.1
    /// What is not used within this time is gone.
    private static let over = Interval.seconds(10)
    /// Bytes; of calls alone much less than this leaves in ten seconds.
    private static let mostOfBytes = 65_536.0

    package init() {}

    package mutating func onSent(bytes: Int) { ofBytes = min(ofBytes + Double(bytes) * Self.byteShare, Self.mostOfBytes) }

    /// - Parameter rate: bytes a second that the path is thought to carry.
    /// - Returns: whether so many bytes may go; then they are taken off.
    package mutating func take(_ bytes: Int, rate: Double, at now: Instant) -> Bool {
        let most = rate * Self.rateShare * Self.over.inSeconds
        let passed = filledAt.map { max(0, (now - $0).inSeconds) } ?? 1
        filledAt = now
        ofRate = min(ofRate + rate * Self.rateShare * passed, most)
        guard max(ofBytes, ofRate) >= Double(bytes) else { return false }
        // The one that bears less is in debt for what the other paid: together they are no sum.
        ofBytes = max(ofBytes - Double(bytes), -Self.mostOfBytes)
        ofRate = max(ofRate - Double(bytes), -most)
        return true
    }
}
