import MastTimebase
import MastTransport
import Testing

/// RFC 9438 with C = 0.4 and β = 0.7, in datagrams of 1,000 bytes.
@Suite struct CubicTests {
    private static let datagram = 1_000

    /// In slow start, with a window of so many datagrams.
    private func cubic(window: Int = 10, maximum: Int = 1 << 24) -> Cubic {
        var cubic = Cubic(datagramSize: Self.datagram, maximumWindow: maximum)
        if window > 10 { cubic.acknowledge((window - 10) * Self.datagram) }
        return cubic
    }

    /// The window after one more datagram is acknowledged so long after the epoch began, whatever time it is then.
    private func windows(_ cubic: Cubic, _ seconds: [Double], rtt: Interval) -> [Int] {
        let epoch = Instant.zero + .seconds(100)
        var cubic = cubic
        cubic.acknowledge(0, at: epoch, rtt: rtt)
        return seconds.map { second in
            var later = cubic
            later.acknowledge(Self.datagram, at: epoch + .microseconds(Int64(second * 1e6)), rtt: rtt)
            return later.window
        }
    }

    // MARK: slow start

    @Test func beginsWithTenDatagramsAndGrowsByWhatIsAcknowledged() {
        var cubic = cubic()
        #expect(cubic.window == 10_000 && cubic.isInSlowStart)
        cubic.acknowledge(1_000)
        #expect(cubic.window == 11_000)
        cubic.acknowledge(500)
        #expect(cubic.window == 11_500 && cubic.isInSlowStart)
        cubic.onSent(bytes: 1_000, inFlight: 1_000, at: .zero)
        #expect(cubic.window == 11_500)
    }

    @Test func doesNotGrowBeyondTheMaximum() {
        var slowStart = cubic(maximum: 12_000)
        slowStart.acknowledge(5_000)
        #expect(slowStart.window == 12_000)
        var avoidance = cubic(maximum: 10_000)
        avoidance.lose()
        for _ in 0..<200 { avoidance.acknowledge(1_000, at: .zero + .seconds(60)) }
        #expect(avoidance.window == 10_000)
    }

    // MARK: a cut

    @Test func oneLossLeavesSevenTenths() {
        var cubic = cubic(window: 100)
        cubic.lose()
        #expect(cubic.window == 70_000)
        #expect(!cubic.isInSlowStart)
    }

    @Test func theFloorIsTwoDatagrams() {
        var cubic = cubic()
        let windows = (1...6 as ClosedRange<Int64>).map { event in
            cubic.lose(sent: .zero + .seconds(event), at: .zero + .seconds(event))
            return cubic.window
        }
        #expect(windows == [7_000, 4_900, 3_430, 2_401, 2_000, 2_000])
    }

    /// RFC 9002 section 7.3.2: whatever was sent before the cut belongs to it, the border included.
    @Test func twoLossesWithinARoundTripAreOneCut() {
        var cubic = cubic(window: 100)
        cubic.lose(sent: .zero + .milliseconds(990), at: .zero + .milliseconds(1_000))
        cubic.lose(sent: .zero + .milliseconds(995), at: .zero + .milliseconds(1_010))
        cubic.lose(sent: .zero + .milliseconds(1_000), at: .zero + .milliseconds(1_040))
        #expect(cubic.window == 70_000)
        cubic.lose(sent: .zero + .milliseconds(1_001), at: .zero + .milliseconds(1_041))
        #expect(cubic.window == 49_000)
    }

    @Test func nothingGrowsOnWhatWasSentBeforeTheCut() {
        var cubic = cubic(window: 100)
        let cut = Instant.zero + .seconds(1)
        cubic.lose(sent: .zero, at: cut)
        for _ in 0..<50 { cubic.acknowledge(1_000, sent: cut, at: cut + .seconds(1)) }
        #expect(cubic.window == 70_000)
        cubic.acknowledge(1_000, sent: cut + .nanoseconds(1), at: cut + .seconds(1))
        #expect(cubic.window > 70_000)
    }

    // MARK: congestion avoidance

    /// Section 4.2: w_max = 100, the window 70, so K = ∛(30 / 0.4) = 4.217 s. A datagram's acknowledgement adds
    /// (w(t + RTT) − 70) / 70 of a datagram, where w(t) = 0.4 (t − K)³ + 100; w is at most 1.5 × 70.
    @Test func theWindowFollowsTheCubicFunction() {
        var cubic = cubic(window: 100)
        cubic.lose()
        let expected = [70_029, 70_255, 70_374, 70_428, 70_466, 70_500, 70_500]
        #expect(windows(cubic, [0, 1, 2, 4, 6, 8, 20], rtt: .milliseconds(100)) == expected)
    }

