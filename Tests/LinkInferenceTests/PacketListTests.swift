import CaptureKit
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

/// What each packet of a flow is, and why.
@Suite struct PacketListTests {
    private struct Segment {
        var at: Int
        var up: Bool
        var sequence: UInt32
        var ack: UInt32
        var flags: UInt8 = 0x10
        var payload = 0
        var window = 0xFFFF
    }

    private static func lines(_ segments: [Segment]) throws -> [PacketLine] {
        let frames = segments.enumerated().map { index, segment in
            var tcp = CaptureBytes.tcp(
                from: segment.up ? 40_000 : 443, to: segment.up ? 443 : 40_000, sequence: segment.sequence, acknowledgement: segment.ack,
                flags: segment.flags, payload: segment.payload)
            (tcp[14], tcp[15]) = (UInt8(segment.window >> 8), UInt8(segment.window & 0xFF))
            return CaptureBytes.Packet(
                timeNs: 1_000_000_000 + segment.at * 1_000_000,
                bytes: CaptureBytes.ipv4(proto: 6, from: segment.up ? 0x0A00_0001 : 0x0A00_0002, to: segment.up ? 0x0A00_0002 : 0x0A00_0001, id: index + 1, tcp))
        }
        let bytes = CaptureBytes.pcap(frames)
        let chosen = try ChosenFlow(.number(1), in: try CaptureFile(bytes: bytes, name: "a"), within: nil)
        var list = PacketList(chosen)
        let file = try CaptureFile(bytes: bytes, name: "a")
        var lines: [PacketLine] = []
        while let packet = file.next() { if let line = list.take(packet) { lines.append(line) } }
        #expect(lines.count == segments.count)
        return lines
    }

    private static let opening = [
        Segment(at: 0, up: true, sequence: 4_294_967_000, ack: 0, flags: 2), Segment(at: 50, up: false, sequence: 9_000, ack: 4_294_967_001, flags: 0x12),
        Segment(at: 50, up: true, sequence: 4_294_967_001, ack: 9_001),
    ]

    @Test func numbersCountFromTheFirstAndBeyondTheEndOfTheirCircle() throws {
        let lines = try Self.lines(Self.opening + [
            Segment(at: 60, up: true, sequence: 4_294_967_001, ack: 9_001, flags: 0x18, payload: 1_000),
            Segment(at: 110, up: false, sequence: 9_001, ack: 705, payload: 0),
            Segment(at: 111, up: true, sequence: 705, ack: 9_001, flags: 0x18, payload: 10),
        ])
        #expect(lines.map(\.kind) == [.syn, .synAck, .acknowledgement, .data, .acknowledgement, .data])
        #expect(lines.map(\.sequence) == [0, 0, 1, 1, 1, 1_001] && lines.map(\.acknowledgement) == [nil, 1, 1, 1, 1_001, 1])
        #expect(lines.map(\.direction) == ["up", "down", "up", "up", "down", "up"] && lines[3].flags == "PSH,ACK")
        #expect(lines[4].rttMs == 50 && lines[3].timeS == 0.06)
    }

    @Test func whatIsSentAgainSaysWhy() throws {
        var segments = Self.opening
        for index in 0..<5 { segments.append(Segment(at: 60 + index, up: false, sequence: 9_001 + UInt32(index) * 1_000, ack: 4_294_967_001, payload: 1_000)) }
        // The first is missing at the receiver.
        for index in 0..<4 { segments.append(Segment(at: 110 + index, up: true, sequence: 4_294_967_001, ack: 9_001 + (index == 0 ? 0 : 0))) }
        segments.append(Segment(at: 116, up: false, sequence: 9_001, ack: 4_294_967_001, payload: 1_000))
        segments.append(Segment(at: 166, up: true, sequence: 4_294_967_001, ack: 14_001))
        // Acknowledged already.
        segments.append(Segment(at: 170, up: false, sequence: 13_001, ack: 4_294_967_001, payload: 1_000))
        // A lone segment, and its timer.
        segments.append(Segment(at: 200, up: false, sequence: 14_001, ack: 4_294_967_001, payload: 500))
        segments.append(Segment(at: 1_700, up: false, sequence: 14_001, ack: 4_294_967_001, payload: 500))
        let lines = try Self.lines(segments)
        #expect(lines[8..<12].allSatisfy { $0.kind == .duplicateAcknowledgement } && lines[10].reason == "number 3, byte 1 is missing")
        #expect(lines[12].kind == .retransmission && lines[12].cause == "fast" && lines[12].spurious == nil && lines[12].sequence == 1)
        #expect(lines[14].kind == .retransmission && lines[14].spurious == true && lines[14].reason?.contains("needlessly") == true)
        #expect(lines[16].kind == .retransmission && lines[16].cause == "timeout", "\(lines[16])")
    }

