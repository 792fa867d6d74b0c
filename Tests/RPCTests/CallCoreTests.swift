import MastRPC
import MastTimebase
import MastTransport
import Testing

private func header(_ sequence: UInt64, first: UInt64 = 1, attempt: UInt32 = 1, incarnation: UInt64 = 0, session: UInt64 = 1) -> RequestHeader {
    var header = RequestHeader(method: 1, codec: .cbor, semantics: .atMostOnce)
    header.id = CallID(session: SessionID(high: session, low: 0), sequence: sequence)
    header.firstIncomplete = first
    header.attempt = attempt
    header.earlierIncarnation = incarnation
    return header
}

@Suite struct DuplicateFilterTests {
    private let peer: PublicKey
    private let owner: DuplicateFilter.Owner

    init() throws {
        peer = try #require(PublicKey(bytes: [UInt8](repeating: 9, count: 32)))
        owner = DuplicateFilter.Owner(peer: peer, session: SessionID(high: 1, low: 0))
    }

    @Test func aNumberIsNewThenRunningThenDoneThenForgotten() {
        var filter = DuplicateFilter(incarnation: 5)
        #expect(filter.admit(owner, header: header(1), call: 100, at: .zero) == .new)
        #expect(filter.admit(owner, header: header(1, attempt: 2, incarnation: 5), call: 101, at: .zero) == .running(100))
        filter.complete(owner, sequence: 1, outcome: .init(frames: [7]))
        #expect(filter.admit(owner, header: header(1, attempt: 2, incarnation: 5), call: 102, at: .zero) == .done(.init(frames: [7])))
        #expect(filter.admit(owner, header: header(2, first: 2), call: 103, at: .zero) == .new)
        #expect(filter.admit(owner, header: header(1, attempt: 3, incarnation: 5), call: 104, at: .zero) == .forgotten)
    }

    @Test func aRetryThatMayHaveRunElsewhereIsForgotten() {
        var filter = DuplicateFilter(incarnation: 5)
        #expect(filter.admit(owner, header: header(1, attempt: 2, incarnation: 4), call: 1, at: .zero) == .forgotten)
        #expect(filter.admit(owner, header: header(2, attempt: 2, incarnation: 0), call: 1, at: .zero) == .forgotten)
        #expect(filter.admit(owner, header: header(3, attempt: 2, incarnation: 5), call: 1, at: .zero) == .new)
    }

    @Test func aLateFirstAttemptAfterItsRetryDoesNotRunAgain() {
        var filter = DuplicateFilter(incarnation: 5)
        #expect(filter.admit(owner, header: header(4, attempt: 2, incarnation: 5), call: 1, at: .zero) == .new)
        filter.complete(owner, sequence: 4, outcome: nil)
        #expect(filter.admit(owner, header: header(4), call: 2, at: .zero) == .forgotten)
    }

    @Test func oldResultsGoButTheirNumbersAreRemembered() {
        var limits = DuplicateFilter.Limits()
        limits.done = 4
        var filter = DuplicateFilter(incarnation: 5, limits: limits)
        for sequence in 1...10 as ClosedRange<UInt64> {
            #expect(filter.admit(owner, header: header(sequence), call: sequence, at: .zero) == .new)
            filter.complete(owner, sequence: sequence, outcome: .init(frames: [UInt8(sequence)]))
        }
        #expect(filter.admit(owner, header: header(6), call: 20, at: .zero) == .forgotten)
        #expect(filter.admit(owner, header: header(7), call: 20, at: .zero) == .done(.init(frames: [7])))
        #expect(filter.admit(owner, header: header(11), call: 20, at: .zero) == .new)
    }

    @Test func tooManyRunningCallsAreRefusedAndWithdrawnOnesMayComeAgain() {
        var limits = DuplicateFilter.Limits()
        limits.running = 2
        var filter = DuplicateFilter(incarnation: 5, limits: limits)
        #expect(filter.admit(owner, header: header(1), call: 1, at: .zero) == .new)
        #expect(filter.admit(owner, header: header(2), call: 2, at: .zero) == .new)
        #expect(filter.admit(owner, header: header(3), call: 3, at: .zero) == .overloaded)
        filter.withdraw(owner, sequence: 2)
        #expect(filter.admit(owner, header: header(2), call: 4, at: .zero) == .new)
    }

