import Foundation
import MastLinkModel
import MastTimebase
import Testing

/// Delays that change, and outages that come by chance.
@Suite struct DelayTests {
    /// A packet each 10 ms; when each arrived, in ms, -1 for one that was lost.
    private func arrivals(_ profile: LinkProfile, count: Int = 100, seed: UInt64 = 1, direction: LinkDirection = .down) -> [Double] {
        var link = Link(profile, seed: seed, direction: direction)
        var outcomes: [LinkOutcome] = []
        for number in 0..<count {
            let at = Instant.zero + .milliseconds(10) * Int64(number)
            while let next = link.nextEventTime, next <= at { link.advance(to: next, &outcomes) }
            link.offer(LinkPacket(id: UInt64(number), bytes: 100), at: at)
        }
        while let next = link.nextEventTime { link.advance(to: next, &outcomes) }
        var times = Array(repeating: -1.0, count: count)
        for outcome in outcomes where outcome.isDelivered { times[Int(outcome.id)] = outcome.at.sinceStart.inMilliseconds }
        return times
    }

    @Test func aSeriesDelaysByTheValueOfItsStepAndBeginsAgain() {
        var profile = LinkProfile(delay: .milliseconds(5))
        profile.delaySeries = DelaySeries(step: .milliseconds(20), values: [.milliseconds(10), .milliseconds(40)])
        #expect(arrivals(profile, count: 6) == [15, 25, 65, 75, 75, 75])
        // The fifth and sixth left at 40 and 50 ms with 15 ms to go, but nobody overtakes.
    }

    @Test func aSpreadDrawsBetweenItsQuantiles() throws {
        var profile = LinkProfile()
        let spread = try #require(IntervalDistribution(text: "10ms/20ms/60ms"))
        profile.delaySpread = spread
        var chance = SeededGenerator(seed: 3)
        let draws = (0..<20_000).map { _ in spread.sample(&chance).inMilliseconds }.sorted()
        #expect(draws[0] >= 10 && draws[19_999] <= 60)
        #expect(abs(draws[5_000] - 15) < 0.5 && abs(draws[10_000] - 20) < 0.7 && abs(draws[15_000] - 40) < 1)
        let times = arrivals(profile)
        #expect(zip(times, times.dropFirst()).allSatisfy { $0 <= $1 })
        #expect(times != arrivals(profile, seed: 2) && times == arrivals(profile))
    }

    @Test func randomOutagesComeAsOftenAndLastAsLongAsAsked() throws {
        let outages = try #require(RandomOutages(text: "drop:10s~1s/3s"))
        var profile = LinkProfile()
        profile.randomOutages = [outages]
        // An hour of a packet each 10 ms.
        let times = arrivals(profile, count: 360_000)
        var runs: [Int] = []
        var run = 0
        for time in times {
            if time < 0 { run += 1 } else if run > 0 { runs.append(run); run = 0 }
        }
        // Ten seconds from end to beginning, two of outage: three hundred in an hour.
        #expect((255...345).contains(runs.count), "\(runs.count) outages")
        #expect(runs.allSatisfy { (99...301).contains($0) })
        let mean = Double(runs.reduce(0, +)) / Double(runs.count)
        #expect((185...215).contains(mean), "\(mean) packets an outage")
    }

    @Test func bothDirectionsAreOutTogetherAndEverySeedDiffers() throws {
        var profile = LinkProfile()
        profile.randomOutages = [try #require(RandomOutages(text: "drop:5s~500ms"))]
        let down = arrivals(profile, count: 6_000)
        #expect(down == arrivals(profile, count: 6_000, direction: .up))
        #expect(down != arrivals(profile, count: 6_000, seed: 2))
    }

    @Test func delayFilesHoldALineOfMillisecondsForEachStep() throws {
        let series = try DelaySeries(milliseconds: Array("20\r\n21.5\n\n7\n".utf8))
        #expect(series.step == .milliseconds(10))
        #expect(series.values == [.milliseconds(20), .microseconds(21_500), .milliseconds(7)])
        for (text, line) in [("20\nx\n", 2), ("-1\n", 1), ("1\n2\n99999999999\n", 3)] {
            #expect(throws: RateSeriesError(line: line, text: "expected a delay in milliseconds")) {
                try DelaySeries(milliseconds: Array(text.utf8))
            }
        }
        #expect(throws: RateSeriesError(line: nil, text: "no line with a delay")) { try DelaySeries(milliseconds: []) }
    }

    @Test func aRebindingIsAChangeThatLosesNothing() throws {
        var profile = LinkProfile(delay: .milliseconds(5))
        profile.changes = [try #require(LinkChange(text: "50ms:rebind=address")), try #require(LinkChange(text: "20ms:rebind=port"))]
        #expect(arrivals(profile, count: 10).allSatisfy { $0 > 0 })
        let scenario = LinkScenario(up: profile)
        #expect(scenario.rebindings.map(\.what) == [.port, .address] && scenario.rebindings.map(\.at) == [.milliseconds(20), .milliseconds(50)])
        #expect(profile.changes.map(\.description) == ["50ms:rebind=address", "20ms:rebind=port"])
        #expect(LinkChange(text: "1s:rebind=host") == nil)
    }

    @Test func theyComeBackFromTheirJSON() throws {
        let text = #"{"down": {"delays": {"step": "15s", "ms": [20, 7.5]}, "delaySpread": "0ms/2ms", "randomOutages": ["air:30s~20ms/62ms"]}}"#
        let scenario = try JSONDecoder().decode(LinkScenario.self, from: Data(text.utf8))
        #expect(scenario.down.delaySeries?.values == [.milliseconds(20), .microseconds(7_500)])
        #expect(scenario.down.randomOutages.map(\.mode) == [.air])
        #expect(try JSONDecoder().decode(LinkScenario.self, from: JSONEncoder().encode(scenario)) == scenario)
        for wrong in [#"{"down": {"delays": {"ms": []}}}"#, #"{"down": {"delays": {"ms": [-1]}}}"#, #"{"down": {"delays": {"file": "x"}}}"#,
            #"{"up": {"delaySpread": "3ms/1ms"}}"#, #"{"up": {"randomOutages": ["hold:1us~1ms"]}}"#, #"{"up": {"randomOutages": ["30s"]}}"#] {
            #expect(throws: DecodingError.self, "\(wrong)") { try JSONDecoder().decode(LinkScenario.self, from: Data(wrong.utf8)) }
        }
    }
}
