import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

@Suite struct LinkFitTests {
    private func scenario(
        up: Int64 = 5, down: LinkService = .constant(.megabitsPerSecond(10)), delay: Interval = .milliseconds(25),
        loss: LossModel = .none, outages: [Outage] = []
    ) -> LinkScenario {
        LinkScenario(
            up: LinkProfile(service: .constant(.megabitsPerSecond(up)), delay: delay, radioLoss: loss, outages: outages),
            down: LinkProfile(service: down, delay: delay, radioLoss: loss, outages: outages), seed: 3)
    }

    private func real(_ outages: [LinkFit.Outage]) -> [LinkFit.Outage] { outages.filter { $0.kind != .senderIdle } }

    @Test(arguments: [RecordedWorld.End.client, .server])
    func aConstantLinkIsFoundFromEitherEnd(_ end: RecordedWorld.End) throws {
        let world = RecordedWorld.download(scenario(), window: 60, until: Instant(nanoseconds: 8_000_000_000), recordedAt: end)
        let fit = try LinkFit(world.timeline)
        #expect(fit.vantage == (end == .client ? .client : .server))
        let down = (isLowerBound: fit.down.isLowerBound, basis: fit.down.capacityBasis)
        #expect(!down.isLowerBound, "\(down.basis)")
        #expect((9.8...10.2).contains(fit.down.capacity.inMegabitsPerSecond))
        #expect((49.0...51.0).contains(fit.baseRTT.inMilliseconds) && !fit.isBaseRTTAssumed)
        #expect(fit.outages.isEmpty)
        #expect(fit.down.loss == 0)
    }

    @Test(arguments: [RecordedWorld.End.client, .server])
    func aHoldIsFoundWhereItWas(_ end: RecordedWorld.End) throws {
        let hold = Outage(start: .seconds(4), duration: .milliseconds(400), mode: .hold)
        var link = scenario()
        link.down.outages = [hold]
        let world = RecordedWorld.download(link, window: 60, until: Instant(nanoseconds: 8_000_000_000), recordedAt: end)
        let fit = try LinkFit(world.timeline)
        let found = try #require(real(fit.outages).first)
        #expect(real(fit.outages).count == 1)
        #expect(found.kind == .hold && found.direction == .down)
        // A capture at the server begins when the first packet got there.
        let origin = end == .client ? 0.0 : 0.025
        #expect(abs(found.start.inSeconds + origin - 4) < 0.02)
        #expect(abs(found.length.inSeconds - 0.4) < 0.02)
        #expect((9.8...10.2).contains(fit.down.capacity.inMegabitsPerSecond))
    }

    @Test func anOpaqueDatagramTransferShowsItsLinkAsWell() throws {
        var link = scenario(down: .constant(.megabitsPerSecond(12)))
        link.down.outages = [Outage(start: .seconds(3), duration: .milliseconds(350), mode: .hold)]
        let world = RecordedWorld.download(
            link, window: 80, until: Instant(nanoseconds: 6_000_000_000), recordedAt: .client, payload: 1_200, asDatagrams: true)
        let fit = try LinkFit(world.timeline)
        #expect(fit.vantage == .client)
        #expect((49.0...52.0).contains(fit.baseRTT.inMilliseconds))
        #expect((11.8...12.2).contains(fit.down.capacity.inMegabitsPerSecond))
        // The sender may as well have paused: one flow of datagrams that nobody numbers does not tell.
        #expect(real(fit.outages).isEmpty)
    }

    @Test func whatStandsInTheQueueIsMeasuredByItsDelay() throws {
        // 200 full packets under way, of which the path holds 50 ms at 10 Mbit/s.
        let world = RecordedWorld.download(scenario(), window: 200, until: Instant(nanoseconds: 8_000_000_000), recordedAt: .server)
        let queued = 200 * 1_500 - 62_500
        let fit = try LinkFit(world.timeline)
        #expect(abs(fit.down.queueBytes - queued) < queued / 20, "\(fit.down.queueBytes)")
    }

