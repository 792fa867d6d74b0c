import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// What is said of an outage is what the packets prove: its direction by timestamps and numbering, and nothing where an end
/// paused, died, or set its clock.
@Suite struct OutageProofTests {
    private static let ends: [RecordedWorld.End] = [.client, .server]

    private func scenario(up: [Outage] = [], down: [Outage] = []) -> LinkScenario {
        func profile(_ outages: [Outage]) -> LinkProfile {
            LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), outages: outages)
        }
        return LinkScenario(up: profile(up), down: profile(down), seed: 3)
    }

    private func outage(_ mode: Outage.Mode, _ from: Int64, for length: Int64) -> Outage {
        Outage(start: .milliseconds(from), duration: .milliseconds(length), mode: mode)
    }

    private func real(_ outages: [LinkFit.Outage]) -> [LinkFit.Outage] { outages.filter { $0.kind != .senderIdle } }

    private func expect(
        _ fit: LinkFit, _ kinds: [(FlowDirection, LinkFit.Outage.Kind)], from start: Double, to end: Double, _ location: SourceLocation = #_sourceLocation
    ) {
        let found = real(fit.outages)
        #expect(found.count == kinds.count, "\(found)", sourceLocation: location)
        for (direction, kind) in kinds {
            let outage = found.first { $0.direction == direction && $0.kind == kind }
            #expect(outage != nil, "\(found)", sourceLocation: location)
            guard let outage else { continue }
            let shift = fit.window.start.sinceStart.inSeconds
            let (from, to) = (outage.start.inSeconds + shift, (outage.start + outage.length).inSeconds + shift)
            #expect(abs(from - start) <= max(0.03, outage.startUncertainty.inSeconds), "\(outage)", sourceLocation: location)
            #expect(abs(to - end) <= max(0.03, outage.endUncertainty.inSeconds), "\(outage)", sourceLocation: location)
        }
    }

    @Test("acknowledgements that were made early and came late waited on their own way", arguments: ends)
    func acknowledgementsThatWaited(_ end: RecordedWorld.End) throws {
        let link = scenario(up: [outage(.hold, 5_000, for: 700)])
        expect(try LinkFit(RecordedWorld.repairedDownload(link, until: .zero + .seconds(10), recordedAt: end).timeline), [(.up, .hold)], from: 5, to: 5.7)
    }

    @Test("data that was sent early and came late waited on its way", arguments: ends)
    func dataThatWaited(_ end: RecordedWorld.End) throws {
        let link = scenario(down: [outage(.hold, 5_000, for: 700)])
        expect(try LinkFit(RecordedWorld.repairedDownload(link, until: .zero + .seconds(10), recordedAt: end).timeline), [(.down, .hold)], from: 5, to: 5.7)
    }

    @Test("a hold that begins while losses are repaired is found")
    func aHoldInsideARecovery() throws {
        let link = scenario(down: [outage(.drop, 4_960, for: 8), outage(.hold, 5_080, for: 600)])
        let fit = try LinkFit(RecordedWorld.repairedDownload(link, until: .zero + .seconds(10), recordedAt: .server).timeline)
        expect(fit, [(.down, .hold)], from: 5.08, to: 5.68)
    }

    @Test("where packets carry no timestamps the direction of a hold is not said, and behind the link not even that it was one")
    func withoutTimestampsNoDirection() throws {
        let link = scenario(down: [outage(.hold, 4_000, for: 400)])
        func fitted(_ end: RecordedWorld.End) throws -> LinkFit {
            try LinkFit(RecordedWorld.download(link, window: 60, until: .zero + .seconds(8), recordedAt: end, isStamped: false).timeline)
        }
        // The sender may have paused there.
        #expect(real(try fitted(.client).outages).isEmpty)
        let fit = try fitted(.server)
        let found = real(fit.outages)
        #expect(found.map(\.kind) == [.hold] && found.allSatisfy { $0.direction == nil && $0.directionReason != nil }, "\(found)")
        #expect(fit.report.outages.first { $0.kind == "hold" }.map { $0.direction == nil } == true)
        // It is replayed as it may have been: in both.
        let replayed = fit.scenario(name: "x", seed: 1)
        #expect(replayed.up.outages.count == 1 && replayed.down.outages.count == 1)
    }

    @Test("an end that answers no more fell silent, and that is no outage")
    func anEndThatDied() throws {
        let dead = [outage(.drop, 6_000, for: 100_000)]
        let fit = try LinkFit(RecordedWorld.repairedDownload(scenario(up: dead, down: dead), until: .zero + .seconds(12), recordedAt: .server).timeline)
        #expect(real(fit.outages).isEmpty, "\(fit.outages)")
        let end = try #require(fit.silentEnds.first)
        #expect(fit.silentEnds.count == 1 && end.end.ipv4 == RecordedWorld.client && end.unanswered >= 3)
        #expect(abs(end.at.sinceStart.inSeconds - 6) < 0.1)
        #expect(fit.renderText().contains("fell silent at 6.0"))
        let alive = try LinkFit(RecordedWorld.repairedDownload(scenario(), until: .zero + .seconds(8), recordedAt: .server).timeline)
        #expect(alive.silentEnds.isEmpty)
    }

    @Test("a policer that drops the most part of a burst is no outage: what was sent meanwhile came through", arguments: [1, 2, 5] as [Int64], [60, 120, 240])
    func aPolicer(_ megabits: Int64, _ window: Int) throws {
        var down = LinkProfile(service: .tokenBucket(.megabitsPerSecond(megabits), burstBytes: 60_000), delay: .milliseconds(20))
        down.queue = try #require(QueueDiscipline(text: "droptail:2p"))
        let up = LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(20))
        let world = RecordedWorld.repairedDownload(LinkScenario(up: up, down: down, seed: 3), window: window, until: .zero + .seconds(10), recordedAt: .server)
        let fit = try LinkFit(world.timeline)
        #expect(fit.outages.filter { $0.kind == .drop }.isEmpty, "\(fit.outages)")
    }

    @Test("a host that comes back with a RST was gone, not cut off")
    func aHostThatComesBackWithARST() throws {
        var world = RecordedWorld.download(scenario(), window: 60, until: .zero + .seconds(6), recordedAt: .client)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 9, acknowledgement: 0, flags: 4), at: .zero + .seconds(9), identification: 7)
        #expect(real(try LinkFit(world.timeline).outages).isEmpty)
    }

    @Test("a clock that is set is no outage, forwards or backwards", arguments: [800, -800])
    func aClockThatIsSet(_ step: Int64) throws {
        for end in Self.ends {
            var world = RecordedWorld.download(scenario(), window: 60, until: .zero + .seconds(8), recordedAt: end)
            world.change { packet in
                var packet = packet
                if packet.time >= .zero + .seconds(4) { packet.time += .milliseconds(step) }
                return packet
            }
            var survey = LinkSurvey()
            var table = FlowTable()
            for packet in world.packets { if let seen = table.observe(packet) { survey.add(packet, seen, table) } }
            let fit = try survey.finish(table)
            #expect(fit.outages.isEmpty, "\(end): \(fit.outages)")
            #expect(abs(fit.down.capacity.inMegabitsPerSecond - 10) < 0.2)
        }
    }
}

