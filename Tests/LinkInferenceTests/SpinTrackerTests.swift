import MastLinkInference
import MastTimebase
import Testing

/// Round trips by QUIC's spin bit are never shorter than the path (RFC 9312 section 3.8.2.1).
@Suite struct SpinTrackerTests {
    /// A packet each millisecond that spins each `trips[n]` of them in turn.
    private func smallest(_ trips: [Int], overtaken: Set<Int> = []) -> Double? { // lookup only
        var tracker = SpinTracker()
        var (value, now) = (false, 0)
        for trip in trips {
            value.toggle()
            for step in 0..<trip {
                // One from before the turn comes after it.
                tracker.observe(overtaken.contains(now) ? !value : value, at: .zero + .milliseconds(Int64(now)))
                (now, _) = (now + 1, step)
            }
        }
        return tracker.roundTrips.smallest.map { Double($0) / 1e6 }
    }

    @Test("of even turns all tell the path")
    func evenTurns() { #expect(smallest(Array(repeating: 60, count: 12)) == 60) }

    @Test("a packet that was overtaken turns nothing, also at the first turns", arguments: [61, 121, 122, 181, 301])
    func overtaken(_ at: Int) { #expect(smallest(Array(repeating: 60, count: 12), overtaken: [at]) == 60) }

    @Test("after a turn that took long, as behind a loss, the next is timed from where it began", arguments: [260, 400, 2_000])
    func afterALongTurn(_ long: Int) { #expect(smallest([60, 60, 60, 60, long, 60, 60, 60, 60, 60]) == 60) }
}