    @Test func whereTheSenderWasTheLimitAReplayIsNotHeldBack() throws {
        let world = RecordedWorld.media(scenario(), until: Instant(nanoseconds: 8_000_000_000), recordedAt: .client)
        let fit = try LinkFit(world.timeline)
        #expect(fit.down.isLowerBound)
        #expect(fit.down.capacity < LinkFit.assumedFloor)
        #expect(fit.scenario(name: "media", seed: 1).down.service == .constant(LinkFit.assumedFloor))
        var quick = fit.down
        quick.capacity = .megabitsPerSecond(3)
        #expect(quick.assumedRates == [.megabitsPerSecond(12)])
    }

    @Test(arguments: [1, 3, 7, 10, 13])
    func aConstantRateIsATraceThatMMLinkReads(_ megabits: Int64) throws {
        let world = RecordedWorld.download(
            scenario(down: .constant(.megabitsPerSecond(megabits))), window: 60, until: Instant(nanoseconds: 8_000_000_000), recordedAt: .client)
        let fit = try LinkFit(world.timeline)
        for direction in FlowDirection.allCases {
            let trace = try #require(fit.trace(direction))
            #expect(trace.mahimahiText != nil)
            let rate = try #require(fit[direction].assumedRates.first)
            #expect(abs(trace.meanRate.inMegabitsPerSecond / rate.inMegabitsPerSecond - 1) < 0.01)
        }
    }

    @Test func ofALongCaptureTheDensestMinuteIsKept() throws {
        // 340,000 packets in 340 s, one each millisecond; from 100 s on, for 50 s, they are ten times as large.
        var world = RecordedWorld()
        var timeline = Timeline()
        for number in 0..<340_000 {
            world.datagram(up: false, bytes: (100_000..<150_000).contains(number) ? 1_000 : 60, at: .zero + .milliseconds(Int64(number)))
            if let packet = world.takeLast() { timeline.add(packet) }
        }
        timeline.finish()
        #expect(timeline.isReduced && !timeline.isCutShort)
        #expect(timeline.events.count <= Timeline.mostOfWindow)
        let window = try timeline.densestWindow()
        #expect(window.start.sinceStart <= .seconds(100) && window.start.sinceStart + window.length >= .milliseconds(149_999))
        #expect(window.length <= .seconds(60))
        #expect(timeline.flows[0].down.packets == 340_000)
    }

    @Test func aVariableLinkIsFollowed() throws {
        // A walk between 2 and 20 Mbit/s, a step every 500 ms.
        var chance = SeededGenerator(seed: 12)
        var level: Int64 = 8
        let rates = (0..<60).map { _ -> Rate in
            level = min(20, max(2, level + Int64(chance.next(below: 9)) - 4))
            return .megabitsPerSecond(level)
        }
        let trace = try DeliveryTrace(rates: rates, step: .milliseconds(500))
        let world = RecordedWorld.download(
            scenario(down: .trace(trace)), window: 200, until: Instant(nanoseconds: 29_000_000_000), recordedAt: .client)
        let fit = try LinkFit(world.timeline)
        let down = (isLowerBound: fit.down.isLowerBound, basis: fit.down.capacityBasis)
        #expect(!down.isLowerBound, "\(down.basis)")
        var close = 0
        for index in 20..<280 {
            // Seen 25 ms after the link: compare inside the steps.
            let truth = rates[(index * 100 - 25) / 500].inMegabitsPerSecond
            if abs(fit.down.rates[index].inMegabitsPerSecond - truth) <= truth * 0.15 { close += 1 }
        }
        #expect(close >= 200, "\(close) of 260 steps within 15 %")
        guard case .trace(let fitted) = fit.scenario(name: "walk", seed: 1).down.service else { Issue.record("no trace"); return }
        #expect(abs(fitted.meanRate.inMegabitsPerSecond - trace.meanRate.inMegabitsPerSecond) < trace.meanRate.inMegabitsPerSecond * 0.05)
    }

    @Test func aSenderThatStoppedIsNoOutage() throws {
        let pause = { (time: Instant) in (Int64(3_000)..<4_500).contains(time.sinceStart.milliseconds) }
        let world = RecordedWorld.media(scenario(), until: Instant(nanoseconds: 8_000_000_000), recordedAt: .client, isPaused: pause)
        #expect(real(try LinkFit(world.timeline).outages).isEmpty)
    }

