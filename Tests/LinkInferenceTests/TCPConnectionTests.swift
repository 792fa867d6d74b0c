import CaptureKit
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

/// What belongs to one connection, what was sent again in it, and what that proves.
@Suite struct TCPConnectionTests {
    private typealias B = CaptureBytes

    /// Segments between one client and one server; `down` is where the data goes.
    private struct Conversation {
        var builder = CaptureSummary.Builder()
        private var number = 0

        mutating func send(
            _ ms: Double, up: Bool = false, _ sequence: UInt32, ack: UInt32 = 1, bytes: Int = 0, flags: UInt8 = 0x10, window: UInt16 = 500,
            sack: [(UInt32, UInt32)] = [], stamp: UInt32? = nil
        ) {
            number += 1
            var options: [UInt8] = []
            if let stamp { options += [1, 1, 8, 10] + B.big(Int(stamp), 4) + B.big(0, 4) }
            if !sack.isEmpty { options += [1, 1, 5, UInt8(2 + 8 * sack.count)] + sack.flatMap { B.big(Int($0.0), 4) + B.big(Int($0.1), 4) } }
            let ports = up ? B.big(40_000, 2) + B.big(443, 2) : B.big(443, 2) + B.big(40_000, 2)
            let segment = ports + B.big(Int(sequence), 4) + B.big(Int(ack), 4) + [UInt8(5 + options.count / 4) << 4, flags] + B.big(Int(window), 2) + [0, 0, 0, 0]
                + options + [UInt8](repeating: 0x61, count: bytes)
            let frame = B.ipv4(proto: 6, from: up ? 0x0A00_0001 : 0x0A00_0002, to: up ? 0x0A00_0002 : 0x0A00_0001, id: number, segment)
            builder.add(
                CapturedPacket(
                    number: number, time: Instant(nanoseconds: Int64(ms * 1e6)), epochNanoseconds: Int64(ms * 1e6), wireBytes: frame.count,
                    capturedBytes: frame.count, headers: LinkLayer.decode(frame.span, linkType: .raw, wireBytes: frame.count)))
        }

        mutating func open(at ms: Double = 0, client: UInt32 = 0, server: UInt32 = 0) {
            send(ms, up: true, client, ack: 0, flags: 2)
            send(ms + 50, server, ack: client &+ 1, flags: 0x12)
            send(ms + 51, up: true, client &+ 1, ack: server &+ 1)
        }

        func summary() -> CaptureSummary {
            var builder = builder
            return builder.finish(file: "made", format: "pcap", linkType: "RAW", truncation: nil)
        }
        var flows: [CaptureSummary.Flow] { summary().flows }
        var down: CaptureSummary.FlowSide { flows[0].down }
    }

    // MARK: What an answer answers

    @Test("A duplicate that a keep-alive brought about says nothing of what was sent again")
    func keepAlivesAreAnsweredToo() {
        var made = Conversation()
        made.open()
        for index in 0..<4 { made.send(100, 1 + UInt32(index) * 1000, bytes: 1000) }
        made.send(150, up: true, 1, ack: 1, sack: [(1001, 4001)])
        made.send(151, 1, bytes: 1000)
        made.send(200, up: true, 1, ack: 4001)
        for index in 1...5 {
            made.send(Double(index) * 45_000, 4000, bytes: 1)
            made.send(Double(index) * 45_000 + 50, up: true, 1, ack: 4001, sack: [(4000, 4001)])
        }
        #expect(made.down.retransmissions == 1 && made.down.spuriousRetransmissions == 0 && made.down.lost == 1)
        #expect(made.down.keepAlives == 5)
    }

    @Test("One needless copy is counted once, however often it is told of")
    func oneCopyIsJudgedOnce() {
        var made = Conversation()
        made.open()
        for index in 0..<3 { made.send(100, 1 + UInt32(index) * 1000, bytes: 1000) }
        made.send(400, 1, bytes: 1000)
        for index in 0..<3 { made.send(410 + Double(index), up: true, 1, ack: 3001, sack: [(1, 1001)]) }
        #expect(made.down.retransmissions == 1 && made.down.spuriousRetransmissions == 1 && made.down.lost == 0)
        #expect(made.down.meanBurst == nil)
    }

