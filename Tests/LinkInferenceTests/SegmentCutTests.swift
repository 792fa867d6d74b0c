import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// What a sender sends again need not be cut as it was, and one stop may show in both directions.
@Suite struct SegmentCutTests {
    @Test("small segments that were lost together and are sent again as one are as many losses")
    func smallSegmentsThatAreSentAgainAsOne() throws {
        var world = RecordedWorld()
        var now = Instant.zero
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2, permitsSACK: true), at: now)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: now)
        now += .milliseconds(50)
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10), at: now)
        for turn in 0..<50 as Range<UInt32> {
            let first = 1 + turn * 400
            for part in 0..<4 as Range<UInt32> {
                now += .milliseconds(20)
                world.record(up: false, proto: 6, world.tcp(up: false, sequence: first + part * 100, acknowledgement: 1, flags: 0x18, payload: 100), at: now)
            }
            if turn % 5 == 0 {
                now += .milliseconds(260)
                world.record(up: false, proto: 6, world.tcp(up: false, sequence: first, acknowledgement: 1, flags: 0x18, payload: 400), at: now)
            }
            now += .milliseconds(50)
            world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: first + 400, flags: 0x10), at: now)
        }
        let fit = try LinkFit(world.timeline)
        #expect(fit.down.lossCount.lost == 40 && fit.down.isLossKnown, "\(fit.down.lossCount): \(fit.down.lossBasis)")
    }

    @Test("a loss of many segments is the outage's where the numbering says so, wherever their repair stands")
    func theNumberingTellsWhatTheOutageTook() throws {
        let profile = LinkProfile(service: .constant(.megabitsPerSecond(8)), delay: .milliseconds(25))
        var down = profile
        down.outages = [Outage(start: .milliseconds(5_000), duration: .milliseconds(600), mode: .drop)]
        let world = RecordedWorld.repairedDownload(LinkScenario(up: profile, down: down, seed: 5), window: 100, until: .zero + .seconds(12), recordedAt: .client)
        let fit = try LinkFit(world.timeline)
        #expect(fit.outages.contains { $0.kind == .drop && $0.direction == .down })
        #expect(fit.down.isLossKnown && fit.down.loss < 0.001, "\(fit.down.loss): \(fit.down.lossBasis)")
    }
}