    /// The plateau is where the window was cut, K seconds after the cut.
    @Test func theWindowIsBackWhereItWasCutAfterKSeconds() {
        var cubic = cubic(window: 100)
        cubic.lose()
        let rtt = Interval.milliseconds(100)
        cubic.acknowledge(0, at: .zero, rtt: rtt)
        var windows: [Int] = []
        for round in 1...60 as ClosedRange<Int64> {
            for _ in 0..<cubic.window / Self.datagram { cubic.acknowledge(1_000, at: .zero + rtt * round, rtt: rtt) }
            windows.append(cubic.window)
        }
        #expect(zip(windows, windows.dropFirst()).allSatisfy { $0 <= $1 })
        // After 1 s w(1.1) = 87.9, after 2 s 96.2; the window is a round trip behind.
        #expect((86_500...87_900).contains(windows[9]))
        #expect((95_400...96_300).contains(windows[19]))
        #expect((99_500...100_000).contains(windows[41]), "K = 4.217 s")
        #expect((102_000...103_500).contains(windows[59]), "beyond K it grows again")
    }

    /// Section 4.7: a flow that is cut below its last maximum makes room, w_max = 70 × (1 + 0.7) / 2 = 59.5, so
    /// K = ∛(10.5 / 0.4) = 2.972 s, and the plateau adds (59.5 − 49) / 49 of a datagram.
    @Test func aSecondCutBelowTheLastMaximumConvergesFaster() {
        var cubic = cubic(window: 100)
        cubic.lose(sent: .zero, at: .zero)
        cubic.lose(sent: .zero + .seconds(1), at: .zero + .seconds(1))
        #expect(cubic.window == 49_000)
        #expect(windows(cubic, [0, 1, 2, 3, 5], rtt: .milliseconds(100)) == [49_020, 49_160, 49_208, 49_214, 49_292])
    }

    /// Section 4.3: with a short round trip Reno's rate is the larger, α = 3 (1 − β) / (1 + β) = 0.529 datagrams a
    /// round trip until the window is back at its old size, then one.
    @Test func growsAsRenoWouldWhereThatIsFaster() {
        var cubic = cubic()
        cubic.lose()
        let windows = (0..<51).map { _ in
            cubic.acknowledge(1_000, at: .zero + .seconds(1), rtt: .milliseconds(10))
            return cubic.window
        }
        #expect(windows[0..<7] == [7_075, 7_150, 7_224, 7_297, 7_370, 7_442, 7_513])
        #expect(windows[44..<51] == [9_840, 9_894, 9_947, 10_000, 10_100, 10_199, 10_297])
    }

    /// Section 4.3 again: the old size is the window before the cut, which fast convergence does not lower.
    @Test func renosRateRisesAtTheWindowBeforeTheCut() {
        var cubic = cubic(window: 100)
        cubic.lose(sent: .zero, at: .zero)
        cubic.lose(sent: .zero + .seconds(1), at: .zero + .seconds(1))
        var growth: [(from: Int, by: Int)] = []
        for _ in 0..<3_000 {
            let before = cubic.window
            cubic.acknowledge(1_000, at: .zero + .seconds(2), rtt: .milliseconds(10))
            growth.append((before, cubic.window - before))
        }
        // 529 / 65 and 1,000 / 70 bytes for a datagram.
        let below = growth.filter { (60_000..<69_900).contains($0.from) }.map(\.by)
        let above = growth.filter { (70_100..<72_000).contains($0.from) }.map(\.by)
        #expect(!below.isEmpty && below.allSatisfy { (7...9).contains($0) })
        #expect(!above.isEmpty && above.allSatisfy { (13...15).contains($0) })
    }

    /// The root of a number below one: w_max = 2.401 × 0.85 = 2.041, the window 2, K = ∛(0.041 / 0.4) = 0.467 s.
    @Test func theSmallestWindowFollowsTheFunctionToo() {
        var cubic = cubic()
        for event in 1...5 as ClosedRange<Int64> { cubic.lose(sent: .zero + .seconds(event), at: .zero + .seconds(event)) }
        #expect(cubic.window == 2_000)
        // At first Reno's 0.529 / 2 of a datagram is more; then w(1.61) = 2.637, w(1.71) = 2.808, and 3 is the bound.
        #expect(windows(cubic, [0, 1, 1.6, 1.7, 3], rtt: .milliseconds(10)) == [2_264, 2_264, 2_318, 2_404, 2_500])
    }

    // MARK: limited by the application

    /// RFC 9438 section 5.8, RFC 9002 section 7.8.
    @Test func doesNotGrowWhenTheApplicationIsTheLimit() {
        var slowStart = cubic()
        slowStart.acknowledge(5_000, limited: false)
        #expect(slowStart.window == 10_000)
        var avoidance = cubic(window: 100)
        avoidance.lose()
        for second in 1...20 as ClosedRange<Int64> { avoidance.acknowledge(1_000, limited: false, at: .zero + .seconds(second)) }
        #expect(avoidance.window == 70_000)
    }

