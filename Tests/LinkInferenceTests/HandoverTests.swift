import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// Stops that look like a handover, and connections that go on under another address.
@Suite struct HandoverTests {
    private static func fit(changes: [LinkChange]) throws -> LinkFit {
        var profile = LinkProfile(
            service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(20),
            outages: [Outage(start: .seconds(3), duration: .milliseconds(400), mode: .hold)])
        profile.changes = changes
        let scenario = LinkScenario(up: profile, down: profile)
        return try LinkFit(RecordedWorld.download(scenario, window: 60, until: .zero + .seconds(8), recordedAt: .server).timeline)
    }

    @Test func anotherFloorOfTheRoundTripsTellsAHandover() throws {
        let fit = try Self.fit(changes: [LinkChange(at: .milliseconds(3_400), .delay(.milliseconds(60)))])
        let handover = try #require(fit.handovers.first)
        #expect(fit.handovers.count == 1, "\(fit.handovers)")
        #expect((handover.start - .seconds(3)).magnitude <= .milliseconds(60))
        #expect((handover.length - .milliseconds(400)).magnitude <= .milliseconds(100))
        #expect(try #require(handover.shift).inMilliseconds > 10, "\(fit.handovers)")
    }

    /// The queue had just run empty, the link is slower after the stop, and a full window waits before it for as long as one looks.
    @Test func aQueueThatStandsIsNoLongerPath() throws {
        for (slow, window) in [(Rate.megabitsPerSecond(4), 80), (.megabitsPerSecond(2), 60)] as [(Rate, Int)] {
            let rates = (0..<40).map { $0 < 17 ? Rate.megabitsPerSecond(40) : slow }
            let profile = LinkProfile(
                service: .trace(try DeliveryTrace(rates: rates, step: .milliseconds(200))), delay: .milliseconds(20),
                outages: [Outage(start: .seconds(3), duration: .milliseconds(400), mode: .hold)])
            let up = LinkProfile(service: .constant(.megabitsPerSecond(40)), delay: .milliseconds(20))
            let world = RecordedWorld.download(LinkScenario(up: up, down: profile), window: window, until: .zero + .seconds(8), recordedAt: .server)
            let fit = try LinkFit(world.timeline)
            #expect(fit.outages.contains { $0.kind == .hold } && fit.handovers.isEmpty, "\(fit.handovers)")
        }
    }

    @Test func aStopAloneIsNoHandover() throws {
        let fit = try Self.fit(changes: [])
        #expect(fit.outages.contains { $0.kind == .hold } && fit.handovers.isEmpty, "\(fit.handovers)")
        #expect(fit.migrations.isEmpty)
    }

    /// A QUIC conversation in 20 ms steps: a long header first, then short ones, from `ports` in turn.
    private static func conversation(ports: [UInt16], long: Set<UInt16>, spacing: Interval = .milliseconds(20)) -> [FlowState] {
        var table = FlowTable()
        var now = Instant.zero
        func big(_ value: Int, _ bytes: Int) -> [UInt8] { (0..<bytes).map { UInt8(truncatingIfNeeded: value >> (8 * (bytes - 1 - $0))) } }
        func send(_ from: (UInt32, UInt16), _ to: (UInt32, UInt16), first: UInt8) {
            // A long header is followed by its version.
            let payload = [first] + (first & 0x80 != 0 ? [0, 0, 0, 1, 8] : [7, 7, 7, 7, 7]) + [UInt8](repeating: 9, count: 1_200)
            let datagram = big(Int(from.1), 2) + big(Int(to.1), 2) + big(8 + payload.count, 2) + [0, 0] + payload
            let frame = [0x45, 0] + big(20 + datagram.count, 2) + [0, 1, 0, 0, 64, 17, 0, 0] + big(Int(from.0), 4) + big(Int(to.0), 4) + datagram
            _ = table.observe(
                CapturedPacket(
                    number: 1, time: now, epochNanoseconds: now.nanoseconds, wireBytes: frame.count, capturedBytes: frame.count,
                    headers: LinkLayer.decode(frame.span, linkType: .raw, wireBytes: frame.count)))
        }
        for port in ports {
            for step in 0..<10 {
                let first: UInt8 = long.contains(port) && step == 0 ? 0xC3 : 0x43
                send((0x0A00_0001, port), (0xC000_0202, 443), first: first)
                now += .milliseconds(5)
                send((0xC000_0202, 443), (0x0A00_0001, port), first: first)
                now += spacing
            }
        }
        return table.flows
    }

    @Test func aConnectionThatGoesOnFromAnotherPortHasMigrated() throws {
        let found = Migration.find(Self.conversation(ports: [50_000, 50_001, 50_002], long: [50_000]))
        #expect(found.map(\.from.port) == [50_000, 50_001] && found.map(\.to.port) == [50_001, 50_002])
        #expect(found.map(\.at) == [.zero + .milliseconds(250), .zero + .milliseconds(500)])
    }

    @Test func aConnectionOfItsOwnHasNot() {
        #expect(Migration.find(Self.conversation(ports: [50_000, 50_001], long: [50_000, 50_001])).isEmpty)
        // Nobody was there before.
        #expect(Migration.find(Self.conversation(ports: [50_001], long: [])).isEmpty)
        #expect(Migration.find(Self.conversation(ports: [50_000, 50_001], long: [])).isEmpty)
    }
}
