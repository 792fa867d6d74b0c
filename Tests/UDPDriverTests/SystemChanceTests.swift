import MastUDPDriver
import Synchronization
import Testing

@Suite struct SystemChanceTests {
    @Test func theSystemIsAskedOnceForAPageOfWords() {
        let asked = Mutex<[Int]>([])
        var chance = SystemChance { bytes in
            let count = asked.withLock { asked in
                asked.append(bytes.count)
                return asked.count
            }
            for index in bytes.indices { bytes[index] = UInt8(truncatingIfNeeded: index / 8 + count) }
            return true
        }
        for page in 1...3 {
            for word in 0..<SystemChance.words {
                let byte = UInt64(UInt8(truncatingIfNeeded: word + page))
                #expect(chance.next() == byte &* 0x0101_0101_0101_0101)
            }
        }
        #expect(asked.withLock { $0 } == [4_096, 4_096, 4_096])
    }

    /// A system that has none to give: the standard library's way of asking, and no word twice.
    @Test func whereThePageCannotBeHadEachWordIsAskedFor() {
        var chance = SystemChance { _ in false }
        #expect(Set((0..<1_000).map { _ in chance.next() }).count == 1_000)
    }

    @Test func theSystemsWordsDiffer() {
        var chance = SystemChance()
        let words = (0..<2_000).map { _ in chance.next() }
        #expect(Set(words).count == 2_000)
        // Of 128,000 bits half are set, give or take 179 (a standard deviation), ten of which never happen.
        #expect(abs(words.reduce(0) { $0 + $1.nonzeroBitCount } - 64_000) < 1_790)
    }
}