/// Figures that are bounds say so, and those that nothing shows are not there.
@Suite struct BoundTests {
    private func scenario(down: LinkService) -> LinkScenario {
        LinkScenario(
            up: LinkProfile(service: .constant(.megabitsPerSecond(5)), delay: .milliseconds(25)),
            down: LinkProfile(service: down, delay: .milliseconds(25)), seed: 3)
    }

    @Test("a base round trip holds no time to send the packets, be there a handshake or not")
    func theTimeToSendIsSubtractedOnce() throws {
        var world = RecordedWorld.download(scenario(down: .constant(.megabitsPerSecond(2))), window: 60, until: .zero + .seconds(8), recordedAt: .server)
        var number = 0
        world.change { packet in
            number += 1
            return number > 3 ? packet : nil
        }
        // A full packet takes 6 ms.
        let fit = try LinkFit(world.timeline)
        #expect(abs(fit.baseRTT.inMilliseconds - 50) < 0.5 && fit.isBaseRTTBound, "\(fit.baseRTT): \(fit.baseRTTBasis)")
    }

    @Test("on a link whose rate varies the base round trip is a bound, never below the path")
    func onAVaryingLinkItIsABound() throws {
        var chance = SeededGenerator(seed: 12)
        let rates = (0..<40).map { _ in Rate.megabitsPerSecond(1 + Int64(chance.next(below: 9))) }
        let world = RecordedWorld.download(
            scenario(down: .trace(try DeliveryTrace(rates: rates, step: .milliseconds(500)))), window: 200, until: .zero + .seconds(19), recordedAt: .server)
        let fit = try LinkFit(world.timeline)
        #expect(fit.isBaseRTTBound && fit.baseRTT >= .milliseconds(50), "\(fit.baseRTT)")
        let mean = rates.map(\.inMegabitsPerSecond).reduce(0, +) / Double(rates.count)
        #expect(fit.down.capacity.inMegabitsPerSecond < mean * 1.5, "\(fit.down.capacityBasis)")
    }

