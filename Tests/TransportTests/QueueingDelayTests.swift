import MastTimebase
import MastTransport
import Testing

@Suite struct QueueingDelayTests {
    /// Packets with these one-way times, a millisecond apart from `second` on.
    private func insert(_ milliseconds: [Double], second: Int64 = 0, _ delay: inout QueueingDelay) {
        for (index, value) in milliseconds.enumerated() {
            let now = Instant.zero + .seconds(second) + .milliseconds(Int64(index))
            delay.insert(.microseconds(Int64(value * 1_000)), at: Double(now.nanoseconds), now: now)
        }
    }

    private func current(_ delay: inout QueueingDelay) -> Double? { delay.current() }
    private func longest(_ delay: inout QueueingDelay) -> Double { delay.takeLongest() }

    @Test func isNothingBeforeAPacket() {
        var delay = QueueingDelay()
        let told = (delay.current(), delay.takeLongest(), delay.takeShortest())
        #expect(told == (nil, 0, 0))
    }

    /// Clocks may differ by anything: only differences of one-way times count.
    @Test(arguments: [0, 5_000_000, -5_000_000] as [Double]) func isWhatIsAboveTheLeast(clocks: Double) {
        var delay = QueueingDelay()
        insert([20, 25, 32].map { $0 + clocks }, &delay)
        #expect(current(&delay) == 0, "within 10 ms one came at once")
        insert([Double](repeating: 32 + clocks, count: 12), second: 1, &delay)
        #expect(current(&delay) == 12e6)
    }

    @Test func oneLatePacketIsNoQueue() {
        var delay = QueueingDelay()
        insert([20, 20, 20, 48, 20], &delay)
        #expect(current(&delay) == 0)
        #expect(longest(&delay) == 28e6)
        #expect(longest(&delay) == 0, "each is told once")
    }

    /// A clock that runs 100 parts in a million too fast is 3 ms off after 30 s.
    @Test func driftIsForgotten() {
        var delay = QueueingDelay()
        for second in 0..<100 { insert([20 + Double(second) * 0.1], second: Int64(second), &delay) }
        let drifted = current(&delay)
        #expect(drifted.map { $0 <= 3.1e6 } == true)
    }

    @Test func aLongerPathHasALongerLeast() {
        var delay = QueueingDelay()
        insert([20, 20], &delay)
        insert([Double](repeating: 35, count: 20), second: 1, &delay)
        let shortest = delay.takeShortest()
        #expect(shortest == 0)
        delay.raiseFloor(by: 15e6, at: .zero + .seconds(2))
        #expect(current(&delay) == 0)
    }
}
