/// Whether sending faster still delivers more (draft-ietf-ccwg-bbr section 5.3.1.2): three round trips in which the rate grew by less than
/// a quarter say that the pipe is full.
package struct FullPipe: Sendable {
    private static let growth = 1.25
    private static let rounds = 3

    /// Since the search began.
    package private(set) var isFull = false
    /// Ever.
    package var wasFull = false
    /// Bytes a second.
    private var baseline = 0.0
    private var slowRounds = 0

    package init() {}

    /// A search begins.
    package mutating func restart(from rate: Double = 0) { (isFull, baseline, slowRounds) = (false, rate, 0) }

    /// A round trip is over in which the window bounded what was sent.
    package mutating func endRound(rate: Double) {
        guard !isFull else { return }
        if rate >= baseline * Self.growth { return restart(from: rate) }
        slowRounds += 1
        isFull = slowRounds >= Self.rounds
        if isFull { wasFull = true }
    }

    /// Losses say so.
    package mutating func conclude() { (isFull, wasFull) = (true, true) }
}
