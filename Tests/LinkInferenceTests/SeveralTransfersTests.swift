import CaptureKit
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

/// Datagrams of several flows at one link, at its client: 1,400 bytes each 4 ms on two of them in turn, and 40 bytes each 11 ms on a third.
@Suite struct SeveralTransfersTests {
    private static let server: [UInt8] = [0x14, 0x51]

    private static func udp(_ from: [UInt8], _ to: [UInt8], _ bytes: Int) -> [UInt8] {
        from + to + [UInt8((bytes + 8) >> 8), UInt8((bytes + 8) & 255), 0, 0] + [UInt8](repeating: 0x11, count: bytes)
    }

    private static func port(_ flow: Int) -> [UInt8] { [0x9C, UInt8(0x40 + flow)] }

    /// A padded first datagram, its answer 60 ms later, and what the client sends after `work` of its own; it answers later ones at once.
    private static func begin(_ world: inout RecordedWorld, _ flow: Int, work: Interval) {
        let at = Instant.zero + .milliseconds(200) * Int64(flow)
        world.record(up: true, proto: 17, udp(port(flow), server, 1_200), at: at, identification: 0)
        world.record(up: false, proto: 17, udp(server, port(flow), 180), at: at + .milliseconds(60), identification: 0)
        let answered = at + .milliseconds(60) + work
        world.record(up: true, proto: 17, udp(port(flow), server, 50), at: answered, identification: 0)
        world.record(up: false, proto: 17, udp(server, port(flow), 60), at: answered + .milliseconds(60), identification: 0)
        world.record(up: true, proto: 17, udp(port(flow), server, 50), at: answered + .milliseconds(61), identification: 0)
    }

    /// - Parameters:
    ///   - bulk: flows of transfers.
    ///   - pause: in which nothing comes.
    ///   - tail: bytes of each transfer's last datagram before it.
    private func world(bulk: Int, pause: Range<Int>, tail: Int = 1_400) -> RecordedWorld {
        var world = RecordedWorld()
        for flow in 0..<3 { Self.begin(&world, flow, work: .milliseconds(1)) }
        for step in 0..<8_000 where !pause.contains(step) {
            let at = Instant.zero + .seconds(1) + .milliseconds(1) * Int64(step)
            if step % 4 == 0 {
                let bytes = pause.lowerBound - step <= 4 * bulk && step < pause.lowerBound ? tail : 1_400
                world.record(up: false, proto: 17, Self.udp(Self.server, Self.port(step / 4 % bulk), bytes), at: at, identification: 0)
            }
            if step % 11 == 0 { world.record(up: false, proto: 17, Self.udp(Self.server, Self.port(2), 40), at: at, identification: 0) }
        }
        return world
    }

    /// The last before it, at 3,003 ms, is the third flow's.
    private static let pause = 3_004..<4_204

    @Test("transfers that stop together inside a message were held, whatever small packet came last")
    func theLastPacketMayBeAnothers() throws {
        let fit = try LinkFit(world(bulk: 2, pause: Self.pause).timeline)
        #expect(fit.vantage == .client)
        let found = fit.outages.filter { $0.kind != .senderIdle }
        #expect(found.map(\.kind) == [.hold] && found.first?.direction == .down, "\(fit.outages)")
        let outage = try #require(found.first)
        #expect(abs(outage.length.inSeconds - 1.2) < 0.02)
        // At the link 4.004 s less the way to the client; by then one may have been due on each of the flows.
        #expect(abs(outage.start.inSeconds - 3.974) <= outage.startUncertainty.inSeconds + 0.003 && outage.startUncertainty <= .milliseconds(12), "\(outage)")
    }

    @Test("one transfer may have paused, and so may several at the end of a message")
    func whatIsNoHold() throws {
        #expect(try LinkFit(world(bulk: 1, pause: Self.pause).timeline).outages.allSatisfy { $0.kind == .senderIdle })
        #expect(try LinkFit(world(bulk: 2, pause: Self.pause, tail: 300).timeline).outages.allSatisfy { $0.kind == .senderIdle })
    }

    @Test("what a client takes to make its keys is no part of the path, where it answers later ones at once", arguments: [1, 3, 4])
    func keysTakeTime(_ milliseconds: Int64) throws {
        var world = RecordedWorld()
        for flow in 0..<6 { Self.begin(&world, flow, work: .milliseconds(milliseconds)) }
        let fit = try LinkFit(world.timeline)
        #expect(fit.isBaseRTTBound && abs(fit.baseRTT.inMilliseconds - 60) <= 1, "\(fit.baseRTT): \(fit.baseRTTBasis)")
    }
}
