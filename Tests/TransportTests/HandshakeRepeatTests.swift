import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// When a first message is sent again that nobody answered.
@Suite struct HandshakeRepeatTests {
    @Test func eachWaitIsLongerUpToASecond() {
        let pair = Pair()
        var sent: [Int64] = []
        pair.filter = { [unowned pair] side, _ in
            if side == .client { sent.append(pair.now.sinceStart.milliseconds) }
            return false
        }
        _ = pair.connect()
        pair.run(for: .seconds(20))
        #expect(sent.prefix(7) == [0, 100, 250, 450, 700, 1_000, 1_350])
        #expect(zip(sent, sent.dropFirst()).allSatisfy { $1 - $0 <= 1_000 })
        #expect(sent.last.map { (9_000...10_000).contains($0) } == true, "ten seconds in all: \(sent)")
    }

    /// 30 in 100 lost each way: 95 in 100 connections stand within 0.9 s.
    @Test func aLossyLinkIsConnectedOverSoon() {
        let lossy = LinkProfile(delay: .milliseconds(25), radioLoss: .independent(Probability(0.3)))
        var times: [Interval] = []
        for seed in 1...400 as ClosedRange<UInt64> {
            let pair = Pair(seed: seed, scenario: LinkScenario(up: lossy, down: lossy, seed: seed))
            let handle = pair.connect()
            pair.run(for: .seconds(10)) { $0.client.isEstablished(handle) }
            times.append(pair.now.sinceStart)
        }
        times.sort()
        #expect(times[380] < .milliseconds(900), "p95 of 400: \(times[380])")
    }

    /// The answer to the first of several came, or may have.
    @Test(arguments: [40, 160, 300, 430] as [Int64]) func aLongPathsRoundTripIsKnownFromTheStart(milliseconds: Int64) throws {
        let link = LinkProfile(delay: .milliseconds(milliseconds / 2))
        let pair = Pair(scenario: LinkScenario(up: link, down: link, seed: 1))
        let handle = pair.connect()
        pair.run(for: .seconds(3)) { $0.accepted != nil }
        let client = pair.client.statistics(handle)?.smoothedRTT
        #expect(client == .milliseconds(milliseconds))
        let server = try #require(pair.accepted)
        #expect(pair.server.statistics(server)?.smoothedRTT == .milliseconds(milliseconds))
    }
}
