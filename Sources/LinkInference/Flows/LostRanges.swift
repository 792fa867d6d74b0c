/// Segments of one TCP direction that were lost, by the sequence numbers that they end up with: in the order in which they
/// were sent, whatever the order in which they were sent again or came. Bounded: the last `most` bursts stay open.
package struct LostRanges: Sendable {
    private struct Burst: Sendable {
        var from: UInt32
        var to: UInt32
        var segments: Int
    }

    /// More are not repaired at once.
    private static let most = 64

    /// Segments.
    package private(set) var count = 0
    /// Bursts that can grow no more.
    private var closed = 0
    private var open: [Burst] = []

    package init() {}

    /// Runs of segments lost in a row; never more than `count`.
    package var bursts: Int { min(count, closed + open.count) }

    /// - Returns: whether it is the first of its burst.
    package mutating func add(from: UInt32, to: UInt32) -> Bool {
        count += 1
        var whole = Burst(from: from, to: to, segments: 1)
        var joined = false
        open.removeAll { burst in
            guard Self.distance(burst.from, to) >= 0, Self.distance(from, burst.to) >= 0 else { return false }
            if Self.distance(burst.from, whole.from) > 0 { whole.from = burst.from }
            if Self.distance(whole.to, burst.to) > 0 { whole.to = burst.to }
            whole.segments += burst.segments
            joined = true
            return true
        }
        if open.count >= Self.most {
            open.removeFirst()
            closed += 1
        }
        open.append(whole)
        return !joined
    }

    /// One that had arrived after all.
    package mutating func remove(from: UInt32, to: UInt32) {
        guard count > 0 else { return }
        count -= 1
        guard let index = open.lastIndex(where: { Self.distance($0.from, from) >= 0 && Self.distance(from, $0.to) > 0 }) else { return }
        open[index].segments -= 1
        if open[index].segments == 0 { open.remove(at: index) }
    }

    private static func distance(_ a: UInt32, _ b: UInt32) -> Int { Int(Int32(bitPattern: b &- a)) }
}
