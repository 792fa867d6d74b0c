import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// What the packets do not tell is not stated.
@Suite struct UnprovenTests {
    private static let client: [UInt8] = [0x9C, 0x40]
    private static let server: [UInt8] = [0x14, 0x51]

    private func udp(_ isUp: Bool, _ payload: [UInt8]) -> [UInt8] {
        (isUp ? Self.client + Self.server : Self.server + Self.client) + [UInt8((payload.count + 8) >> 8), UInt8((payload.count + 8) & 255), 0, 0] + payload
    }

    /// A handshake of TCP beside the traffic: the recorder is at the client, 60 ms away.
    private func began() -> RecordedWorld {
        var world = RecordedWorld()
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: .zero)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: .zero + .milliseconds(60))
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10), at: .zero + .microseconds(60_100))
        return world
    }

    @Test("of datagrams that nobody answers an uneven pace is no capacity")
    func anUnevenPaceOfDatagrams() throws {
        var world = began()
        var now = Instant.zero + .milliseconds(100)
        for number in 1...4_000 {
            // 3 Mbit/s; a sender that was kept from its times makes up for them.
            let phase = number % 800
            now += .microseconds(phase < 500 ? 3_733 : phase < 650 ? 7_466 : 1_866)
            world.record(up: false, proto: 17, udp(false, [UInt8](repeating: 0x11, count: 1_372)), at: now, identification: number)
        }
        let fit = try LinkFit(world.timeline)
        #expect(fit.vantage == .client && fit.down.isLowerBound && !fit.down.isCapacityAssumed, "\(fit.down.capacityBasis)")
    }

    @Test("an end of a call hangs up before the other, and QUIC says goodbye under seal: neither fell silent", arguments: [2_500, 8_000])
    func whoHangsUp(_ after: Int) throws {
        for isQUIC in [false, true] {
            var world = began()
            let first: UInt8 = isQUIC ? 0x40 : 0x80
            if isQUIC {
                for isUp in [true, false, true] {
                    let hello = [0xC0, 0, 0, 0, 1, 8] + [UInt8](repeating: 7, count: 8) + [0] + [UInt8](repeating: 0, count: 1_185)
                    world.record(up: isUp, proto: 17, udp(isUp, hello), at: .zero + .milliseconds(100 + (isUp ? 0 : 60)), identification: 0)
                }
            }
            for step in 0..<(6_000 + after) / 20 {
                for isUp in [true, false] where !isUp || step < 300 {
                    let number = [UInt8(truncatingIfNeeded: step >> 8), UInt8(truncatingIfNeeded: step)]
                    let rtp: [UInt8] = [first, 0] + number + [0, 0] + number + [0, 0, 0, isUp ? 1 : 2] + [UInt8](repeating: 0, count: 160)
                    world.record(up: isUp, proto: 17, udp(isUp, rtp), at: .zero + .milliseconds(Int64(300 + step * 20)), identification: 0)
                }
            }
            let fit = try LinkFit(world.timeline)
            // Who says nothing for eight seconds of a call is gone.
            #expect(fit.silentEnds.count == (isQUIC || after < 5_000 ? 0 : 1), "\(isQUIC): \(fit.silentEnds)")
        }
    }

    @Test("of transfers both ways what is acknowledged bounds the rate: the other's acknowledgements, which share the queue, count for nothing")
    func transfersBothWays() throws {
        var world = began()
        // Data both ways, recorded where the upload is sent: 5 Mbit/s up, of which a sixth are the download's acknowledgements, of which half are lost.
        struct Record { var at: Instant; var isUp: Bool; var sequence, acknowledgement: UInt32; var bytes: Int }
        var records: [Record] = []
        var down: UInt32 = 1
        for number in 0..<4_000 as Range<UInt32> {
            let at = Instant.zero + .milliseconds(100) + .microseconds(2_440) * Int64(number)
            records.append(Record(at: at, isUp: true, sequence: 1 + number * 1_448, acknowledgement: down, bytes: 1_448))
            // Acknowledged 60 ms later, on data of the download.
            records.append(Record(at: at + .milliseconds(60), isUp: false, sequence: down, acknowledgement: 1 + (number + 1) * 1_448, bytes: 1_448))
            down += 1_448
            for part in 1...9 as ClosedRange<Int64> {
                records.append(Record(at: at + .microseconds(200 * part), isUp: true, sequence: 1 + (number + 1) * 1_448, acknowledgement: down, bytes: 0))
            }
        }
        for record in records.sorted(by: { ($0.at, $0.isUp ? 0 : 1) < ($1.at, $1.isUp ? 0 : 1) }) {
            let stamp = (RecordedWorld.clock(up: record.isUp, record.at), RecordedWorld.clock(up: !record.isUp, record.at))
            world.record(
                up: record.isUp, proto: 6,
                world.tcp(up: record.isUp, sequence: record.sequence, acknowledgement: record.acknowledgement, flags: 0x10, payload: record.bytes, stamp: stamp), at: record.at)
        }
        let fit = try LinkFit(world.timeline)
        // 1,500 bytes each 2.44 ms.
        #expect(fit.up.isLowerBound && fit.up.capacity.inMegabitsPerSecond <= 4.92 * 1.01 && fit.up.capacity.inMegabitsPerSecond > 4.5, "\(fit.up.capacity.inMegabitsPerSecond): \(fit.up.capacityBasis)")
    }

    @Test("where the numbering leaves out more than the sequence, ends of messages may have been lost: the sequence alone proves no share")
    func endsOfMessages() throws {
        var world = began()
        var (sequence, number, now) = (UInt32(1), 1, Instant.zero + .milliseconds(100))
        for message in 0..<60 {
            for part in 0..<20 {
                // The last nine of some are lost, and come again as if for the first time.
                if message % 8 == 0, part == 11 {
                    number += 9
                    now += .milliseconds(200)
                }
                world.record(up: false, proto: 6, world.tcp(up: false, sequence: sequence, acknowledgement: 1, flags: 0x10, payload: 1_448), at: now, identification: number)
                (sequence, number, now) = (sequence + 1_448, number + 1, now + .milliseconds(8))
                world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: sequence, flags: 0x10), at: now)
            }
            now += .milliseconds(20)
        }
        let fit = try LinkFit(world.timeline)
        #expect(!fit.down.isLossKnown || abs(fit.down.loss - 72.0 / 1_272) < 0.001, "\(fit.down.lossBasis)")
    }
}
