import CaptureKit
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

/// What was sent again without a reason that the capture shows, and what only looks sent again, missed or empty.
@Suite struct UnexplainedResendTests {
    private typealias B = CaptureBytes

    private struct Capture {
        var builder = CaptureSummary.Builder()
        private var number = 0

        /// - Parameters:
        ///   - fragments: payload bytes of the first IP fragment; the rest comes in a second one. Nil: it is whole.
        ///   - snap: bytes kept of each packet.
        mutating func send(
            _ ms: Int64, up: Bool = false, _ sequence: UInt32, ack: UInt32 = 1, bytes: Int = 0, flags: UInt8 = 0x10, fragmentedAt first: Int? = nil, snap: Int = .max
        ) {
            let segment = B.tcp(from: up ? 40_000 : 179, to: up ? 179 : 40_000, sequence: sequence, acknowledgement: ack, flags: flags, payload: bytes)
            let cuts = first.map { [0..<20 + $0, 20 + $0..<segment.count] } ?? [0..<segment.count]
            number += 1
            let datagram = number
            for (index, cut) in cuts.enumerated() {
                let fragment = first == nil ? 0 : cut.lowerBound / 8 | (index == 0 ? 0x2000 : 0)
                let frame = B.ipv4(proto: 6, from: up ? 0x0A00_0001 : 0x0A00_0002, to: up ? 0x0A00_0002 : 0x0A00_0001, id: datagram, fragment: fragment, Array(segment[cut]))
                let kept = Array(frame.prefix(snap))
                builder.add(
                    CapturedPacket(
                        number: number, time: .zero + .milliseconds(ms), epochNanoseconds: ms * 1_000_000, wireBytes: frame.count, capturedBytes: kept.count,
                        headers: LinkLayer.decode(kept.span, linkType: .raw, wireBytes: frame.count)))
            }
        }

        mutating func open() {
            send(0, up: true, 0, ack: 0, flags: 2)
            send(50, 0, ack: 1, flags: 0x12)
            send(51, up: true, 1)
        }

        var summary: CaptureSummary {
            var builder = builder
            return builder.finish(file: "made", format: "pcap", linkType: "RAW", truncation: nil)
        }
        var down: CaptureSummary.FlowSide { summary.flows[0].down }
    }

    @Test("too soon for a timer and not asked for: why is not told, and nothing says that it was lost")
    func tooSoon() {
        var made = Capture()
        made.open()
        for index in 0..<3 { made.send(100, 1 + UInt32(index) * 1_000, bytes: 1_000) }
        // It overlaps what was sent by a few bytes and goes on with new ones.
        made.send(100, 2_980, bytes: 500)
        made.send(160, up: true, 1, ack: 3_480)
        let down = made.down
        #expect(down.retransmissions == 1 && down.unexplainedRetransmissions == 1)
        #expect(down.tailRetransmissions == 0 && down.fastRetransmissions == 0 && down.timeoutRetransmissions == 0)
        #expect(down.lost == nil && down.meanBurst == nil)
    }

    @Test("of a capture that holds one direction nothing tells why something was sent again")
    func oneWay() {
        var made = Capture()
        for ms in [0, 300, 900] as [Int64] { made.send(ms, 1, bytes: 500) }
        made.send(2_000, 501, bytes: 500)
        let side = made.down
        #expect(side.retransmissions == 2 && side.unexplainedRetransmissions == 2 && side.lost == nil)
    }

    @Test("what was sent again is lost for sure once something of it is acknowledged, however much follows")
    func muchFollows() {
        var tracker = TCPTracker()
        func send(_ ms: Int64, up: Bool, _ sequence: UInt32, ack: UInt32, bytes: Int = 0) {
            _ = tracker.observe(
                TCPHeader(sequence: sequence, acknowledgement: ack, flags: .ack, window: 500, payloadBytes: bytes, timestamp: nil), up ? .up : .down,
                at: .zero + .milliseconds(ms))
        }
        // Four segments of 60 MB each, of which the first is lost; 4 GB in all.
        let size = 60_000_000
        for index in 0..<4 as Range<UInt32> { send(Int64(index), up: false, 1 + index * UInt32(size), ack: 1, bytes: size) }
        for index in 0..<3 as Range<Int64> { send(50 + index, up: true, 1, ack: 1) }
        send(60, up: false, 1, ack: 1, bytes: size)
        #expect(tracker.down.lost == nil)
        send(110, up: true, 1, ack: 240_000_001)
        for index in 4..<70 as Range<UInt32> {
            send(Int64(index) * 100, up: false, 1 &+ index &* UInt32(size), ack: 1, bytes: size)
            send(Int64(index) * 100 + 50, up: true, 1, ack: 1 &+ (index + 1) &* UInt32(size))
            #expect(tracker.down.lost == 1)
        }
    }

    @Test("the SYN-ACK of who opened at the same time has its SYN's number, and is no SYN-ACK again")
    func simultaneousOpen() {
        var made = Capture()
        made.send(0, up: true, 100, ack: 0, flags: 2)
        made.send(1, 900, ack: 0, flags: 2)
        made.send(30, up: true, 100, ack: 901, flags: 0x12)
        made.send(31, 900, ack: 101, flags: 0x12)
        made.send(60, up: true, 101, ack: 901, bytes: 10)
        made.send(61, 901, ack: 111, bytes: 10)
        let flow = made.summary.flows[0]
        #expect(made.summary.flows.count == 1 && flow.state == "open")
        #expect(flow.up.synRetransmissions == 0 && flow.down.synRetransmissions == 0 && flow.up.lost == 0 && flow.down.retransmissions == 0)
        made.send(90, 900, ack: 101, flags: 0x12)
        #expect(made.down.synRetransmissions == 1)
    }

    @Test("bytes in a segment's later fragments are no bytes that the recorder missed")
    func fragments() {
        var made = Capture()
        made.open()
        for index in 0..<8 {
            let at = Int64(100 + index * 60)
            made.send(at, 1 + UInt32(index) * 2_000, bytes: 2_000, fragmentedAt: 1_004)
            made.send(at + 50, up: true, 1, ack: 1 + UInt32(index + 1) * 2_000)
        }
        let summary = made.summary
        let down = summary.flows.filter { $0.protocolName == "tcp" }[0].down
        #expect(down.unrecordedBytes == 0 && down.lost == 0 && down.retransmissions == 0 && summary.connections?.unrecordedBytes == 0)
        // What lies beyond a datagram's end was missed all the same.
        made.send(700, up: true, 1, ack: 1 + 16_000 + 70_000)
        #expect(made.down.unrecordedBytes == 70_000)
    }

    @Test("where a snap length cuts TCP headers nothing is said of what they hold")
    func cutHeaders() {
        var made = Capture()
        for index in 0..<6 {
            made.send(Int64(index) * 10, 1 + UInt32(index) * 1_000, bytes: 1_000, snap: 26)
            made.send(Int64(index) * 10 + 1, up: true, 1, ack: 1_001, snap: 26)
        }
        let (summary, flow) = (made.summary, made.summary.flows[0])
        for side in [flow.up, flow.down] {
            #expect(side.packets == 6 && side.payloadBytes == nil && side.retransmissions == nil && side.lost == nil && side.zeroWindows == nil && side.unrecordedBytes == nil)
        }
        #expect(flow.state == nil && flow.protocolName == "tcp" && summary.connections == nil && summary.up.payloadBytes == nil)
    }
}
