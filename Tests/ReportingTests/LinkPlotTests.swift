import MastLinkModel
import MastReporting
import MastTimebase
import Testing

/// What is drawn of a link that somebody describes.
@Suite struct LinkPlotTests {
    private let outage = Outage(start: .seconds(4), duration: .seconds(2), mode: .hold)

    private func plot(_ service: LinkService, _ outages: [Outage] = [], changes: [LinkChange] = []) -> LinkPlot {
        var profile = LinkProfile(service: service, delay: .milliseconds(20), queue: .dropTail(QueueLimit(bytes: 15_000)), outages: outages)
        profile.changes = changes
        return LinkPlot(profile, name: "a link", direction: .down, seed: 1)
    }

    /// Mean of what is drawn between two times.
    private func mean(_ plot: LinkPlot, _ from: Double, _ to: Double) -> Double {
        let bins = plot.capacityMbps.indices.filter { Double($0) * plot.binS >= from && Double($0 + 1) * plot.binS <= to }
        return bins.reduce(0) { $0 + plot.capacityMbps[$1] } / Double(max(1, bins.count))
    }

    @Test func anOutageShowsAndNothingIsCarriedInIt() throws {
        let plot = plot(.constant(.megabitsPerSecond(6)), [outage])
        #expect(plot.outages.map(\.startS) == [4] && plot.outages.map(\.endS) == [6])
        #expect(abs(mean(plot, 0, 3.9) - 6) < 0.01 && mean(plot, 4.1, 5.9) == 0 && abs(mean(plot, 6.1, 9) - 6) < 0.01)
        let text = plot.text(width: 100)
        #expect(text.contains("a link, down (network to client)") && text.contains("outage: hold from 4.000 s for 2.000 s") && text.contains("×"))
        #expect(plot.svg.contains("class=\"outage\"") && plot.svg.contains("down (network to client)"))
    }

    @Test func everyServiceHasItsCapacity() throws {
        let trace = try DeliveryTrace(mahimahi: Array((1...4_000).map { "\($0)\n" }.joined().utf8))
        let series = try #require(RateSeries(steps: [.init(at: .zero, rate: .megabitsPerSecond(4)), .init(at: .seconds(2), rate: .megabitsPerSecond(20))], period: .seconds(4)))
        for (service, expected) in [(LinkService.constant(.megabitsPerSecond(12)), 12.0), (.trace(trace), 12), (.series(series), 12), (.tokenBucket(.megabitsPerSecond(12), burstBytes: 3_000), 12)] {
            let plot = plot(service)
            #expect(abs(plot.capacityMbps.reduce(0, +) / Double(plot.capacityMbps.count) - expected) < 0.1, "\(service)")
        }
        #expect(abs(mean(plot(.series(series)), 0, 1.9) - 4) < 0.01 && abs(mean(plot(.series(series)), 2.1, 4) - 20) < 0.01)
        #expect(plot(.trace(trace)).capacityMbps.allSatisfy { abs($0 - 12) < 0.01 })
        #expect(plot(.unlimited).capacityMbps.isEmpty && plot(.unlimited).text(width: 100).contains("no limit"))
    }

    @Test func aRateThatChangesIsDrawnFromThenOn() {
        let plot = plot(.constant(.megabitsPerSecond(6)), changes: [LinkChange(at: .seconds(5), .rate(.megabitsPerSecond(2))), LinkChange(at: .seconds(8), .rate(.megabitsPerSecond(1)))])
        #expect(abs(mean(plot, 0, 4.9) - 6) < 0.01 && abs(mean(plot, 5.1, 7.9) - 2) < 0.01 && abs(mean(plot, 8.1, 10) - 1) < 0.01)
    }

    @Test func delaysOverTimeAreDrawn() throws {
        let delays = try #require(DelaySeries(step: .milliseconds(10), values: (0..<1_000).map { .milliseconds($0 < 500 ? 20 : 60) }))
        let plot = LinkPlot(delays, name: "delays", direction: nil)
        #expect(plot.durationS == 10 && plot.delayMs.first == 20 && plot.delayMs.last == 60)
        #expect(plot.svg.contains("ms of delay") && plot.text(width: 100).contains("up to 60.0 ms"))
    }

    @Test func anOutageThatNothingEndsAndRandomOnesHaveTheirBounds() {
        let dead = plot(.constant(.megabitsPerSecond(6)), [Outage(start: .seconds(5), duration: .seconds(1_000_000_000), mode: .air)])
        #expect(dead.durationS < 200 && mean(dead, 6, dead.durationS) == 0)
        var profile = LinkProfile(service: .constant(.megabitsPerSecond(1)))
        profile.randomOutages = RandomOutages(text: "drop:30s~1s").map { [$0] } ?? []
        let random = LinkPlot(profile, name: "random", direction: .up, seed: 7)
        #expect((3...30).contains(random.outages.count))
    }
}
