/// Disjoint half-open ranges of 64-bit numbers, ascending: packet numbers received, stream bytes acknowledged
/// or lost. A sorted array, because it holds a handful of ranges in practice; callers bound `count`.
package struct RangeSet64: Sendable, Equatable {
    private(set) package var ranges: [Range<UInt64>] = []

    package init() {}

    package var isEmpty: Bool { ranges.isEmpty }
    package var count: Int { ranges.count }
    package var first: Range<UInt64>? { ranges.first }
    package var last: Range<UInt64>? { ranges.last }

    /// Index of the first range that ends after `value` (binary search).
    private func index(after value: UInt64) -> Int {
        firstIndex(of: ranges.count) { ranges[$0].upperBound <= value }
    }

    package func contains(_ value: UInt64) -> Bool {
        let index = index(after: value)
        return index < ranges.count && ranges[index].contains(value)
    }

    /// Whether all of `range` is covered.
    package func covers(_ range: Range<UInt64>) -> Bool {
        if range.isEmpty { return true }
        let index = index(after: range.lowerBound)
        return index < ranges.count && ranges[index].lowerBound <= range.lowerBound && ranges[index].upperBound >= range.upperBound
    }

    package mutating func insert(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        // In order, as nearly always.
        guard let last = ranges.last, range.lowerBound < last.lowerBound else {
            if let last = ranges.last, range.lowerBound <= last.upperBound {
                ranges[ranges.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                ranges.append(range)
            }
            return
        }
        // Touching ranges merge, so look from the one that ends at or after our start.
        var start = range.lowerBound == 0 ? 0 : index(after: range.lowerBound - 1)
        var lower = range.lowerBound
        var upper = range.upperBound
        let firstMerged = start
        while start < ranges.count, ranges[start].lowerBound <= upper {
            lower = min(lower, ranges[start].lowerBound)
            upper = max(upper, ranges[start].upperBound)
            start += 1
        }
        ranges.replaceSubrange(firstMerged..<start, with: CollectionOfOne(lower..<upper))
    }

    package mutating func remove(_ range: Range<UInt64>) {
        guard !range.isEmpty, let last = ranges.last, range.lowerBound < last.upperBound else { return }
        let from = index(after: range.lowerBound)
        var to = from
        var left: [Range<UInt64>] = []
        while to < ranges.count, ranges[to].lowerBound < range.upperBound {
            let old = ranges[to]
            if old.lowerBound < range.lowerBound { left.append(old.lowerBound..<range.lowerBound) }
            if old.upperBound > range.upperBound { left.append(range.upperBound..<old.upperBound) }
            to += 1
        }
        ranges.replaceSubrange(from..<to, with: left)
    }

    /// Drops the lowest ranges until at most `limit` remain.
    package mutating func keepHighest(_ limit: Int) {
        if ranges.count > limit { ranges.removeFirst(ranges.count - limit) }
    }
}