    /// The time in which nothing was wanted is no time of growth: the epoch begins anew.
    @Test func aPauseOfTheApplicationDoesNotCountAsTime() {
        var cubic = cubic(window: 100)
        cubic.lose()
        cubic.acknowledge(0, at: .zero)
        cubic.acknowledge(1_000, limited: false, at: .zero + .seconds(20))
        #expect(windows(cubic, [0, 1], rtt: .milliseconds(100)) == [70_029, 70_255])
    }

    /// Above its last maximum an epoch begins on the plateau: w(t) = 0.4 t³ + 120, K = 0.
    @Test func anEpochAboveTheLastMaximumBeginsOnAPlateau() {
        var cubic = cubic(window: 100)
        cubic.lose(sent: .zero, at: .zero)
        for _ in 0..<20_000 where cubic.window < 120_000 { cubic.acknowledge(1_000, at: .zero + .seconds(8)) }
        #expect((120_000..<120_600).contains(cubic.window))
        cubic.acknowledge(1_000, limited: false, at: .zero + .seconds(9))
        let start = cubic.window
        // Reno: 1,000 / 120 bytes; then 0.4 × 4³ / 120 of a datagram.
        #expect(windows(cubic, [0, 3], rtt: .seconds(1)).map { $0 - start } == [8, 213])
    }

    // MARK: undo

    @Test func aSpuriousLossRestoresWindowAndThreshold() {
        var cubic = cubic(window: 100)
        cubic.lose(sent: .zero, at: .zero + .seconds(1))
        cubic.onSpuriousLoss(at: .zero + .seconds(2))
        #expect(cubic.window == 100_000 && cubic.isInSlowStart)
        // What was sent before the cut that was none makes the window grow again.
        cubic.acknowledge(1_000, sent: .zero, at: .zero + .seconds(2))
        #expect(cubic.window == 101_000)
    }

    /// As in `theWindowFollowsTheCubicFunction`, as if the second cut had never been.
    @Test func anUndoneCutLeavesTheFunctionOfTheOneBefore() {
        var cubic = cubic(window: 100)
        cubic.lose(sent: .zero, at: .zero)
        cubic.lose(sent: .zero + .seconds(1), at: .zero + .seconds(1))
        cubic.acknowledge(0, sent: .zero + .seconds(2), at: .zero + .seconds(2))
        cubic.onSpuriousLoss(at: .zero + .seconds(2))
        #expect(cubic.window == 70_000 && !cubic.isInSlowStart)
        #expect(windows(cubic, [0, 1, 2, 4], rtt: .milliseconds(100)) == [70_029, 70_255, 70_374, 70_428])
        #expect(windows(cubic, [0], rtt: .milliseconds(10)) == [70_007], "529 / 70: Reno's rate rises at 100 still")
    }

    @Test func undoNeverShrinksTheWindow() {
        var cubic = cubic()
        cubic.lose()
        for _ in 0..<60 { cubic.acknowledge(1_000, at: .zero + .seconds(30)) }
        let grown = cubic.window
        #expect(grown > 10_000)
        cubic.onSpuriousLoss(at: .zero + .seconds(31))
        #expect(cubic.window == grown)
    }

    @Test func aCutIsUndoneOnce() {
        var never = cubic(window: 100)
        never.onSpuriousLoss(at: .zero)
        #expect(never.window == 100_000 && never.isInSlowStart)
        var cubic = cubic(window: 100)
        cubic.lose(sent: .zero, at: .zero)
        cubic.lose(sent: .zero + .seconds(1), at: .zero + .seconds(1))
        cubic.onSpuriousLoss(at: .zero + .seconds(2))
        cubic.acknowledge(0, at: .zero + .seconds(3), rtt: .milliseconds(100))
        // A second late arrival leaves the epoch where it is: w(4.1) = 99.999.
        cubic.onSpuriousLoss(at: .zero + .seconds(6))
        cubic.acknowledge(1_000, at: .zero + .seconds(7), rtt: .milliseconds(100))
        #expect(cubic.window == 70_428)
    }

    // MARK: another network

    @Test func anotherNetworkStartsOver() {
        var cubic = cubic(window: 100, maximum: 101_000)
        cubic.lose()
        cubic.onPathChange(at: .zero + .seconds(1))
        #expect(cubic.window == 10_000 && cubic.isInSlowStart)
        cubic.acknowledge(500_000)
        #expect(cubic.window == 101_000, "the maximum is the configuration's, not the path's")
    }
}

extension Cubic {
    fileprivate mutating func acknowledge(
        _ bytes: Int, sent: Instant = .zero + .seconds(50), limited: Bool = true, at now: Instant = .zero,
        rtt: Interval = .milliseconds(100)
    ) {
        onArrival(ArrivedPacket(bytes: bytes, sentAt: sent, isLimited: limited), rtt: RTTEstimator(initial: rtt), at: now)
    }

    fileprivate mutating func lose(sent: Instant = .zero, at now: Instant = .zero) {
        onLoss(bytes: 1_000, latestSentAt: sent, at: now)
    }
}