    @Test func aBlackoutOfMediaIsADropWithItsEdges() throws {
        let outage = Outage(start: .milliseconds(3_010), duration: .milliseconds(2_500), mode: .drop)
        let world = RecordedWorld.media(scenario(outages: [outage]), until: Instant(nanoseconds: 9_000_000_000), recordedAt: .client)
        let fit = try LinkFit(world.timeline)
        let found = try #require(real(fit.outages).first)
        #expect(real(fit.outages).count == 1 && found.kind == .drop && found.direction == .down)
        #expect(abs(found.length.inSeconds - 2.5) <= 0.041)
        #expect(fit.down.loss == 0, "what the outage took is not loss")
    }

    @Test func aHoldOfMediaIsToldFromADrop() throws {
        let outage = Outage(start: .milliseconds(3_010), duration: .milliseconds(600), mode: .hold)
        let world = RecordedWorld.media(scenario(outages: [outage]), until: Instant(nanoseconds: 9_000_000_000), recordedAt: .client)
        let outages = real(try LinkFit(world.timeline).outages)
        #expect(outages.map(\.kind) == [.hold])
    }

    @Test func burstLossIsMeasuredAndIsNoOutage() throws {
        let model = try #require(GilbertElliott(share: Probability(0.04), meanBurstPackets: 3))
        let world = RecordedWorld.media(scenario(loss: .gilbertElliott(model)), until: Instant(nanoseconds: 60_000_000_000), recordedAt: .client)
        let fit = try LinkFit(world.timeline)
        let sent = world.packets.filter { $0.headers.ip?.source.ipv4 == RecordedWorld.server }.count
        #expect(real(fit.outages).isEmpty)
        #expect(fit.down.loss > 0.02 && fit.down.loss < 0.06 && sent > 2_500)
        #expect(fit.up.loss == 0 && fit.up.lossBasis.contains("before the link"))
        if case .gilbertElliott = fit.scenario(name: "x", seed: 1).down.radioLoss {} else { Issue.record("the burst length was lost") }
    }