    @Test("An acknowledgement that goes on says again what it said before, and that is no duplicate (RFC 2018 section 4)")
    func whatIsSaidAgainIsNoDuplicate() {
        var made = Conversation()
        made.open()
        // The first, the second and the fourth are lost.
        for index in 0..<5 { made.send(100, 1 + UInt32(index) * 1000, bytes: 1000) }
        made.send(150, up: true, 1, ack: 1, sack: [(2001, 3001)])
        made.send(151, up: true, 1, ack: 1, sack: [(4001, 5001), (2001, 3001)])
        made.send(152, 3001, bytes: 1000)
        made.send(153, 1, bytes: 1000)
        made.send(202, up: true, 1, ack: 1, sack: [(3001, 4001), (4001, 5001)])
        made.send(203, up: true, 1, ack: 1001, sack: [(3001, 4001)])
        #expect(made.down.retransmissions == 2 && made.down.spuriousRetransmissions == 0 && made.down.lost == 2)
        // One that does not go on and says less than is known tells of a copy.
        made.send(204, up: true, 1, ack: 1001, sack: [(3001, 4001)])
        #expect(made.down.spuriousRetransmissions == 1 && made.down.lost == 1)
    }

    @Test("What was acknowledged before it came again had not been lost")
    func acknowledgedDataIsNoLoss() {
        var made = Conversation()
        made.open()
        made.send(100, 1, bytes: 1000)
        made.send(101, up: true, 1, ack: 1001)
        made.send(400, 1, bytes: 1000)
        made.send(401, up: true, 1, ack: 1001, sack: [(1, 1001)])
        #expect(made.down.retransmissions == 1 && made.down.spuriousRetransmissions == 1 && made.down.lost == 0)
    }

    @Test("Data that a closed window refuses, and that goes out again with its segment, is a probe", arguments: [1, 1000])
    func windowProbesAreNoRetransmissions(_ bytes: Int) {
        var made = Conversation()
        made.open()
        made.send(100, 1, bytes: 1000)
        made.send(150, up: true, 1, ack: 1001, window: 0)
        for index in 0..<3 {
            made.send(500 + Double(index) * 600, 1001, bytes: bytes)
            made.send(550 + Double(index) * 600, up: true, 1, ack: 1001, window: 0)
        }
        made.send(2500, up: true, 1, ack: 1001)
        for index in 1...3 { made.send(2501, 1 + UInt32(index) * 1000, bytes: 1000) }
        made.send(2560, up: true, 1, ack: 4001)
        #expect(made.down.retransmissions == 0 && made.down.lost == 0 && made.down.windowProbes == 3 && made.down.unrecordedBytes == 0)
    }

    @Test("A probe that is taken is data like any other")
    func probesMayBeTaken() {
        var made = Conversation()
        made.open()
        made.send(100, 1, bytes: 1000)
        made.send(150, up: true, 1, ack: 1001, window: 0)
        made.send(500, 1001, bytes: 1)
        made.send(550, up: true, 1, ack: 1002)
        made.send(551, 1002, bytes: 999)
        made.send(601, up: true, 1, ack: 2001)
        #expect(made.down.retransmissions == 0 && made.down.lost == 0 && made.down.unrecordedBytes == 0 && made.down.outOfOrder == 0)
    }

    // MARK: Bursts

    @Test("Segments lost in a row are one burst, in whatever order they are sent again")
    func burstsGoBySequence() {
        var made = Conversation()
        made.open()
        for index in 0..<10 { made.send(100, 1 + UInt32(index) * 1000, bytes: 1000) }
        for _ in 0..<3 { made.send(150, up: true, 1, ack: 1) }
        for index in [3, 0, 2, 1, 7] { made.send(151, 1 + UInt32(index) * 1000, bytes: 1000) }
        made.send(202, up: true, 1, ack: 10_001)
        #expect(made.down.lost == 5 && made.down.meanBurst == 2.5)
    }

