import MastTimebase

/// Whether losses are those of a full queue, and how short ours must stay below it. A radio loses at any queue; a queue loses when it is
/// full. So only a round trip whose queue was about as long as it ever gets can tell of congestion, and what is lost in the others is
/// taken off.
package struct QueueLoss: Sendable {
    /// Nanoseconds of queue that lose nothing; infinite where nothing says so.
    package private(set) var ceiling = Double.infinity
    /// Whether the last round trip lost more than 2 % (draft-ietf-ccwg-bbr's threshold) to a queue.
    package private(set) var isLossy = false
    /// Whether it lost so much that no radio is to blame, queue or none.
    package private(set) var isHeavy = false
    private var longest = 0.0
    private var elsewhere = 0.0
    private var lost = 0
    private var arrived = 0

    private static let tolerated = 0.02
    private static let leastPackets = 3
    /// Nanoseconds.
    private static let leastCeiling = 0.5e6
    /// No more is excused: a policer too loses without a queue, and as much as one sends too much.
    private static let mostElsewhere = 0.05

    package init() {}

    package mutating func onLoss(bytes: Int) { lost += bytes }
    package mutating func onArrival(bytes: Int) { arrived += bytes }
    package mutating func onSpuriousLoss() { (lost, isLossy, isHeavy) = (0, false, false) }

    /// A round trip is over.
    /// - Parameters:
    ///   - deepest: the longest wait in it, nanoseconds.
    ///   - target: what we aim at, nanoseconds.
    ///   - most: a ceiling above is none.
    ///   - isSeen: whether `deepest` was measured. Else every loss may be the queue's.
    package mutating func endRound(deepest: Double, target: Double, most: Double, isSeen: Bool, datagramSize: Int) {
        let share = Double(lost) / max(1, Double(lost + arrived))
        // A stall of the path is no queue that it has room for.
        longest = max(min(deepest, most * 2), longest * 0.95)
        let isDeep = !isSeen || deepest >= longest / 2
        // A round trip with a long queue that lost less says that the path itself loses no more.
        if !isDeep || share < elsewhere { elsewhere = min(elsewhere + (share - elsewhere) / 8, Self.mostElsewhere) }
        let isCounted = lost >= Self.leastPackets * datagramSize
        isHeavy = isCounted && share > Self.mostElsewhere * 3
        isLossy = isHeavy || isCounted && isDeep && share - (isSeen ? elsewhere * 1.5 : 0) > Self.tolerated
        if isLossy {
            ceiling = max(min(ceiling, deepest, target) / 2, Self.leastCeiling)
        } else {
            ceiling = ceiling < most ? ceiling * 1.1 : .infinity
        }
        (lost, arrived) = (0, 0)
    }
}