    @Test("a round trip that nothing shows is not stated")
    func anAssumedRoundTripIsNoFigure() throws {
        let world = RecordedWorld.media(scenario(down: .constant(.megabitsPerSecond(10))), until: .zero + .seconds(8), recordedAt: .client)
        let fit = try LinkFit(world.timeline)
        #expect(fit.isBaseRTTAssumed && fit.report.baseRttMs == nil && fit.report.assumedRttMs == 50)
        #expect(fit.renderText().contains("base RTT  unknown"))
    }

    @Test("a datagram handshake says how long the path is at most")
    func aDatagramHandshakeIsABound() throws {
        let world = RecordedWorld.download(
            scenario(down: .constant(.megabitsPerSecond(10))), window: 60, until: .zero + .seconds(6), recordedAt: .client, payload: 1_200, asDatagrams: true)
        let fit = try LinkFit(world.timeline)
        #expect(fit.isBaseRTTBound && (50.0...53.0).contains(fit.baseRTT.inMilliseconds), "\(fit.baseRTT)")
    }

    @Test("goodness compares what left the link with what the fitted one lets through of what entered")
    func goodnessComparesEntryWithExit() throws {
        let link = scenario(down: .constant(.megabitsPerSecond(10)))
        let sender = try LinkFit(RecordedWorld.download(link, window: 60, until: .zero + .seconds(8), recordedAt: .server).timeline)
        let goodness = FitGoodness(sender, .down)
        #expect(try #require(goodness.distance) < 0.1 && goodness.reason == nil)
        // A fit that is wrong shows.
        var half = sender
        half.down.rates = [.megabitsPerSecond(5)]
        #expect(try #require(FitGoodness(half, .down).distance) > 0.5)
    }

    @Test("where nothing can be compared goodness says why instead of 0.000")
    func goodnessOfNothingIsNone() throws {
        let link = scenario(down: .constant(.megabitsPerSecond(10)))
        let media = try LinkFit(RecordedWorld.media(link, until: .zero + .seconds(8), recordedAt: .client).timeline)
        for direction in FlowDirection.allCases {
            let goodness = FitGoodness(media, direction)
            #expect(goodness.distance == nil && goodness.reason != nil && !goodness.description.contains("0.000"))
        }
    }

    @Test("a window is no longer than what was recorded in it")
    func aWindowEndsWithItsContent() throws {
        let timeline = RecordedWorld.download(scenario(down: .constant(.megabitsPerSecond(10))), window: 60, until: .zero + .seconds(8), recordedAt: .client).timeline
        let window = try timeline.window(from: .zero + .seconds(2), length: .seconds(100))
        #expect(window.start >= .zero + .seconds(2) && window.start + window.length <= .zero + .seconds(8))
        let fit = try LinkFit(timeline, window: window)
        #expect(abs(fit.down.capacity.inMegabitsPerSecond - 10) < 0.2 && fit.down.rates.count <= 61)
    }
}