    @Test func whatCannotBeFittedSaysWhy() {
        #expect(throws: FitFailure.noPackets) { try LinkFit(Timeline()) }
        var world = RecordedWorld()
        world.datagram(up: true, bytes: 10, at: .zero)
        #expect(throws: FitFailure.tooShort(packets: 1, length: .zero)) { try LinkFit(world.timeline) }
        #expect(FitFailure.tooShort(packets: 1, length: .zero).description.hasPrefix("too short to fit: 1 IP packet in"))
        #expect(throws: FitFailure.emptyWindow) {
            try world.timeline.window(from: Instant(nanoseconds: 1_000_000_000), length: .seconds(1))
        }
    }

    @Test func theWindowIsTheDensestMinuteAndNeverSpansALongPause() throws {
        var world = RecordedWorld()
        let year: Int64 = 31_557_600_000_000_000
        for index in 0..<20 { world.datagram(up: index % 2 == 0, bytes: 50, at: Instant(nanoseconds: Int64(index) * 10_000_000)) }
        for index in 0..<200 { world.datagram(up: index % 2 == 0, bytes: 50, at: Instant(nanoseconds: 3 * year + Int64(index) * 1_000_000_000)) }
        let window = try world.timeline.densestWindow()
        #expect(window.start.nanoseconds >= 3 * year && window.length <= .seconds(60))
        #expect(window.range.count == 61)
        _ = try LinkFit(world.timeline).scenario(name: "x", seed: 1)
    }

    @Test func aFittedLinkAlwaysLetsACallPass() throws {
        // A whisper of traffic, seen who knows where.
        var world = RecordedWorld()
        for index in 0..<40 { world.datagram(up: index % 4 == 0, bytes: 20, at: Instant(nanoseconds: Int64(index) * 700_000_000)) }
        let scenario = try LinkFit(world.timeline).scenario(name: "whisper", seed: 1)
        for direction in LinkDirection.allCases {
            var link = scenario.link(direction)
            var outcomes: [LinkOutcome] = []
            for id in 0..<20 { link.offer(LinkPacket(id: UInt64(id), bytes: 1_228), at: .zero) }
            link.advance(to: Instant(nanoseconds: 2_000_000_000), &outcomes)
            let delivered = outcomes.filter(\.isDelivered).count
            #expect(delivered >= 10)
        }
    }

    @Test func theSameCaptureGivesTheSameFit() throws {
        let world = RecordedWorld.download(scenario(), window: 40, until: Instant(nanoseconds: 3_000_000_000), recordedAt: .client)
        let timeline = world.timeline
        #expect(try LinkFit(timeline) == LinkFit(timeline))
        #expect(try LinkFit(timeline).renderText() == LinkFit(timeline).renderText())
    }

    @Test func randomTrafficNeverTraps() {
        var chance = SeededGenerator(seed: 77)
        for _ in 0..<400 {
            var world = RecordedWorld()
            var time: Int64 = 0
            for _ in 0..<chance.next(below: 120) {
                let jump = chance.next(below: 20) == 0 ? Int64(bitPattern: chance.next()) : Int64(chance.next(below: 300_000_000))
                time = time.addingReportingOverflow(jump).partialValue
                let up = chance.next(below: 2) == 0
                if chance.next(below: 3) == 0 {
                    world.datagram(up: up, bytes: Int(chance.next(below: 1_400)), at: Instant(nanoseconds: time))
                } else {
                    let segment = (0..<20 + Int(chance.next(below: 300))).map { _ in UInt8(truncatingIfNeeded: chance.next()) }
                    world.record(up: up, proto: chance.next(below: 2) == 0 ? 6 : 17, segment, at: Instant(nanoseconds: time))
                }
            }
            guard let fit = try? LinkFit(world.timeline) else { continue }
            _ = fit.renderText()
            _ = fit.scenario(name: "x", seed: 1)
            _ = WorkloadFit(world.timeline, window: fit.window).exchanges
        }
    }
}

@Suite struct WorkloadFitTests {
    @Test func requestsAndResponsesBecomeExchanges() throws {
        var world = RecordedWorld()
        for index in 0..<10 {
            let start = Int64(index) * 2_000_000_000
            world.datagram(up: true, bytes: 100, at: Instant(nanoseconds: start))
            for reply in 0..<4 { world.datagram(up: false, bytes: 1_000, at: Instant(nanoseconds: start + 50_000_000 + Int64(reply) * 1_000_000)) }
        }
        let timeline = world.timeline
        let workload = WorkloadFit(timeline, window: try timeline.densestWindow())
        #expect(workload.exchanges.count == 10)
        #expect(workload.exchanges.allSatisfy { $0.requestBytes == 100 && $0.responseBytes == 4_000 })
        #expect(workload.exchanges.map(\.start) == (0..<10).map { .seconds($0 * 2) })
    }

    @Test func mediaThatNeverPausesIsCutIntoSeconds() throws {
        var world = RecordedWorld()
        for index in 0..<500 { world.datagram(up: index % 2 == 0, bytes: 160, at: Instant(nanoseconds: Int64(index) * 10_000_000)) }
        let timeline = world.timeline
        let workload = WorkloadFit(timeline, window: try timeline.densestWindow())
        #expect(workload.exchanges.count == 5)
        #expect(workload.requestBytes == 250 * 160 && workload.responseBytes == 250 * 160)
    }

    @Test func aWindowOfACenturyIsNoTrap() throws {
        var world = RecordedWorld()
        for number in 0..<100 { world.datagram(up: false, bytes: 900, at: .zero + .milliseconds(10) * Int64(number)) }
        world.datagram(up: false, bytes: 900, at: .zero + .seconds(36_500 * 86_400))
        let timeline = world.timeline
        for window in [try timeline.window(from: .zero, length: .seconds(36_501 * 86_400)), try timeline.densestWindow(length: .seconds(36_501 * 86_400))] {
            #expect(window.range == 0..<100 && window.length <= Timeline.longestWindow)
            #expect(try LinkFit(timeline, window: window).packets == 100)
        }
    }
}
