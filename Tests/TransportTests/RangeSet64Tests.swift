import MastTimebase
import MastTransport
import Testing

@Suite struct RangeSet64Tests {
    private func set(_ ranges: [Range<UInt64>]) -> RangeSet64 {
        var set = RangeSet64()
        for range in ranges { set.insert(range) }
        return set
    }

    struct Change: CustomTestStringConvertible, Sendable {
        let change: Range<UInt64>
        let left: [Range<UInt64>]
        let why: String
        var testDescription: String { why }
    }

    /// Into 10–19 and 30–39.
    static let insertions = [
        Change(change: 0..<5, left: [0..<5, 10..<20, 30..<40], why: "before all"),
        Change(change: 0..<10, left: [0..<20, 30..<40], why: "touches the first from below"),
        Change(change: 0..<9, left: [0..<9, 10..<20, 30..<40], why: "one missing between"),
        Change(change: 20..<25, left: [10..<25, 30..<40], why: "touches the first from above"),
        Change(change: 21..<25, left: [10..<20, 21..<25, 30..<40], why: "one missing above the first"),
        Change(change: 22..<28, left: [10..<20, 22..<28, 30..<40], why: "in the gap"),
        Change(change: 20..<30, left: [10..<40], why: "fills the gap"),
        Change(change: 15..<35, left: [10..<40], why: "reaches into both"),
        Change(change: 5..<50, left: [5..<50], why: "covers all"),
        Change(change: 12..<18, left: [10..<20, 30..<40], why: "is there already"),
        Change(change: 5..<15, left: [5..<20, 30..<40], why: "lengthens downwards"),
        Change(change: 35..<45, left: [10..<20, 30..<45], why: "lengthens upwards"),
        Change(change: 60..<61, left: [10..<20, 30..<40, 60..<61], why: "after all"),
        Change(change: 25..<25, left: [10..<20, 30..<40], why: "nothing"),
    ]

    @Test(arguments: insertions) func insertionMergesWhatTouches(_ example: Change) {
        var set = set([30..<40, 10..<20])
        set.insert(example.change)
        #expect(set.ranges == example.left)
    }

    /// From 10–19 and 30–39.
    static let removals = [
        Change(change: 0..<10, left: [10..<20, 30..<40], why: "before all"),
        Change(change: 20..<30, left: [10..<20, 30..<40], why: "the gap"),
        Change(change: 10..<20, left: [30..<40], why: "all of one"),
        Change(change: 0..<11, left: [11..<20, 30..<40], why: "the first number"),
        Change(change: 19..<30, left: [10..<19, 30..<40], why: "the last number"),
        Change(change: 12..<15, left: [10..<12, 15..<20, 30..<40], why: "the middle"),
        Change(change: 15..<35, left: [10..<15, 35..<40], why: "parts of both"),
        Change(change: 0..<100, left: [], why: "everything"),
        Change(change: 15..<15, left: [10..<20, 30..<40], why: "nothing"),
        Change(change: 40..<50, left: [10..<20, 30..<40], why: "after all"),
    ]

    @Test(arguments: removals) func removalLeavesTheRest(_ example: Change) {
        var set = set([10..<20, 30..<40])
        set.remove(example.change)
        #expect(set.ranges == example.left)
    }

    @Test func theLargestNumbersFit() {
        var set = set([0..<1, (.max - 1)..<(.max)])
        #expect(set.contains(0) && set.contains(.max - 1) && !set.contains(.max))
        set.insert(1..<(.max - 1))
        #expect(set.ranges == [0..<(.max)])
    }

    @Test func coversOnlyWhatIsWholeWithinOneRange() {
        let set = set([10..<20, 30..<40])
        for range in [10..<20, 10..<11, 19..<20, 12..<18, 30..<40, 25..<25, 0..<0] as [Range<UInt64>] {
            #expect(set.covers(range), "\(range)")
        }
        for range in [9..<20, 10..<21, 15..<35, 20..<30, 20..<21, 0..<50, 39..<41, 50..<60] as [Range<UInt64>] {
            #expect(!set.covers(range), "\(range)")
        }
        #expect(!RangeSet64().covers(0..<1))
    }

    @Test func theEndsAreKnown() {
        let set = set([30..<40, 10..<20, 50..<60])
        #expect(set.first == 10..<20 && set.last == 50..<60 && set.count == 3 && !set.isEmpty)
        #expect(RangeSet64().first == nil && RangeSet64().last == nil && RangeSet64().isEmpty)
    }

    @Test func onlyTheHighestAreKept() {
        for limit in 0...5 {
            var set = set([10..<20, 30..<40, 50..<60])
            set.keepHighest(limit)
            #expect(set.ranges == [10..<20, 30..<40, 50..<60].suffix(limit))
        }
    }

    /// Against a sorted array of numbers.
    @Test(arguments: [UInt64](1...20)) func agreesWithASortedArray(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var set = RangeSet64()
        var numbers: [UInt64] = []
        for _ in 0..<800 {
            let lower = random.next(below: 120)
            let range = lower..<(lower + random.next(below: 12))
            numbers.removeAll { range.contains($0) }
            switch random.next(below: 5) {
            case 0...2:
                set.insert(range)
                numbers = (numbers + range).sorted()
            default: set.remove(range)
            }
            if random.next(below: 50) == 0 {
                set.keepHighest(3)
                numbers = Self.ranges(numbers).suffix(3).flatMap { Array($0) }
            }
            #expect(set.ranges == Self.ranges(numbers))
            let asked = random.next(below: 130)
            #expect(set.contains(asked) == numbers.contains(asked))
            let several = asked..<(asked + random.next(below: 8))
            #expect(set.covers(several) == several.allSatisfy { numbers.contains($0) })
        }
    }

    private static func ranges(_ numbers: [UInt64]) -> [Range<UInt64>] {
        var ranges: [Range<UInt64>] = []
        for number in numbers {
            if let last = ranges.last, last.upperBound == number {
                ranges[ranges.count - 1] = last.lowerBound..<(number + 1)
            } else {
                ranges.append(number..<(number + 1))
            }
        }
        return ranges
    }
}
