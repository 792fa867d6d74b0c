import MastTimebase
import MastTransport
import Testing

/// RFC 6479: each number once, and none that lies too far behind the largest to be remembered.
@Suite struct ReplayWindowTests {
    private func window(_ numbers: [UInt64]) -> ReplayWindow {
        var window = ReplayWindow()
        for number in numbers { window.insert(number) }
        return window
    }

    @Test func anEmptyWindowAcceptsAnything() {
        for number in [0, 1, 8_192, .max] as [UInt64] { #expect(ReplayWindow().accepts(number)) }
        #expect(ReplayWindow().largest == nil)
    }

    @Test(arguments: [0, 1, 63, 64, 65, 8_191, 8_192, 8_255, 8_256, 1 << 40] as [UInt64]) func eachNumberOnce(number: UInt64) {
        let window = window([number])
        #expect(window.largest == number)
        #expect(!window.accepts(number))
        #expect(window.accepts(number + 1))
        if number > 0 { #expect(window.accepts(number - 1)) }
    }

    /// 8,191 behind the largest is remembered, 8,192 is not.
    @Test(arguments: [8_192, 10_000, 10_047, 10_048, 1 << 33] as [UInt64]) func theBorderIs8192BehindTheLargest(largest: UInt64) {
        let window = window([largest])
        #expect(window.accepts(largest - 8_191))
        #expect(!window.accepts(largest - 8_192))
        #expect(!window.accepts(0))
    }

    @Test func nothingIsTooOldBeforeTheWindowIsFull() {
        #expect(window([8_191]).accepts(0))
        #expect(!window([0, 8_191]).accepts(0))
        #expect(!window([8_192]).accepts(0))
    }

    @Test func anOlderNumberLeavesTheLargest() {
        let window = window([100, 50])
        #expect(window.largest == 100)
        #expect(!window.accepts(50) && !window.accepts(100) && window.accepts(51))
    }

    /// Whatever the ring of words held of numbers a turn before is gone, and nothing newer.
    @Test(arguments: [1, 63, 64, 65, 4_096, 8_191, 8_192, 8_255, 8_256, 8_257, 16_512, 1 << 32, 1 << 60] as [UInt64])
    func aLeapForgetsWhatItPasses(leap: UInt64) {
        let old = (20_000...28_000 as ClosedRange<UInt64>).map { $0 }
        var window = window(old)
        window.insert(28_000 + leap)
        #expect(window.largest == 28_000 + leap)
        for number in (28_000 + leap - 8_191)..<(28_000 + leap) {
            let isNew = number > 28_000 || number < 20_000
            if window.accepts(number) != isNew {
                Issue.record("number \(number) after a leap of \(leap)")
                return
            }
        }
    }

    /// Numbers that creep, fall behind and leap, against a list of all that came.
    @Test(arguments: [UInt64](1...12)) func agreesWithAListOfAllThatCame(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        var window = ReplayWindow()
        var seen: Set<UInt64> = []
        var largest: UInt64?
        for _ in 0..<20_000 {
            let number: UInt64
            switch (random.next(below: 100), largest) {
            case (_, nil): number = random.next(below: 1 << 20)
            case (0, let largest?): number = largest + random.next(below: 20_000)
            case (1..<50, let largest?): number = largest + random.next(below: 4)
            case (_, let largest?): number = largest - min(largest, random.next(below: 8_400))
            }
            let isFresh = largest.map { number > $0 || $0 - number < 8_192 } ?? true
            let accepts = isFresh && !seen.contains(number)
            if window.accepts(number) != accepts {
                Issue.record("number \(number), largest \(largest ?? 0)")
                return
            }
            guard accepts else { continue }
            window.insert(number)
            seen.insert(number)
            largest = max(largest ?? 0, number)
        }
        #expect(window.largest == largest)
    }

    // MARK: what it takes

    @Test(arguments: [0, 1, 63, 387_129_799] as [UInt64]) func numbersInOrderTakeTwoWords(first: UInt64) {
        var window = ReplayWindow(first: first)
        for number in first..<(first + 20_000) {
            window.insert(number)
            #expect(window.bytes == 16)
        }
        #expect(!window.accepts(first + 19_999 - 64) && !window.accepts(first + 19_999) && window.accepts(first + 20_000))
    }

    /// What is missing is remembered, and costs as many words as there are from it to the newest.
    @Test func aMissingNumberIsKeptUntilItIsTooOld() {
        var window = ReplayWindow(first: 1_000)
        for number in (1_000..<1_000 + 8_300) as Range<UInt64> where number != 1_100 {
            window.insert(number)
            let isMissing = number < 1_100 || number - 1_100 < ReplayWindow.size
            if window.accepts(1_100) != isMissing { Issue.record("after \(number)") }
            // A word for each 64 from there, twice that as it doubles, and its end.
            let span = number < 1_100 ? 0 : Int(number - 1_100) / 64 + 2
            #expect(window.bytes <= max(16, min(2 * span, 129) * 8))
        }
        var late = ReplayWindow(first: 1_000)
        for number in (1_000..<3_000) as Range<UInt64> where number != 1_100 { late.insert(number) }
        late.insert(1_100)
        #expect(!late.accepts(1_100))
    }

    @Test func neverTakesMoreThanItsSize() {
        var random = SeededGenerator(seed: 3)
        var window = ReplayWindow(first: 5)
        var number: UInt64 = 5
        for _ in 0..<50_000 {
            number += 1 + (random.next(below: 1_000) == 0 ? random.next(below: 1 << 20) : random.next(below: 3))
            window.insert(number)
            #expect(window.bytes <= 129 * 8)
        }
    }

    /// Connections as they are: nearly all in order, some missing, some late, from a first number of their own.
    @Test(arguments: [UInt64](1...24)) func agreesWithAListWhereLittleIsMissing(seed: UInt64) {
        var random = SeededGenerator(seed: seed)
        let first = random.next(below: 1 << 29)
        let missing = 1 << (seed % 12)
        var window = ReplayWindow(first: first)
        var seen: Set<UInt64> = []
        var late: [UInt64] = []
        var largest: UInt64?
        func check(_ number: UInt64) -> Bool {
            let isFresh = number >= first && (largest.map { number > $0 || $0 - number < 8_192 } ?? true)
            let accepts = isFresh && !seen.contains(number)
            if window.accepts(number) != accepts {
                Issue.record("number \(number), first \(first), largest \(largest ?? 0)")
                return false
            }
            guard accepts else { return true }
            window.insert(number)
            seen.insert(number)
            largest = max(largest ?? 0, number)
            return window.largest == largest
        }
        var next = first
        for _ in 0..<12_000 {
            if random.next(below: UInt64(missing)) == 0 { late.append(next) } else if !check(next) { return }
            next += 1
            if let number = late.first, random.next(below: 40) == 0 {
                late.removeFirst()
                if !check(number) { return }
            }
            let behind = random.next(below: 9_000)
            if next > behind, !check(next - behind) { return }
        }
    }
}
