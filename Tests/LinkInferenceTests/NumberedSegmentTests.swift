import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// What was sent again and lost again leaves no hole in TCP's sequence, but in its sender's numbering of packets.
@Suite struct NumberedSegmentTests {
    private func download(_ end: RecordedWorld.End) -> RecordedWorld {
        let profile = LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25))
        var down = profile
        down.radioLoss = .independent(Probability(0.06))
        return .repairedDownload(LinkScenario(up: profile, down: down, seed: 5), window: 60, until: .zero + .seconds(12), recordedAt: end)
    }

    private func carrying(_ world: RecordedWorld) -> Int {
        world.packets.count { if case .tcp(let tcp) = $0.headers.transport { tcp.payloadBytes > 0 } else { false } }
    }

    @Test("at the receiver the numbering counts every loss")
    func theNumberingCountsEveryLoss() throws {
        let (sent, came) = (download(.server), download(.client))
        let fit = try LinkFit(came.timeline)
        // Some of what was sent is still on its way at the end.
        let truth = 1 - Double(carrying(came)) / Double(carrying(sent))
        #expect(truth > 0.05 && fit.down.isLossKnown && abs(fit.down.loss - truth) < 0.002, "\(fit.down.loss) of \(truth): \(fit.down.lossBasis)")
    }

    @Test("without a numbering so much loss is not stated: of the repairs some were lost before they came")
    func withoutANumberingSoMuchIsNotStated() throws {
        var world = download(.client)
        world.change { packet in
            var packet = packet
            packet.headers.ip?.identification = 0
            return packet
        }
        let fit = try LinkFit(world.timeline)
        #expect(!fit.down.isLossKnown && LinkReport(fit).down.lossRate == nil, "\(fit.down.lossBasis)")
    }

    @Test("what is sent again and lost again stands among other packets: bursts are those of the order of sending")
    func burstsAreInOrderOfSending() throws {
        var world = RecordedWorld()
        var now = Instant.zero
        var number = 0
        func send(_ segment: UInt32, _ world: inout RecordedWorld) {
            number += 1
            world.record(
                up: false, proto: 6, world.tcp(up: false, sequence: 1 + segment * 1_000, acknowledgement: 1, flags: 0x10, payload: 1_000), at: now, identification: number)
            now += .milliseconds(2)
        }
        func acknowledge(_ next: UInt32, sack: ClosedRange<UInt32>? = nil, _ world: inout RecordedWorld) {
            world.record(
                up: true, proto: 6,
                world.tcp(up: true, sequence: 1, acknowledgement: 1 + next * 1_000, flags: 0x10, sack: sack.map { (1 + $0.lowerBound * 1_000, 1 + ($0.upperBound + 1) * 1_000) }),
                at: now)
        }
        // At the server, 20 ms away from the client.
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: now)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: now)
        now += .milliseconds(20)
        acknowledge(0, &world)
        for round in 0..<20 as Range<UInt32> {
            let first = round * 10
            for segment in first..<first + 10 { send(segment, &world) }
            now += .milliseconds(20)
            // The first two of ten were lost together, and the first of them again, by itself.
            acknowledge(first, sack: first + 2...first + 9, &world)
            send(first, &world)
            send(first + 1, &world)
            now += .milliseconds(20)
            acknowledge(first, sack: first + 1...first + 9, &world)
            send(first, &world)
            now += .milliseconds(20)
            acknowledge(first + 10, &world)
        }
        let fit = try LinkFit(world.timeline)
        #expect(fit.down.lossCount == LinkFit.LossCount(packets: 260, lost: 60, bursts: 40), "\(fit.down.lossCount): \(fit.down.lossBasis)")
    }

    @Test("segments that a timer sends while no answer comes are lost or not: one of them had arrived (RFC 2883)")
    func repairsBesideANeedlessOneAreADoubt() throws {
        var world = RecordedWorld()
        var now = Instant.zero
        func send(_ segment: UInt32, _ world: inout RecordedWorld) {
            world.record(up: false, proto: 6, world.tcp(up: false, sequence: 1 + segment * 1_000, acknowledgement: 1, flags: 0x10, payload: 1_000), at: now)
        }
        func acknowledge(_ next: UInt32, again segment: UInt32? = nil, _ world: inout RecordedWorld) {
            world.record(
                up: true, proto: 6,
                world.tcp(up: true, sequence: 1, acknowledgement: 1 + next * 1_000, flags: 0x10, sack: segment.map { (1 + $0 * 1_000, 1 + ($0 + 1) * 1_000) }), at: now)
        }
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: now)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: now)
        now += .milliseconds(50)
        acknowledge(0, &world)
        for segment in 0..<40 as Range<UInt32> {
            send(segment, &world)
            now += .milliseconds(50)
            acknowledge(segment + 1, &world)
        }
        // Both arrive, and none of their acknowledgements.
        send(40, &world)
        send(41, &world)
        for (wait, segment) in [(220, 41), (350, 40), (700, 40)] as [(Int64, UInt32)] {
            now += .milliseconds(wait)
            send(segment, &world)
        }
        now += .milliseconds(50)
        acknowledge(42, again: 40, &world)
        let fit = try LinkFit(world.timeline)
        #expect(!fit.down.isLossKnown && fit.down.lossAtMost != nil, "\(fit.down.lossBasis)")
    }

    @Test("each selective acknowledgement of hundreds of holes counts what it tells (RFC 2018)")
    func manyHolesAtOnce() {
        var table = FlowTable()
        var told: [Int] = []
        var world = RecordedWorld()
        var now = Instant.zero
        for segment in 0..<400 as Range<UInt32> {
            world.record(up: false, proto: 6, world.tcp(up: false, sequence: 1 + segment * 1_000, acknowledgement: 1, flags: 0x10, payload: 1_000), at: now)
            now += .milliseconds(1)
        }
        for segment in stride(from: 1, to: 400, by: 2) as StrideTo<UInt32> {
            world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10, sack: (1 + segment * 1_000, 1_001 + segment * 1_000)), at: now)
            now += .milliseconds(1)
        }
        for packet in world.packets {
            if let tcp = table.observe(packet)?.tcp, tcp.newlyDelivered > 0 { told.append(tcp.newlyDelivered) }
        }
        #expect(told == Array(repeating: 1_000, count: 200))
    }
}
