/// Numbers of 16 bits that are missing from a sequence, in runs, as they are once what came late has come. Bounded: a hole
/// stays open while it is among the last `most`.
package struct SequenceHoles: Sendable, Hashable {
    private struct Hole: Sendable, Hashable {
        var from: UInt16
        var count: Int
    }

    private static let most = 64

    package private(set) var missing = 0
    private var closed = 0
    private var open: [Hole] = []

    package init() {}

    package var bursts: Int { closed + open.count }

    /// `count` numbers before `next` did not come.
    package mutating func skip(_ count: Int, before next: UInt16) {
        guard count > 0 else { return }
        missing += count
        if open.count >= Self.most {
            open.removeFirst()
            closed += 1
        }
        open.append(Hole(from: next &- UInt16(truncatingIfNeeded: count), count: count))
    }

    /// - Returns: whether it was one of those missing.
    package mutating func fill(_ number: UInt16) -> Bool {
        guard let index = open.lastIndex(where: { Int(number &- $0.from) < $0.count }) else { return false }
        missing -= 1
        let hole = open[index]
        let before = Int(number &- hole.from)
        let after = hole.count - before - 1
        open.remove(at: index)
        // In the middle of a run it leaves two.
        if after > 0 { open.insert(Hole(from: number &+ 1, count: after), at: index) }
        if before > 0 { open.insert(Hole(from: hole.from, count: before), at: index) }
        return true
    }
}
