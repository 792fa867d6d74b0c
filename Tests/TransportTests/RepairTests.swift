import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// Small calls that go twice where the path loses.
@Suite struct RepairTests {
    private struct Outcome {
        var times: [Interval] = []
        var statistics: ConnectionStatistics?
        var server: ConnectionStatistics?
        /// Datagrams' bytes that the client sent.
        var bytes = 0
        func quantile(_ share: Double) -> Interval { times[Int(Double(times.count - 1) * share)] }
    }

    /// A call every 20 ms over a round trip of 50 ms: how long each takes to be heard and answered.
    private func calls(_ count: Int, loss: LossModel, seed: UInt64 = 5, bytes: Int = 100) throws -> Outcome {
        let link = LinkProfile(service: .constant(.megabitsPerSecond(20)), delay: .milliseconds(25), radioLoss: loss)
        let pair = Pair(seed: seed, scenario: LinkScenario(up: link, down: link, seed: seed))
        let handle = connected(pair, within: .seconds(10))
        var outcome = Outcome()
        var begun: [StreamID: Instant] = [:]
        var next = pair.now
        let end = pair.now + .milliseconds(20 * Int64(count))
        var sink: [UInt8] = []
        pair.clientEvents = []
        pair.serverEvents.removeAll { if case .accepted = $0 { false } else { true } }
        let server = try #require(pair.accepted)
        while pair.now < end + .seconds(3) {
            if pair.now >= next, pair.now < end {
                next = next + .milliseconds(20)
                let opened = pair.client.openStream(handle, deadline: nil, at: pair.now)
                let stream = try #require(opened)
                begun[stream] = pair.now
                _ = pair.client.write(handle, stream, [UInt8](repeating: 1, count: bytes)[...], fin: true, at: pair.now)
            }
            pair.run(for: .milliseconds(1))
            for event in pair.serverEvents {
                guard case .streamReadable(_, let stream) = event else { if case .streamOpened(_, let stream, _) = event { answer(stream) }; continue }
                answer(stream)
            }
            pair.serverEvents = []
            for event in pair.clientEvents {
                guard case .streamReadable(_, let stream) = event, pair.client.read(handle, stream, into: &sink, at: pair.now) == .finished else { continue }
                if let start = begun.removeValue(forKey: stream) { outcome.times.append(pair.now - start) }
            }
            pair.clientEvents = []
        }
        func answer(_ stream: StreamID) {
            guard pair.server.read(server, stream, into: &sink, at: pair.now) == .finished else { return }
            _ = pair.server.write(server, stream, [2][...], fin: true, at: pair.now)
        }
        outcome.times.sort()
        outcome.statistics = pair.client.statistics(handle)
        outcome.server = pair.server.statistics(server)
        outcome.bytes = Int(outcome.statistics?.bytesSent ?? 0)
        try #require(outcome.times.count == count)
        return outcome
    }

    /// Without copies a lost call waits for a probe or three later packets: 100 ms and more.
    @Test func aCallIsHeardDespiteLosses() throws {
        let outcome = try calls(1_500, loss: .independent(Probability(0.02)))
        #expect(outcome.quantile(0.99) < .milliseconds(72), "\(outcome.quantile(0.99))")
        #expect(outcome.statistics.map { $0.repairs > 500 && $0.packetsLost > 10 } == true, "the losses are still seen")
    }

    @Test func burstsAreStoodAside() throws {
        let bursts = try #require(GilbertElliott(share: Probability(0.02), meanBurst: .milliseconds(10)).map { LossModel.gilbertElliott($0) })
        let outcome = try calls(1_500, loss: bursts)
        #expect(outcome.quantile(0.98) < .milliseconds(90), "\(outcome.quantile(0.98))")
    }

    @Test func whereNothingIsLostNothingGoesTwice() throws {
        let outcome = try calls(500, loss: .none)
        #expect(outcome.statistics?.repairs == 0 && outcome.server?.repairs == 0)
    }

    /// A copy that was not needed costs its bytes and nothing else: no loss, no packet less acknowledged, each call handed over once.
    @Test func theBytesAreBounded() throws {
        let outcome = try calls(1_500, loss: .independent(Probability(0.02)), bytes: 1_000)
        let alone = try calls(1_500, loss: .none, bytes: 1_000)
        #expect(Double(outcome.bytes) < Double(alone.bytes) * 2.2)
        #expect(outcome.statistics.map { $0.spuriousLosses < 5 } == true)
    }
}

@Suite struct LossHistoryTests {
    private func history(_ count: Int, losing: (Int) -> Bool) -> LossHistory {
        var history = LossHistory()
        for number in 0..<count {
            if losing(number) {
                history.onLoss(UInt64(number), sentAt: .zero + .milliseconds(Int64(number)))
            } else {
                history.onArrival()
            }
        }
        return history
    }

    @Test(arguments: [(400, 2, false), (399, 2, true), (400, 3, true), (49, 5, false), (50, 2, true), (150, 1, false)])
    func moreThanHalfAPerCentIsFragile(count: Int, lost: Int, isFragile: Bool) {
        #expect(history(count) { $0 % 7 == 3 && $0 / 7 < lost }.isFragile == isFragile)
    }

    @Test func itIsForgotten() {
        var history = history(100) { $0 < 50 }
        #expect(history.isFragile)
        for _ in 0..<20_000 { history.onArrival() }
        #expect(!history.isFragile)
    }

    /// Four packets in a row, a millisecond apart, or with one between them that arrived.
    @Test(arguments: [1, 2]) func burstsHaveALength(step: Int) {
        let history = history(40_000) { $0 % 100 < 4 * step && $0 % step == 0 }
        let expected = Interval.milliseconds(Int64(3 * step))
        #expect(history.burst <= expected && history.burst >= expected - .microseconds(10), "\(history.burst)")
    }
}

@Suite struct RepairBudgetTests {
    @Test func aTenthOfTheRateOrFiveInAHundredOfTheBytes() {
        var budget = RepairBudget()
        var spent = 0
        // 100 kB a second for 60 s, of which little is sent otherwise: 10 kB a second, and what a first second is worth.
        for millisecond in 0..<60_000 as Range<Int64> where budget.take(100, rate: 100_000, at: .zero + .milliseconds(millisecond)) { spent += 100 }
        #expect((590_000...620_000).contains(spent))
        var ofBytes = RepairBudget()
        for _ in 0..<100 { ofBytes.onSent(bytes: 1_000) }
        var count = 0
        while ofBytes.take(100, rate: 0, at: .zero), count < 1_000 { count += 1 }
        #expect(count == 50)
    }

    @Test func whatIsNotUsedInTenSecondsIsGone() {
        var budget = RepairBudget()
        let first = budget.take(1, rate: 1_000, at: .zero)
        let late = Instant.zero + .seconds(3_600)
        let most = budget.take(1_000, rate: 1_000, at: late)
        let more = budget.take(1, rate: 1_000, at: late)
        #expect(first && most && !more)
    }
}
