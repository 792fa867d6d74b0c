import CaptureKit
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

/// Hosts, routers and taps that are not as the usual ones: what they do is not said to be the link's.
@Suite struct ForeignHostTests {
    private typealias B = CaptureBytes
    private typealias World = RecordedWorld

    /// Requests every `period` ms, answered 14 ms later; a pause of a second after each tenth. The server's clock counts `ticks` a second.
    private func polled(ticks: Int64, jump: UInt32 = 0) throws -> LinkFit {
        var world = World()
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2, stamp: (1, 0)), at: .zero)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12, stamp: (0, 1)), at: .zero + .milliseconds(14))
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10, stamp: (2, 0)), at: .zero + .milliseconds(14))
        var now = Instant.zero + .milliseconds(20)
        for index in 0..<120 as Range<UInt32> {
            func stamp(_ at: Instant) -> UInt32 { UInt32(at.sinceStart.milliseconds * ticks / 1_000) &- (index >= 60 ? jump : 0) }
            world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1 + index * 60, acknowledgement: 1 + index * 100, flags: 0x18, payload: 60, stamp: (UInt32(now.sinceStart.milliseconds), 0)), at: now)
            now += .milliseconds(14)
            world.record(up: false, proto: 6, world.tcp(up: false, sequence: 1 + index * 100, acknowledgement: 61 + index * 60, flags: 0x18, payload: 100, stamp: (stamp(now), 0)), at: now)
            now += index % 10 == 9 ? .seconds(1) : .milliseconds(60)
        }
        return try LinkFit(world.timeline)
    }

    @Test("a clock of ten or 300 ticks a second shows no hold in a pause of its sender", arguments: [10, 50, 300, 1_000] as [Int64])
    func slowClocks(_ ticks: Int64) throws {
        let fit = try polled(ticks: ticks)
        #expect(!fit.outages.contains { $0.kind != .senderIdle }, "\(fit.outages)")
        #expect(fit.outages.allSatisfy { $0.length >= .milliseconds(500) }, "\(fit.outages)")
    }

    @Test("a clock that is another one from then on shows no hold")
    func twoClocks() throws {
        let fit = try polled(ticks: 1_000, jump: 900)
        #expect(!fit.outages.contains { $0.kind != .senderIdle }, "\(fit.outages)")
    }

    /// Segments between a client and a server, with ICMP where one is asked for.
    private struct Conversation {
        var builder = CaptureSummary.Builder()
        private var number = 0

        mutating func add(_ ms: Double, _ frame: [UInt8]) {
            number += 1
            let at = Int64(ms * 1e6)
            builder.add(
                CapturedPacket(
                    number: number, time: Instant(nanoseconds: at), epochNanoseconds: at, wireBytes: frame.count, capturedBytes: frame.count,
                    headers: LinkLayer.decode(frame.span, linkType: .raw, wireBytes: frame.count)))
        }

        mutating func send(_ ms: Double, up: Bool = false, _ sequence: UInt32, ack: UInt32 = 1, bytes: Int = 0, flags: UInt8 = 0x10, permitsSACK: Bool = false, id: Int = 0) {
            let tcp = RecordedWorld().tcp(up: up, sequence: sequence, acknowledgement: ack, flags: flags, payload: bytes, permitsSACK: permitsSACK)
            add(ms, B.ipv4(proto: 6, from: up ? World.client : World.server, to: up ? World.server : World.client, id: id, tcp))
        }

        mutating func open(permitsSACK: Bool = false) {
            send(0, up: true, 0, ack: 0, flags: 2, permitsSACK: permitsSACK)
            send(1, 0, ack: 1, flags: 0x12, permitsSACK: permitsSACK)
            send(56, up: true, 1)
        }

        private var flow: CaptureSummary.Flow {
            var builder = builder
            return builder.finish(file: "made", format: "pcap", linkType: "RAW", truncation: nil).flows.filter { $0.protocolName == "tcp" }[0]
        }
        var up: CaptureSummary.FlowSide { flow.up }
        var down: CaptureSummary.FlowSide { flow.down }
    }

    @Test("an acknowledgement that comes sooner than a round trip answers the original: what a timer sent again was in vain")
    func answeredTooSoon() {
        var made = Conversation()
        made.open()
        for index in 0..<10 {
            let (at, sequence) = (100 + Double(index) * 1_000, 1 + UInt32(index) * 500)
            made.send(at, sequence, bytes: 500)
            made.send(at + 300, sequence, bytes: 500)
            made.send(at + 300.5, up: true, 1, ack: sequence + 500)
        }
        #expect(made.down.retransmissions == 10 && made.down.spuriousRetransmissions == 10 && made.down.lost == 0)
    }

    @Test("whether a timer's original was lost, or its answer, is told by who tells of duplicates alone", arguments: [true, false])
    func byTimer(_ tells: Bool) {
        var made = Conversation()
        made.open(permitsSACK: tells)
        for index in 0..<10 {
            let (at, sequence) = (100 + Double(index) * 1_000, 1 + UInt32(index) * 500)
            made.send(at, sequence, bytes: 500)
            made.send(at + 300, sequence, bytes: 500)
            made.send(at + 356, up: true, 1, ack: sequence + 500)
        }
        #expect(made.down.timeoutRetransmissions == 10 && made.down.lost == (tells ? 10 : nil))
    }

    @Test("what a router refused for its size was not lost")
    func tooBig() {
        var made = Conversation()
        made.open(permitsSACK: true)
        made.send(100, 1, bytes: 1_460)
        made.add(101, B.ipv4(proto: 1, from: 0x0A00_0009, to: World.server, [3, 4, 0, 0, 0, 0, 5, 0x78] + [UInt8](repeating: 0, count: 28)))
        made.send(400, 1, bytes: 1_360)
        made.send(400.1, 1_361, bytes: 100)
        made.send(460, up: true, 1, ack: 1_461)
        #expect(made.down.retransmissions ?? 0 >= 1 && made.down.lost == nil)
    }

    @Test("what a router refused of another host is no matter of this one")
    func tooBigOfAnother() {
        var made = Conversation()
        made.open(permitsSACK: true)
        for index in 0..<4 as Range<UInt32> { made.send(100, 1 + index * 1_000, bytes: 1_000) }
        made.add(101, B.ipv4(proto: 1, from: 0x0A00_0009, to: 0x0A00_0077, [3, 4, 0, 0, 0, 0, 5, 0x78] + [UInt8](repeating: 0, count: 28)))
        for index in 0..<3 { made.send(156 + Double(index), up: true, 1) }
        made.send(160, 1, bytes: 1_000)
        made.send(216, up: true, 1, ack: 4_001)
        #expect(made.down.fastRetransmissions == 1 && made.down.lost == 1)
    }

    @Test("a recorder that writes all twice adds no SYN, no FIN and no duplicate acknowledgement")
    func recordedTwice() {
        var made = Conversation()
        func twice(_ ms: Double, up: Bool = false, _ sequence: UInt32, ack: UInt32 = 1, bytes: Int = 0, flags: UInt8 = 0x10) {
            for copy in 0..<2 { made.send(ms + Double(copy) * 0.01, up: up, sequence, ack: ack, bytes: bytes, flags: flags) }
        }
        twice(0, up: true, 0, ack: 0, flags: 2)
        twice(1, 0, ack: 1, flags: 0x12)
        twice(56, up: true, 1)
        for index in 0..<40 {
            let (at, sequence) = (100 + Double(index) * 10, 1 + UInt32(index) * 500)
            twice(at, sequence, bytes: 500)
            twice(at + 2, up: true, 1, ack: sequence + 500)
        }
        twice(900, 20_001, flags: 0x11)
        let (up, down) = (made.up, made.down)
        #expect(down.synRetransmissions == 0 && down.finRetransmissions == 0 && down.retransmissions == 0, "\(down)")
        #expect(up.synRetransmissions == 0 && up.duplicateAcks == 0, "\(up)")
    }

    @Test("a question for a closed window, without data, is no keep-alive")
    func windowProbe() {
        var made = Conversation()
        made.open()
        made.send(100, 1, bytes: 500)
        var closed = RecordedWorld().tcp(up: true, sequence: 1, acknowledgement: 501, flags: 0x10)
        (closed[14], closed[15]) = (0, 0)
        made.add(156, B.ipv4(proto: 6, from: World.client, to: World.server, closed))
        for index in 0..<3 { made.send(400 + Double(index) * 400, 500) }
        #expect(made.down.windowProbes == 3 && made.down.keepAlives == 0)
    }
}
