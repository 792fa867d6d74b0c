/// Whether a wait is none of our making: our window has fallen by a third since it was longest, and it is as long. Then the path has
/// become longer, or others fill the queue. A queue of ours would be a third shorter, and more (its wait is the window over the rate,
/// less the base).
package struct StandingWait: Sendable {
    private var worst: (wait: Double, window: Int)?
    /// What a round trip waited follows from the window of the one before.
    private var before = 0

    private static let fallen = 2.0 / 3
    private static let same = 0.85

    package init() {}

    /// A round trip is over that the window bounded.
    /// - Parameters:
    ///   - shortest: the least wait in it, nanoseconds.
    ///   - least: below this it is no wait.
    ///   - window: bytes, at its end.
    /// - Returns: true once for each such wait.
    package mutating func endRound(shortest: Double, least: Double, window: Int) -> Bool {
        defer { before = window }
        guard shortest > least else {
            worst = nil
            return false
        }
        guard let worst, shortest <= worst.wait else {
            self.worst = (shortest, window)
            return false
        }
        guard Double(before) <= Double(worst.window) * Self.fallen, shortest >= worst.wait * Self.same else { return false }
        self.worst = nil
        return true
    }
}
