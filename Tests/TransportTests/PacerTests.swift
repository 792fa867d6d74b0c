import MastTimebase
import MastTransport
import Testing

/// RFC 9002 section 7.7: 1.25 windows a round trip, twice the window in slow start, after a burst of ten datagrams or a millisecond.
@Suite struct PacerTests {
    private static let datagram = 1_200
    /// 120,000 bytes in 100 ms: 1.25 × that is a datagram in 0.8 ms, twice it one in 0.5 ms.
    private static let window = 120_000

    private func rtt(_ interval: Interval = .milliseconds(100)) -> RTTEstimator {
        var rtt = RTTEstimator(initial: .milliseconds(333))
        rtt.update(sample: interval, ackDelay: .zero)
        return rtt
    }

    /// When the next may leave after a burst at `start`.
    private func afterBurst(
        at start: Instant = .zero + .seconds(1), bytes: Int = datagram, window: Int = window, rtt: RTTEstimator? = nil,
        slowStart: Bool = false, burst: Int = 10
    ) -> Interval? {
        var pacer = Pacer(datagramSize: Self.datagram)
        for _ in 0..<burst {
            guard pacer.blockedUntil(bytes: Self.datagram, window: window, rtt: rtt ?? self.rtt(), slowStart: slowStart, at: start) == nil
            else { return nil }
            pacer.onSent(bytes: Self.datagram)
        }
        return pacer.blockedUntil(bytes: bytes, window: window, rtt: rtt ?? self.rtt(), slowStart: slowStart, at: start).map { $0 - start }
    }

    @Test func tenDatagramsLeaveBackToBackAndTheNextWaits() {
        #expect(afterBurst() == .microseconds(800))
        #expect(afterBurst(slowStart: true) == .microseconds(500))
        #expect(afterBurst(bytes: 300) == .microseconds(200), "a quarter of a datagram waits a quarter of the time")
        #expect(afterBurst(window: 2 * Self.window) == .microseconds(400))
        #expect(afterBurst(rtt: rtt(.milliseconds(50))) == .microseconds(400))
    }

    /// What a millisecond of the rate is, up to 64 KiB: 1.25 windows in 100 ms, so a hundredth of 1.25 windows.
    @Test(arguments: [(960_000, 10), (1_920_000, 20), (3_840_000, 40), (50_000_000, 54)])
    func aFastSenderIsWokenOnceAMillisecond(window: Int, burst: Int) {
        var pacer = Pacer(datagramSize: Self.datagram)
        var left: [Int] = []
        for step in 0..<50 as Range<Int64> {
            let now = Instant.zero + .seconds(1) + .milliseconds(step)
            var count = 0
            while count < 1_000, pacer.blockedUntil(bytes: Self.datagram, window: window, rtt: rtt(), slowStart: false, at: now) == nil {
                pacer.onSent(bytes: Self.datagram)
                count += 1
            }
            left.append(count)
        }
        #expect(left.allSatisfy { $0 <= burst + 1 } && (left.dropFirst().min() ?? 0) >= min(burst, window / 96_000))
    }

    @Test func onlyWhatIsMissingIsWaitedFor() {
        var pacer = Pacer(datagramSize: Self.datagram)
        let start = Instant.zero + .seconds(1)
        for bytes in [Int](repeating: Self.datagram, count: 9) + [900] {
            #expect(pacer.blockedUntil(bytes: bytes, window: Self.window, rtt: rtt(), slowStart: false, at: start) == nil)
            pacer.onSent(bytes: bytes)
        }
        let until = pacer.blockedUntil(bytes: Self.datagram, window: Self.window, rtt: rtt(), slowStart: false, at: start)
        #expect(until == start + .microseconds(600), "900 of 1,200 bytes")
    }

    @Test func aFractionOfANanosecondIsWaitedFor() {
        // 1,200 bytes × 100 ms / 150,000 bytes and less than a byte more.
        #expect(afterBurst(window: 119_999) == .nanoseconds(800_011))
    }

