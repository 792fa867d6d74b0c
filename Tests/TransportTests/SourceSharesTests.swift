import MastTimebase
import MastTransport
import Testing

/// Who holds how much of a bounded table, who may hold more, and who gives way.
@Suite struct SourceSharesTests {
    private static func source(_ number: UInt32) -> TrafficSource { TrafficSource(route: number) }
    private static func member(_ number: UInt64) -> ConnectionHandle { ConnectionHandle(number: number) }

    /// Members in the order in which they came, by their sources.
    private func shares(_ sources: [UInt32]) -> SourceShares {
        var shares = SourceShares()
        for (index, source) in sources.enumerated() { shares.add(Self.member(UInt64(index)), of: Self.source(source)) }
        return shares
    }

    @Test func theLargestShareAndItsFirst() {
        var shares = shares([1, 2, 2, 1, 2])
        #expect(shares.largest == 3 && shares.firstOfLargest == Self.member(1))
        shares.refresh(Self.member(1))
        #expect(shares.firstOfLargest == Self.member(2), "heard of last, to go last")
        shares.remove(Self.member(2))
        // Both have two now: the source that has had so many for longer comes first.
        #expect(shares.largest == 2 && shares.firstOfLargest == Self.member(0))
        for number in 0..<5 as Range<UInt64> { shares.remove(Self.member(number)) }
        #expect(shares.largest == 0 && shares.firstOfLargest == nil && shares.count == 0 && shares.sourceCount == 0)
    }

    @Test func aMemberThatChangesItsSourceCountsThere() {
        var shares = shares([1, 1, 2])
        shares.add(Self.member(1), of: Self.source(2))
        #expect(shares.count == 3)
        #expect(shares.count(of: Self.source(1)) == 1 && shares.count(of: Self.source(2)) == 2)
        #expect(shares.source(of: Self.member(1)) == Self.source(2))
        #expect(shares.firstOfLargest == Self.member(2))
    }

    /// What the others leave, less as much again as they hold; never more than `alone`, and always a quarter.
    @Test(arguments: [
        (16, 16, 0, 16), (16, 16, 1, 14), (16, 16, 2, 12), (16, 16, 6, 4), (16, 16, 7, 4), (16, 16, 40, 4), (16, 8, 0, 8), (16, 8, 4, 8),
        (16, 8, 5, 6), (3, 3, 0, 3), (3, 3, 1, 1), (3, 3, 9, 1), (0, 0, 0, 1), (40, 20, 9, 20), (40, 20, 11, 18),
    ] as [(Int, Int, Int, Int)])
    func howMuchASourceMayHoldNow(size: Int, alone: Int, others: Int, expected: Int) {
        // Its own members are not the others'.
        for own in [0, 3] {
            let shares = shares([UInt32](repeating: 1, count: own) + (0..<others).map { UInt32(100 + $0 % 5) })
            #expect(shares.allowance(of: Self.source(1), of: size, alone: alone) == expected)
        }
    }

    @Test func aNewcomerTakesAPlaceOfWhoHasMoreThanItself() {
        let shares = shares([1, 2, 2, 3, 3, 3])
        #expect(shares.displaced(by: Self.source(9)) == Self.member(3))
        #expect(shares.displaced(by: Self.source(1)) == Self.member(3))
        #expect(shares.displaced(by: Self.source(2)) == Self.member(3))
        #expect(shares.displaced(by: Self.source(3)) == nil, "it has most itself")
        #expect(self.shares([1, 2]).displaced(by: Self.source(1)) == nil, "as much as the largest is not less")
        #expect(self.shares([]).displaced(by: Self.source(1)) == nil)
    }

    /// A fair share is the table by its sources, the newcomer's among them; one at the least.
    @Test(arguments: [
        // Three sources with 1, 2 and 5 members.
        (9, 8, true), (9, 1, true), (1, 8, true), (1, 3, false), (2, 9, true), (2, 8, false), (3, 100, false),
    ] as [(UInt32, Int, Bool)])
    func whoHasItsFairShareTakesNobodysPlace(source: UInt32, size: Int, takes: Bool) {
        let shares = shares([1, 2, 2, 3, 3, 3, 3, 3])
        #expect(shares.displaced(by: Self.source(source), fairlyOf: size) == (takes ? Self.member(3) : nil))
    }

    @Test func theNewcomersOwnShareIsCountedAmongTheOthers() {
        // 4 places: of one source with two a newcomer would be the second, with a fair share of two.
        #expect(shares([3, 3]).displaced(by: Self.source(1), fairlyOf: 4) == Self.member(0))
        // One that holds one already is counted once: 4 by 2.
        #expect(shares([3, 3, 1]).displaced(by: Self.source(1), fairlyOf: 4) == Self.member(0))
        #expect(shares([3, 3, 3, 1, 1]).displaced(by: Self.source(1), fairlyOf: 5) == nil, "5 by 2 is 2")
        #expect(shares([3, 3, 3, 1, 1]).displaced(by: Self.source(1), fairlyOf: 6) == Self.member(0))
    }

    /// Against a plain list in order of arrival.
    @Test(arguments: [1, 2, 3, 4] as [UInt64]) func itAgreesWithAPlainList(seed: UInt64) {
        var chance = SeededGenerator(seed: seed)
        var shares = SourceShares()
        var model: [(member: ConnectionHandle, source: TrafficSource)] = []
        for step in 0..<5_000 {
            let member = Self.member(chance.next(below: 20))
            let source = Self.source(UInt32(chance.next(below: 5)))
            switch chance.next(below: 5) {
            case 0, 1:
                shares.remove(member)
                model.removeAll { $0.member == member }
            case 2:
                shares.refresh(member)
                if let index = model.firstIndex(where: { $0.member == member }) { model.append(model.remove(at: index)) }
            default:
                shares.add(member, of: source)
                model.removeAll { $0.member == member }
                model.append((member, source))
            }
            let counts = (0..<5 as Range<UInt32>).map { number in model.count { $0.source == Self.source(number) } }
            #expect(shares.count == model.count && shares.sourceCount == counts.count { $0 > 0 })
            #expect(shares.largest == (counts.max() ?? 0))
            for (number, count) in counts.enumerated() where shares.count(of: Self.source(UInt32(number))) != count {
                Issue.record("source \(number) at step \(step)")
                return
            }
            // Of whichever of the largest it is: the first of its source.
            guard let first = shares.firstOfLargest else {
                #expect(model.isEmpty)
                continue
            }
            let owner = shares.source(of: first)
            #expect(model.first { $0.source == owner }?.member == first)
            #expect(model.count { $0.source == owner } == shares.largest)
        }
    }
}