    @Test func probesKeepAlivesAndHandshakesAreTold() throws {
        let lines = try Self.lines([
            Segment(at: 0, up: true, sequence: 100, ack: 0, flags: 2), Segment(at: 1_000, up: true, sequence: 100, ack: 0, flags: 2),
            Segment(at: 1_050, up: false, sequence: 500, ack: 101, flags: 0x12), Segment(at: 1_050, up: true, sequence: 101, ack: 501),
            Segment(at: 1_060, up: true, sequence: 101, ack: 501, payload: 100), Segment(at: 1_110, up: false, sequence: 501, ack: 201, window: 0),
            Segment(at: 1_500, up: true, sequence: 201, ack: 501, payload: 1), Segment(at: 1_550, up: false, sequence: 501, ack: 201, window: 0),
            Segment(at: 1_600, up: false, sequence: 501, ack: 201, window: 4_000),
            Segment(at: 9_000, up: false, sequence: 500, ack: 201, window: 4_000), Segment(at: 9_050, up: true, sequence: 201, ack: 501),
            Segment(at: 9_100, up: true, sequence: 201, ack: 501, flags: 0x11), Segment(at: 9_400, up: true, sequence: 201, ack: 501, flags: 0x11),
            Segment(at: 9_450, up: false, sequence: 501, ack: 202, flags: 0x14),
        ])
        #expect(lines.map(\.kind) == [
            .syn, .synAgain, .synAck, .acknowledgement, .data, .zeroWindow, .windowProbe, .zeroWindow, .windowUpdate, .keepAlive, .acknowledgement, .fin,
            .finAgain, .reset,
        ])
        #expect(lines[8].reason == "the window is open again")
    }

    @Test func aHoleThatIsFilledSoonWasReordering() throws {
        let lines = try Self.lines(Self.opening + [
            Segment(at: 60, up: false, sequence: 9_001, ack: 4_294_967_001, payload: 1_000), Segment(at: 61, up: false, sequence: 11_001, ack: 4_294_967_001, payload: 1_000),
            Segment(at: 62, up: false, sequence: 10_001, ack: 4_294_967_001, payload: 1_000), Segment(at: 63, up: false, sequence: 13_001, ack: 4_294_967_001, payload: 1_000),
            Segment(at: 400, up: false, sequence: 12_001, ack: 4_294_967_001, payload: 1_000),
        ])
        #expect(lines.suffix(5).map(\.kind) == [.data, .data, .outOfOrder, .data, .lateFill])
    }
}

/// Moments as somebody writes them.
@Suite struct CaptureTimeTests {
    @Test(arguments: [
        ("12.5", CaptureTime.sinceStart(.milliseconds(12_500))), ("2m", .sinceStart(.seconds(120))), ("0", .sinceStart(.zero)),
        ("1970-01-01T00:00:00Z", .wallClock(0)), ("2026-11-24T13:21:30.85Z", .wallClock(1_795_526_490_850_000_000)),
        ("2026-11-24T14:21:30.850+01:00", .wallClock(1_795_526_490_850_000_000)), ("2026-11-24 13:21:30.850 UTC", .wallClock(1_795_526_490_850_000_000)),
        ("2024-02-29t23:59:59.000000001z", .wallClock(1_709_251_199_000_000_001)),
    ]) func isRead(text: String, time: CaptureTime) { #expect(CaptureTime(text) == time) }

    @Test(arguments: [
        "", "x", "12 parsecs", "2026-11-24", "2026-11-24T13:21Z", "2026-11-24T13:21:30", "2023-02-29T00:00:00Z", "2026-13-01T00:00:00Z", "2026-11-24T24:00:00Z",
        "2026-11-24T13:21:30.Z", "2026-11-24T13:21:30Zx", "9999-01-01T00:00:00Z", "2026-11-24T13:21:30+1:00", "2026-11-2½T13:21:30Z",
    ]) func isNone(text: String) { #expect(CaptureTime(text) == nil) }

    @Test func countsFromTheStart() {
        #expect(CaptureTime.wallClock(5_000).sinceStart(of: 3_000) == .nanoseconds(2_000))
        #expect(CaptureTime.sinceStart(.seconds(1)).sinceStart(of: 3_000) == .seconds(1))
        #expect(CaptureTime.wallClock(.max).sinceStart(of: .min) > .zero && CaptureTime.wallClock(.min).sinceStart(of: .max) < .zero)
    }
}