    @Test func nothingIsPacedBeforeTheFirstSample() {
        var pacer = Pacer(datagramSize: Self.datagram)
        for _ in 0..<100 {
            #expect(
                pacer.blockedUntil(
                    bytes: Self.datagram, window: 1, rtt: RTTEstimator(initial: .milliseconds(100)), slowStart: false, at: .zero) == nil)
            pacer.onSent(bytes: Self.datagram)
        }
    }

    @Test(arguments: [1, 300, datagram]) func isFreeExactlyWhenItSaid(bytes: Int) throws {
        var pacer = Pacer(datagramSize: Self.datagram)
        let start = Instant.zero + .seconds(1)
        for _ in 0..<10 {
            #expect(pacer.blockedUntil(bytes: Self.datagram, window: Self.window, rtt: rtt(), slowStart: false, at: start) == nil)
            pacer.onSent(bytes: Self.datagram)
        }
        let blocked = pacer.blockedUntil(bytes: bytes, window: Self.window, rtt: rtt(), slowStart: false, at: start)
        let until = try #require(blocked)
        var early = pacer
        #expect(early.blockedUntil(bytes: bytes, window: Self.window, rtt: rtt(), slowStart: false, at: until - .nanoseconds(1)) != nil)
        #expect(pacer.blockedUntil(bytes: bytes, window: Self.window, rtt: rtt(), slowStart: false, at: until) == nil)
    }

    @Test func aPauseSavesUpNoMoreThanABurst() {
        var pacer = Pacer(datagramSize: Self.datagram)
        var sent = 0
        for second in [1, 1_000] as [Int64] {
            let now = Instant.zero + .seconds(second)
            while sent < 100, pacer.blockedUntil(bytes: Self.datagram, window: Self.window, rtt: rtt(), slowStart: false, at: now) == nil {
                pacer.onSent(bytes: Self.datagram)
                sent += 1
            }
        }
        #expect(sent == 20)
    }

    /// Probes pass the pacer by and are charged: what they take is not owed.
    @Test func aPacketThatDidNotAskLeavesNoDebt() {
        var pacer = Pacer(datagramSize: Self.datagram)
        let start = Instant.zero + .seconds(1)
        #expect(pacer.blockedUntil(bytes: Self.datagram, window: Self.window, rtt: rtt(), slowStart: false, at: start) == nil)
        for _ in 0..<50 { pacer.onSent(bytes: Self.datagram) }
        let until = pacer.blockedUntil(bytes: Self.datagram, window: Self.window, rtt: rtt(), slowStart: false, at: start)
        #expect(until == start + .microseconds(800))
    }

    @Test func oddNumbersNeitherTrapNorBlockForGood() {
        #expect(afterBurst(window: .max, burst: 54) == .nanoseconds(1))
        #expect((afterBurst(window: 0) ?? .zero) > .zero)
        #expect(afterBurst(rtt: rtt(.zero), burst: 54) == .nanoseconds(4), "464 bytes more; a round trip of a microsecond is the shortest")
        var pacer = Pacer(datagramSize: Self.datagram)
        let later = Instant.zero + .seconds(9)
        #expect(pacer.blockedUntil(bytes: Self.datagram, window: Self.window, rtt: rtt(), slowStart: false, at: later) == nil)
        for _ in 0..<10 { pacer.onSent(bytes: Self.datagram) }
        let back = pacer.blockedUntil(bytes: Self.datagram, window: Self.window, rtt: rtt(), slowStart: false, at: later - .seconds(8))
        #expect(back != nil, "a clock that goes back earns nothing")
    }

    /// However often it is asked: no more than the burst and the rate, and hardly less.
    @Test(arguments: [UInt64](1...20), [true, false]) func neverSendsMoreThanTheRate(seed: UInt64, slowStart: Bool) {
        var random = SeededGenerator(seed: seed)
        var pacer = Pacer(datagramSize: Self.datagram)
        let window = 20_000 + Int(random.next(below: 400_000))
        let rtt = rtt(.microseconds(Int64(5_000 + random.next(below: 200_000))))
        let perSecond = Double(window) * (slowStart ? 2 : 1.25) / rtt.smoothed.inSeconds
        let start = Instant.zero + .milliseconds(500)
        var now = start
        var sent = 0
        while now - start < .seconds(2), Double(sent) < 3 * perSecond {
            if let until = pacer.blockedUntil(bytes: Self.datagram, window: window, rtt: rtt, slowStart: slowStart, at: now) {
                #expect(until > now)
                // Asked again and again before the time is up, as each arrival does.
                now = random.next(below: 3) == 0 ? until : min(until, now + .microseconds(Int64(1 + random.next(below: 400))))
                continue
            }
            pacer.onSent(bytes: Self.datagram)
            sent += Self.datagram
        }
        let limit = max(10 * Double(Self.datagram), perSecond / 1_000) + perSecond * (now - start).inSeconds
        #expect(Double(sent) <= limit + 1)
        #expect(Double(sent) >= 0.95 * limit - 2 * Double(Self.datagram))
    }
}

extension Pacer {
    /// As most controllers pace: RFC 9002 section 7.7.
    fileprivate mutating func blockedUntil(bytes: Int, window: Int, rtt: RTTEstimator, slowStart: Bool, at now: Instant) -> Instant? {
        let rate = rtt.hasSample ? PacingRate(bytes: Int64(clamping: Int128(window) * (slowStart ? 8 : 5) / 4), per: rtt.smoothed) : nil
        return blockedUntil(bytes: bytes, rate: rate, at: now)
    }
}
