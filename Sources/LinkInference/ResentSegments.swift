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
    private var last: (sequence: UInt32, place: Int)?

    private init(_ ends: EndRecords.Ends, turn: Int) { (client, server, self.turn) = (ends.client, ends.server, turn) }

    private mutating func take(_ segment: EndRecords.Segment, hasCome: Bool) {
        let from = last.map { $0.place + Int(Int32(bitPattern: segment.sequence &- $0.sequence)) } ?? 0
        let to = from + Int(segment.bytes)
        last = (segment.sequence, from)
        if segment.isAgain {
            if through.hold(from..<to) {
                needless += 1
            } else {
                _ = losses.add(from: segment.sequence, to: segment.sequence &+ UInt32(bitPattern: segment.bytes))
            }
        }
        if hasCome { through.add(from..<to) }
    }

    /// Of one direction, in the order in which its connections began.
    ///
    /// - Parameter hasCome: whether the sender's record of that place is in the receiver's capture.
    static func count(_ sender: EndRecords, isUp: Bool, _ hasCome: [Bool]) -> [ResentSegments] {
        var connections: [ResentSegments] = []
        var places: [Int32: Int] = [:]  // lookup only
        var turns: [EndRecords.Ends: Int] = [:]  // lookup only
        for segment in sender.segments {
            guard let ends = sender.ends[segment.flow] else { continue }
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
        return connections
    }
}

/// Bytes that came through, in ranges apart from each other. Bounded: of more than `most` the lowest are forgotten.
struct CoveredRanges: Sendable {
    private static let most = 1_024

    private var ranges: [Range<Int>] = []

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

    mutating func add(_ range: Range<Int>) {
        let from = first(endingFrom: range.lowerBound)
        var whole = range
        var to = from
        while to < ranges.count, ranges[to].lowerBound <= range.upperBound {
            whole = min(whole.lowerBound, ranges[to].lowerBound)..<max(whole.upperBound, ranges[to].upperBound)
            to += 1
        }
        ranges.replaceSubrange(from..<to, with: CollectionOfOne(whole))
        if ranges.count > Self.most { ranges.removeFirst() }
    }
}
