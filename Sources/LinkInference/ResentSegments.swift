import MastTimebase

/// What a TCP sender sent again on one connection, and how much of it in vain, by what came to the other end. A D-SACK tells the same from one
/// end alone only where it comes back.
package struct ResentSegments: Sendable {
    var client: NetworkAddress
    var server: NetworkAddress
    /// Of connections between these two, one after the other: the first is 0.
    var turn: Int
    /// Segments with data of which all came through that was sent before.
    package var needless = 0
    /// The others: what they carried had been lost.
    package var lost: Int { losses.count }
    package var bursts: Int { losses.bursts }
    private var losses = LostRanges()
    private var through = CoveredRanges()

    private init(_ ends: EndRecords.Ends, turn: Int) { (client, server, self.turn) = (ends.client, ends.server, turn) }

    private mutating func take(_ segment: EndRecords.Segment, hasCome: Bool) {
        if segment.isAgain {
            if through.hold(segment.range) {
                needless += 1
            } else {
                _ = losses.add(from: UInt32(truncatingIfNeeded: segment.range.lowerBound), to: UInt32(truncatingIfNeeded: segment.range.upperBound))
            }
        }
        if hasCome { through.add(segment.range) }
    }

    /// Of one direction, in the order in which its connections began.
    ///
    /// - Parameter hasCome: whether the sender's record of that place is in the receiver's capture.
    /// - Returns: also, how many of the sender's records in `shared` are not in the receiver's capture and carried what was acknowledged
    ///   and did not come otherwise: the receiver's recorder missed them.
    static func count(_ sender: EndRecords, isUp: Bool, _ hasCome: [Bool], shared: ClosedRange<Int>) -> (again: [ResentSegments], unrecorded: Int) {
        var connections: [ResentSegments] = []
        var places: [Int32: Int] = [:]  // lookup only
        var turns: [EndRecords.Ends: Int] = [:]  // lookup only
        for segment in sender.segments {
            guard let ends = sender.connections[Int(segment.flow)]?.ends else { continue }
            let place: Int
            if let known = places[segment.flow] {
                place = known
            } else {
                place = connections.count
                places[segment.flow] = place
                connections.append(ResentSegments(ends, turn: turns[ends, default: 0]))
                turns[ends, default: 0] += 1
            }
            guard sender.records[Int(segment.record)].isUp == isUp else { continue }
            connections[place].take(segment, hasCome: hasCome[Int(segment.record)])
        }
        let unrecorded = sender.segments.count { segment in
            let record = Int(segment.record)
            guard sender.records[record].isUp == isUp, !hasCome[record], shared.contains(record), let place = places[segment.flow],
                let connection = sender.connections[Int(segment.flow)],
                let acknowledged = isUp ? connection.up.acknowledged : connection.down.acknowledged
            else { return false }
            return segment.range.upperBound <= acknowledged && !connections[place].through.mayHold(segment.range)
        }
        return (connections, unrecorded)
    }
}

extension EndRecords.Segment {
    fileprivate var range: Range<Int> { place..<place + Int(bytes) }
}

/// Bytes that came through, in ranges apart from each other. Bounded: of more than `most` the lowest are forgotten.
struct CoveredRanges: Sendable {
    private static let most = 1_024

    private var ranges: [Range<Int>] = []
    /// What lay below was forgotten.
    private var floor = Int.min

    /// The first range that ends at `place` or beyond it.
    private func first(endingFrom place: Int) -> Int {
        var (low, high) = (0, ranges.count)
        while low < high {
            let middle = (low + high) / 2
            if ranges[middle].upperBound < place { low = middle + 1 } else { high = middle }
        }
        return low
    }

    func hold(_ range: Range<Int>) -> Bool {
        let place = first(endingFrom: range.upperBound)
        return place < ranges.count && ranges[place].lowerBound <= range.lowerBound
    }

    /// It may have been held and forgotten.
    func mayHold(_ range: Range<Int>) -> Bool { hold(range) || range.lowerBound < floor }

    mutating func add(_ range: Range<Int>) {
        let from = first(endingFrom: range.lowerBound)
        var whole = range
        var to = from
        while to < ranges.count, ranges[to].lowerBound <= range.upperBound {
            whole = min(whole.lowerBound, ranges[to].lowerBound)..<max(whole.upperBound, ranges[to].upperBound)
            to += 1
        }
        ranges.replaceSubrange(from..<to, with: CollectionOfOne(whole))
        if ranges.count > Self.most { floor = ranges.removeFirst().upperBound }
    }
}