    @Test("A segment with an older timestamp than the one that left the hole only came late")
    func timestampsTellReorderingFromLoss() {
        var made = Conversation()
        made.send(100, 1, bytes: 1000, stamp: 50)
        made.send(103, 2001, bytes: 1000, stamp: 55)
        made.send(130, 1001, bytes: 1000, stamp: 52)
        #expect(made.down.lost == 0 && made.down.outOfOrder == 1)
        made.send(140, 4001, bytes: 1000, stamp: 90)
        made.send(142, 3001, bytes: 1000, stamp: 91)
        #expect(made.down.lost == 1 && made.down.outOfOrder == 1, "sent again, though soon")
    }

    @Test("Media packets that change places leave as many bursts as there are holes in the end")
    func rtpBurstsAreFinal() throws {
        // 30…35 are left out, then 32 and 33 come late; 50 and 51 change places.
        let order = Array(0..<30) + Array(36..<40) + [33, 32] + Array(40..<50) + [51, 50] + Array(52..<80)
        let packets = order.enumerated().map { place, number in
            B.Packet(
                timeNs: 1_700_000_000_000_000_000 + place * 20_000_000,
                bytes: B.ipv4(id: number + 1, B.udp([0x80, 96] + B.big(65_500 + number, 2) + B.big(number * 160, 4) + [0, 0, 0, 7] + [1, 2, 3])))
        }
        let file = try TemporaryFile(B.pcap(packets))
        let side = try #require(CaptureSummary(reading: try CaptureFile(path: file.path)).flows.first?.up)
        #expect(side.lost == 4 && side.outOfOrder == 3 && side.meanBurst == 2)
    }

    // MARK: SYN, FIN, and how far a connection came

    @Test("SYN, SYN-ACK and FIN that are sent again are counted, and are no losses")
    func handshakesAreSentAgainToo() {
        var made = Conversation()
        for ms in [0.0, 1000, 3000] { made.send(ms, up: true, 0, ack: 0, flags: 2) }
        for ms in [3050.0, 4050] { made.send(ms, 0, ack: 1, flags: 0x12) }
        made.send(4051, up: true, 1, ack: 1)
        made.send(4100, 1, bytes: 1000)
        made.send(4150, up: true, 1, ack: 1001)
        for ms in [5000.0, 5200, 5600] { made.send(ms, 1001, flags: 0x11) }
        #expect(made.flows[0].up.synRetransmissions == 2 && made.flows[0].up.retransmissions == 2)
        #expect(made.down.synRetransmissions == 1 && made.down.finRetransmissions == 2 && made.down.retransmissions == 3)
        #expect(made.flows[0].up.lost == 0 && made.down.lost == 0)
        #expect(made.flows[0].state == "closing" && made.summary().connections?.synRetransmissions == 3)
    }

    @Test("Each connection has a state") func states() {
        func state(_ body: (inout Conversation) -> Void) -> String? {
            var made = Conversation()
            body(&made)
            return made.flows.first?.state
        }
        #expect(state { for ms in [0.0, 1000, 3000] { $0.send(ms, up: true, 0, ack: 0, flags: 2) } } == "neverOpened")
        #expect(state { $0.send(0, up: true, 0, ack: 0, flags: 2); $0.send(50, 0, ack: 1, flags: 0x14) } == "refused")
        #expect(state { $0.send(0, up: true, 0, ack: 0, flags: 2); $0.send(50, 0, ack: 1, flags: 0x12); $0.send(1050, 0, ack: 1, flags: 0x12) } == "halfOpen")
        #expect(state { $0.open() } == "open")
        #expect(state { $0.open(); $0.send(60, 1, ack: 1, flags: 0x14) } == "reset")
        #expect(state { $0.send(0, 1, bytes: 100); $0.send(50, up: true, 1, ack: 101) } == "midway")
        #expect(state { $0.open(); $0.send(60, 1, ack: 1, flags: 0x11) } == "closing")
        #expect(state { $0.open(); $0.send(60, 1, ack: 1, flags: 0x11); $0.send(110, up: true, 1, ack: 2, flags: 0x11); $0.send(160, 2, ack: 2, flags: 4) } == "closed")
    }

