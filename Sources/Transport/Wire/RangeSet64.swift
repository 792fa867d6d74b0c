/// Disjoint half-open ranges of 64-bit numbers, ascending: packet numbers received, stream bytes acknowledged
/// or lost. A sorted array, because it holds a handful of ranges in practice; callers bound `count`. Mostly it is one range,
/// which takes no memory of its own.
package struct RangeSet64: Sendable, Equatable {
    /// The only range; empty when there is none, or `several`.
    private var only: Range<UInt64> = 0..<0
    /// Two or more; else empty.
    private var several: [Range<UInt64>] = []

    package init() {}

    package var ranges: [Range<UInt64>] { several.isEmpty ? only.isEmpty ? [] : [only] : several }
    package var isEmpty: Bool { several.isEmpty && only.isEmpty }
    package var count: Int { several.isEmpty ? only.isEmpty ? 0 : 1 : several.count }
    package var first: Range<UInt64>? { isEmpty ? nil : self[0] }
    package var last: Range<UInt64>? { isEmpty ? nil : self[count - 1] }
    package subscript(index: Int) -> Range<UInt64> { several.isEmpty ? only : several[index] }

    /// Index of the first range that ends after `value` (binary search).
    private func index(after value: UInt64) -> Int { firstIndex(of: count) { self[$0].upperBound <= value } }

    package func contains(_ value: UInt64) -> Bool {
        let index = index(after: value)
        return index < count && self[index].contains(value)
    }

    /// Whether all of `range` is covered.
    package func covers(_ range: Range<UInt64>) -> Bool {
        if range.isEmpty { return true }
        let index = index(after: range.lowerBound)
        return index < count && self[index].lowerBound <= range.lowerBound && self[index].upperBound >= range.upperBound
    }

    package mutating func insert(_ range: Range<UInt64>) {
        guard !range.isEmpty else { return }
        guard several.isEmpty else { return insertAmongSeveral(range) }
        if only.isEmpty {
            only = range
        } else if range.lowerBound <= only.upperBound, only.lowerBound <= range.upperBound {
            only = min(only.lowerBound, range.lowerBound)..<max(only.upperBound, range.upperBound)
        } else {
            several = only.lowerBound < range.lowerBound ? [only, range] : [range, only]
            only = 0..<0
        }
    }

    private mutating func insertAmongSeveral(_ range: Range<UInt64>) {
        // In order, as nearly always.
        let last = several[several.count - 1]
        guard range.lowerBound < last.lowerBound else {
            if range.lowerBound <= last.upperBound {
                several[several.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                several.append(range)
            }
            return
        }
        // Touching ranges merge, so look from the one that ends at or after our start.
        var start = range.lowerBound == 0 ? 0 : index(after: range.lowerBound - 1)
        var lower = range.lowerBound
        var upper = range.upperBound
        let firstMerged = start
        while start < several.count, several[start].lowerBound <= upper {
            lower = min(lower, several[start].lowerBound)
            upper = max(upper, several[start].upperBound)
            start += 1
        }
        several.replaceSubrange(firstMerged..<start, with: CollectionOfOne(lower..<upper))
        settle()
    }

    package mutating func remove(_ range: Range<UInt64>) {
        guard !range.isEmpty, let last, range.lowerBound < last.upperBound else { return }
        let from = index(after: range.lowerBound)
        var to = from
        var before = 0..<UInt64(0)
        var after = 0..<UInt64(0)
        while to < count, self[to].lowerBound < range.upperBound {
            let old = self[to]
            if old.lowerBound < range.lowerBound { before = old.lowerBound..<range.lowerBound }
            if old.upperBound > range.upperBound { after = range.upperBound..<old.upperBound }
            to += 1
        }
        guard to > from else { return }
        if several.isEmpty {
            if before.isEmpty || after.isEmpty { only = before.isEmpty ? after : before } else { (several, only) = ([before, after], 0..<0) }
            return
        }
        switch (before.isEmpty, after.isEmpty) {
        case (true, true): several.removeSubrange(from..<to)
        case (false, true): several.replaceSubrange(from..<to, with: CollectionOfOne(before))
        case (true, false): several.replaceSubrange(from..<to, with: CollectionOfOne(after))
        case (false, false): several.replaceSubrange(from..<to, with: [before, after])
        }
        settle()
    }

    /// Drops the lowest ranges until at most `limit` remain.
    package mutating func keepHighest(_ limit: Int) {
        guard count > limit else { return }
        if several.isEmpty { only = 0..<0 } else { several.removeFirst(several.count - limit) }
        settle()
    }

    private mutating func settle() {
        guard several.count == 1 else { return }
        only = several[0]
        several.removeAll(keepingCapacity: true)
    }
}
