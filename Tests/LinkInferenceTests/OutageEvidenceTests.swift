import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// What a silence, a gap or a pace proves, and what it does not.
@Suite struct OutageEvidenceTests {
    private func profile(_ outages: [Outage] = [], loss: LossModel = .none) -> LinkProfile {
        LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), radioLoss: loss, outages: outages)
    }

    private func outages(_ fit: LinkFit) -> [LinkFit.Outage] { fit.outages.filter { $0.kind != .senderIdle } }

    @Test func aShortBlackoutOfMediaIsAnOutageWhereLossesAreRare() throws {
        let link = profile([Outage(start: .seconds(5), duration: .milliseconds(300), mode: .drop)])
        let world = RecordedWorld.media(LinkScenario(up: link, down: link, seed: 1), until: .zero + .seconds(20), recordedAt: .client)
        let fit = try LinkFit(world.timeline)
        #expect(outages(fit).map(\.kind) == [.drop])
        #expect(fit.down.loss == 0)
    }

    @Test func acknowledgementsThatWaitedAreAHoldOfTheirOwnWay() throws {
        let scenario = LinkScenario(
            up: profile([Outage(start: .seconds(4), duration: .milliseconds(300), mode: .hold)]), down: profile(), seed: 1)
        let world = RecordedWorld.download(scenario, window: 400, until: .zero + .seconds(8), recordedAt: .server)
        let found = outages(try LinkFit(world.timeline))
        #expect(found.map(\.kind) == [.hold] && found.map(\.direction) == [.up])
        #expect(found.allSatisfy { abs($0.start.inSeconds + 0.025 - 4) < 0.03 && abs($0.length.inSeconds - 0.3) < 0.03 })
    }

    @Test func packetsThatChangePlacesAreNoLoss() throws {
        let world = RecordedWorld.media(LinkScenario(up: profile(), down: profile(), seed: 1), until: .zero + .seconds(20), recordedAt: .client)
        var timeline = Timeline()
        var packets = world.packets
        var changed = 0
        for index in stride(from: 100, to: packets.count - 4, by: 60) {
            let down = packets.indices[index...].filter { packets[$0].headers.ip?.source.port == 5201 }.prefix(2)
            guard let one = down.first, let two = down.last, one != two else { continue }
            let times = (packets[one].time, packets[two].time)
            packets.swapAt(one, two)
            (packets[one].time, packets[two].time) = times
            changed += 1
        }
        #expect(changed > 20)
        // One that is missing tells that the capture was made behind the link.
        let gone = try #require(packets.indices.dropFirst(900).first { packets[$0].headers.ip?.source.port == 5201 && $0 % 60 == 30 })
        packets.remove(at: gone)
        for packet in packets { timeline.add(packet) }
        timeline.finish()
        let fit = try LinkFit(timeline)
        #expect(fit.down.lossCount.lost == 1 && fit.down.lossCount.bursts == 1 && fit.down.lossCount.packets > 900)
    }

    /// - Parameter isLost: by number.
    private func flood(_ isLost: (Int) -> Bool) throws -> LinkFit {
        var world = RecordedWorld()
        for number in 0..<5_000 {
            world.datagram(up: false, bytes: 1_200, at: .zero + .milliseconds(1) * Int64(number))
            if isLost(number) { _ = world.takeLast() }
        }
        return try LinkFit(world.timeline)
    }

    @Test func anEvenPaceThatNobodyAnswersIsNoCapacity() throws {
        #expect(try flood { _ in false }.down.isLowerBound)
        // One outage is no full queue either.
        #expect(try flood { (2_000..<2_400).contains($0) }.down.isLowerBound)
    }

    @Test func burstsThatWaitForTheirAcknowledgementsAreNoOutages() throws {
        // 40 packets fill a tenth of a path of 600 ms.
        var far = profile()
        far.delay = .milliseconds(300)
        for end in [RecordedWorld.End.client, .server] {
            let world = RecordedWorld.download(LinkScenario(up: far, down: far), window: 40, until: .zero + .seconds(12), recordedAt: end)
            #expect(outages(try LinkFit(world.timeline)).isEmpty)
        }
    }

    @Test func lossesOnTheAirLeaveHolesInAPaceAndAreNoFullLink() throws {
        var chance = SeededGenerator(seed: 4)
        let fit = try flood { _ in chance.chance(Probability(0.02)) }
        #expect(fit.down.isLowerBound && abs(fit.down.loss - 0.02) < 0.006, "\(fit.down)")
    }

    @Test func aFloodThatLosesAllAlongFillsItsLink() throws {
        var world = RecordedWorld()
        var at = Instant.zero
        for number in 0..<5_000 {
            world.datagram(up: false, bytes: 1_200, at: at)
            // What is lost leaves no pause: the queue behind it is full.
            if number % 5 == 4 { _ = world.takeLast() } else { at += .microseconds(1_250) }
        }
        let fit = try LinkFit(world.timeline)
        let capacity = fit.down.capacity.inMegabitsPerSecond
        #expect(!fit.down.isLowerBound)
        #expect(abs(capacity - 1_228 * 8 / 1_250.0) < 0.1)
        // Another flow with the same counter would look the same: no more than that was lost.
        #expect(!fit.down.isLossKnown && abs((fit.down.lossAtMost ?? 0) - 0.2) < 0.001)
    }
}