    @Test("Another initial sequence number begins another connection")
    func portsAreUsedAgain() throws {
        var made = Conversation()
        made.open()
        for index in 0..<10 { made.send(100, 1 + UInt32(index) * 1000, bytes: 1000) }
        made.send(150, up: true, 1, ack: 10_001)
        made.send(160, 10_001, flags: 0x14)
        made.open(at: 20_000, client: 3_000_000_000, server: 700_000_000)
        // Left over from the first one.
        made.send(20_060, 10_001, ack: 1, flags: 0x10)
        made.send(20_061, up: true, 1, ack: 10_001)
        for index in 0..<5 { made.send(20_100, 700_000_001 + UInt32(index) * 1000, ack: 3_000_000_001, bytes: 1000) }
        made.send(20_150, up: true, 3_000_000_001, ack: 700_005_001)
        let flows = made.flows.sorted { $0.firstS < $1.firstS }
        #expect(flows.map(\.state) == ["reset", "open"])
        #expect(flows.map(\.down.payloadBytes) == [10_000, 5_000])
        for flow in flows { #expect(flow.down.lost == 0 && flow.down.retransmissions == 0 && flow.down.unrecordedBytes == 0 && flow.rttMs.handshake == 51) }
    }

    @Test("A capture that begins in the middle of a connection follows the next one")
    func aSYNAfterTheMiddleOfAnotherConnection() {
        var made = Conversation()
        made.send(0, up: true, 900, ack: 5000, bytes: 100)
        made.send(50, 5000, ack: 1000, bytes: 100)
        made.open(at: 1000, client: 77, server: 88)
        #expect(made.flows.count == 2 && made.summary().connections?.midway == 1 && made.summary().connections?.open == 1)
    }

    // MARK: The recorder

    @Test("Bytes that were acknowledged and are not in the capture are the recorder's loss")
    func theRecorderLosesToo() {
        var made = Conversation()
        made.open()
        made.send(100, 1, bytes: 1000)
        made.send(150, up: true, 1, ack: 1001)
        made.send(200, 3001, bytes: 1000)  // 1001…3000 are not in the file
        made.send(250, up: true, 1, ack: 4001)
        made.send(350, up: true, 1, ack: 6001)  // nor are these
        made.send(400, 6001, bytes: 1000)
        made.send(450, up: true, 1, ack: 7001)
        #expect(made.down.unrecordedBytes == 4000 && made.down.lost == 0 && made.down.retransmissions == 0 && made.down.outOfOrder == 0)
        #expect(made.summary().connections?.unrecordedBytes == 4000)
    }

    @Test("A record that comes after that of its acknowledgement is not missing")
    func recordsMayComeLate() {
        var made = Conversation()
        made.open()
        made.send(100, 1, bytes: 1000)
        made.send(150, up: true, 1, ack: 3001)
        made.send(150.01, 1001, bytes: 1000)
        made.send(150.02, 2001, bytes: 1000)
        #expect(made.down.unrecordedBytes == 0 && made.down.lost == 0 && made.down.retransmissions == 0)
    }

    @Test("The packet type of a cooked capture tells what the recording host sent")
    func cookedPacketTypes() {
        let ip = B.ipv4(B.udp())
        func cooked(_ type: UInt8) -> Bool? { decode([0, type] + [UInt8](repeating: 0, count: 12) + [8, 0] + ip, .linuxSLL).isOutgoing }
        func cooked2(_ type: UInt8) -> Bool? { decode([8, 0] + [UInt8](repeating: 0, count: 8) + [type] + [UInt8](repeating: 0, count: 9) + ip, .linuxSLL2).isOutgoing }
        #expect([0, 1, 2, 3, 4].map(cooked) == [false, false, false, nil, true])
        #expect([0, 1, 2, 3, 4].map(cooked2) == [false, false, false, nil, true])
        #expect(decode(ip, .raw).isOutgoing == nil)
    }
}