    @Test func sessionsAreBoundedAndEndWithTheirLease() {
        var limits = DuplicateFilter.Limits()
        limits.sessions = 8
        var filter = DuplicateFilter(incarnation: 5, limits: limits)
        for session in 0..<50 as Range<UInt64> {
            let owner = DuplicateFilter.Owner(peer: peer, session: SessionID(high: session, low: 0))
            #expect(filter.admit(owner, header: header(1, session: session), call: session, at: .zero) == .new)
            filter.complete(owner, sequence: 1, outcome: .init(frames: [1]))
            #expect(filter.sessionCount <= 8)
        }
        // One had to go early: its retry may have run.
        let first = DuplicateFilter.Owner(peer: peer, session: SessionID(high: 0, low: 0))
        #expect(filter.admit(first, header: header(1, attempt: 2, incarnation: 5, session: 0), call: 1, at: .zero) == .forgotten)
        #expect(filter.admit(owner, header: header(9), call: 1, at: .zero + .seconds(7_200)) == .new)
        #expect(filter.sessionCount <= 2)
    }

    @Test func itAgreesWithAPlainModelOnRandomHistories() {
        for seed in 1...20 as ClosedRange<UInt64> {
            var chance = SeededGenerator(seed: seed, stream: "history")
            var filter = DuplicateFilter(incarnation: 5)
            var began: [UInt64: Int] = [:]
            var running: [UInt64] = []
            var first: UInt64 = 1
            for _ in 0..<2_000 {
                let sequence = first + chance.next(below: 20)
                switch chance.next(below: 4) {
                case 0 where !running.isEmpty:
                    let index = Int(chance.next(below: UInt64(running.count)))
                    filter.complete(owner, sequence: running.remove(at: index), outcome: chance.next(below: 2) == 0 ? nil : .init(frames: [1]))
                case 1 where !running.contains(first): first += chance.next(below: 2)
                default:
                    let attempt = UInt32(1 + chance.next(below: 2))
                    if filter.admit(owner, header: header(sequence, first: first, attempt: attempt, incarnation: 5), call: sequence, at: .zero) == .new {
                        began[sequence, default: 0] += 1
                        running.append(sequence)
                    }
                }
            }
            #expect(began.values.allSatisfy { $0 == 1 })
            #expect(began.count > 100)
        }
    }
}

@Suite struct TimerQueueTests {
    @Test func timersFireInOrderOfTimeThenOfSettingAndCancelledOnesNever() {
        var chance = SeededGenerator(seed: 3, stream: "timers")
        var queue = TimerQueue<Int>()
        var expected: [(Int64, Int)] = []
        var tokens: [Int: TimerQueue<Int>.Token] = [:]
        for number in 0..<5_000 {
            let due = Int64(chance.next(below: 500))
            tokens[number] = queue.set(number, at: Instant(nanoseconds: due))
            expected.append((due, number))
            if chance.next(below: 3) > 0 {
                let victim = Int(chance.next(below: UInt64(number + 1)))
                queue.cancel(tokens.removeValue(forKey: victim))
                expected.removeAll { $0.1 == victim }
            }
        }
        #expect(queue.count == expected.count)
        expected.sort { $0 < $1 }
        var fired: [Int] = []
        for time in 0...500 as ClosedRange<Int64> {
            while let number = queue.takeDue(at: Instant(nanoseconds: time)) { fired.append(number) }
        }
        #expect(fired == expected.map(\.1))
        #expect(queue.next() == nil)
    }
}

@Suite struct EnvelopeTests {
    private let limits = EnvelopeLimits()

    @Test func headersAndTrailersSurviveTheRoundTrip() throws {
        var request = header(70_000, first: 69_990, attempt: 3, incarnation: 77)
        request.metadata = ["a": "1", "b": ""]
        #expect(try RequestHeader(decoding: request.encode()[...], limits: limits) == request)
        let plain = RequestHeader(method: 0xFFFF_FFFF, codec: .json, semantics: .readOnly)
        #expect(plain.encode().count == 8)
        #expect(try RequestHeader(decoding: plain.encode()[...], limits: limits) == plain)
        var trailer = Trailer(code: .aborted, effect: .unknown, message: "m")
        trailer.retryAfter = .milliseconds(5)
        trailer.detail = ByteString([1])
        trailer.metadata = ["x": "y"]
        trailer.incarnation = 3
        #expect(try Trailer(decoding: trailer.encode(limits: limits)[...], limits: limits) == trailer)
    }

    @Test func framesComeOutWholeHoweverTheyArrive() throws {
        var bytes: [UInt8] = []
        for size in [0, 1, 63, 64, 16_383, 16_384, 100_000] { FrameReader.append(FrameKind.message, [UInt8](repeating: UInt8(size & 255), count: size), to: &bytes) }
        var chance = SeededGenerator(seed: 6, stream: "cuts")
        var reader = FrameReader(limits: limits)
        var sizes: [Int] = []
        var index = 0
        while index < bytes.count {
            let count = min(bytes.count - index, Int(chance.next(below: 3_000)))
            reader.fill { $0.append(contentsOf: bytes[index..<(index + count)]) }
            index += count
            while let frame = try reader.next() { sizes.append(frame.payload.count) }
        }
        #expect(sizes == [0, 1, 63, 64, 16_383, 16_384, 100_000])
    }

    @Test func aFrameBeyondTheLimitIsRefusedFromItsLengthAlone() {
        var reader = FrameReader(limits: limits)
        reader.fill { $0 += [FrameKind.message, 0xC0, 0, 0, 1, 0, 0, 0, 0] }
        #expect(throws: EnvelopeViolation.self) { try reader.next() }
    }

    @Test func randomBytesNeverTrap() {
        var chance = SeededGenerator(seed: 8, stream: "garbage")
        for _ in 0..<50_000 {
            let bytes = (0..<Int(chance.next(below: 60))).map { _ in UInt8(truncatingIfNeeded: chance.next() & (chance.next() | 0x0F)) }
            _ = try? RequestHeader(decoding: bytes[...], limits: limits)
            _ = try? Trailer(decoding: bytes[...], limits: limits)
            var reader = FrameReader(limits: limits)
            reader.fill { $0 += bytes }
            while let frame = try? reader.next() { _ = frame.payload.count }
        }
    }

    @Test func garbageOnStreamsIsResetAndTheServerServesOn() throws {
        let world = World()
        try world.pair(Echo.server()) { client, here, there in
            let connection = try await client.connect()
            var chance = SeededGenerator(seed: 2, stream: "garbage")
            for round in 0..<500 {
                let count = Int(chance.next(below: 200))
                var bytes = (0..<count).map { _ in UInt8(truncatingIfNeeded: chance.next()) }
                if round % 2 == 0 {
                    var sound: [UInt8] = []
                    FrameReader.append(FrameKind.header, RequestHeader(method: methodID("test.v1.Echo/chat"), codec: .cbor, semantics: .atMostOnce).encode(), to: &sound)
                    bytes = sound + bytes
                }
                let garbage = bytes
                here.host.withEndpoint { endpoint, now in
                    guard let stream = endpoint.openStream(connection.handle, deadline: nil, at: now) else { return }
                    _ = endpoint.write(connection.handle, stream, garbage[...], fin: round % 3 != 0, at: now)
                }
                if round % 50 == 0 { try await here.host.sleep(for: .milliseconds(100)) }
            }
            try await here.host.sleep(for: .seconds(1))
            #expect(there.host.statistics.protocolErrors > 100)
            #expect(connection.isOpen)
            do { let value = try await client.call(Echo.say, Line(text: "still here")).text; #expect(value == "still here") }
        }
    }
}

@Suite struct RetryTests {
    private func decide(_ semantics: CallSemantics, _ failure: AttemptFailure, hasID: Bool = true, replayable: Bool = true, budget: RetryBudget = RetryBudget()) -> RetryPolicy.Decision {
        RetryPolicy(semantics: semantics, maxAttempts: 3).decide(failure, attempt: 1, replayable: replayable, hasID: hasID, budget: budget)
    }
    private func isRetry(_ decision: RetryPolicy.Decision) -> Bool { if case .retry = decision { true } else { false } }

    @Test func semanticsDecideWhatIsRetried() {
        let unavailable = AttemptFailure.answered(RPCError(.unavailable, effect: .none))
        let ambiguous = AttemptFailure.answered(RPCError(.unavailable, effect: .unknown))
        for semantics in [CallSemantics.readOnly, .idempotent, .atMostOnce] {
            #expect(isRetry(decide(semantics, unavailable)))
            #expect(isRetry(decide(semantics, .connectionLost(""))))
            #expect(!isRetry(decide(semantics, .answered(RPCError(.notFound, effect: .none)))))
            #expect(!isRetry(decide(semantics, .violation(""))))
            #expect(!isRetry(decide(semantics, .connectionLost(""), replayable: false)))
        }
        #expect(isRetry(decide(.idempotent, ambiguous)))
        #expect(!isRetry(decide(.atMostOnce, ambiguous)))
        #expect(!isRetry(decide(.atMostOnce, .connectionLost(""), hasID: false)))
    }

    @Test func theBudgetStopsRetriesAtHalfAndSuccessesRefillIt() {
        var budget = RetryBudget()
        for _ in 0..<50 { budget.failed() }
        #expect(!budget.allowsRetry)
        budget.succeeded()
        #expect(budget.allowsRetry)
    }

    @Test func backOffGrowsToItsLimitWithinAFifth() {
        var chance = SeededGenerator(seed: 1, stream: "backoff")
        var backoff = Backoff(first: .milliseconds(100), limit: .seconds(1))
        var expected = Interval.milliseconds(100)
        for _ in 0..<40 {
            let wait = backoff.next(using: &chance)
            #expect(wait >= expected * 4 / 5 && wait <= expected * 6 / 5)
            expected = min(expected * 8 / 5, .seconds(1))
        }
    }
}
