import CaptureKit
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

/// Where a sender's pause ends and an outage begins, seen at the client, 25 ms away.
@Suite struct PauseEdgeTests {
    private static let way = Interval.milliseconds(25)

    private static func began() -> RecordedWorld {
        var world = RecordedWorld()
        func stamp(up: Bool) -> RecordedWorld.Stamp { (RecordedWorld.clock(up: up, .zero), 0) }
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2, stamp: stamp(up: true)), at: .zero)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12, stamp: stamp(up: false)), at: .zero + way * 2)
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10, stamp: stamp(up: true)), at: .zero + way * 2)
        return world
    }

    /// A segment that was sent then and waited so long, and its acknowledgement.
    private static func pass(_ sent: Instant, waited: Interval = .zero, from sequence: UInt32, bytes: Int, number: Int, acknowledging: UInt32? = nil, _ world: inout RecordedWorld) {
        let at = sent + way + waited
        let stamps = (RecordedWorld.clock(up: false, sent), RecordedWorld.clock(up: true, sent - way))
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: sequence, acknowledgement: 1, flags: 0x10, payload: bytes, stamp: stamps), at: at, identification: number)
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: acknowledging ?? sequence + UInt32(bytes), flags: 0x10, stamp: (RecordedWorld.clock(up: true, at), stamps.0)), at: at)
    }

    @Test("a pause ends when what ended it was sent, though that waited as what came before it had")
    func whatEndedItWaited() throws {
        var world = Self.began()
        var sequence: UInt32 = 1
        let pause = 1_000..<1_300 as Range<Int64>
        for (number, ms) in stride(from: Int64(100), to: 3_000, by: 5).filter({ !pause.contains($0) }).enumerated() {
            Self.pass(.zero + .milliseconds(ms), waited: (900..<1_400).contains(ms) ? .milliseconds(40) : .zero, from: sequence, bytes: 1_448, number: number + 1, &world)
            sequence += 1_448
        }
        let idle = try #require(LinkFit(world.timeline).outages.first { $0.kind == .senderIdle })
        #expect(idle.start + idle.length - idle.endUncertainty <= .milliseconds(1_301), "\(idle)")
        #expect(idle.start <= .milliseconds(1_041) && idle.length >= .milliseconds(240), "\(idle)")
    }

    @Test("a drop that took the beginning of the next message may have begun before it was sent")
    func aDropThatTookTheBeginning() throws {
        var world = Self.began()
        var (sequence, number, now) = (UInt32(1), 1, Instant.zero + .milliseconds(100))
        var missing: UInt32?
        func send(_ count: Int, _ bytes: Int, isLost: Bool = false, _ world: inout RecordedWorld) {
            for _ in 0..<count {
                if !isLost { Self.pass(now, from: sequence, bytes: bytes, number: number, acknowledging: missing, &world) }
                (sequence, number, now) = (sequence + UInt32(bytes), number + 1, now + .milliseconds(2))
            }
        }
        for _ in 0..<4 {
            send(100, 1_448, &world)
            send(1, 577, &world)
            now += .milliseconds(260)
        }
        let begin = now
        let lost = sequence
        send(42, 1_448, isLost: true, &world)
        missing = lost
        send(60, 1_448, &world)
        // All of it again.
        var again = lost
        for part in 0..<42 {
            Self.pass(now, from: again, bytes: 1_448, number: number, acknowledging: part < 41 ? nil : sequence, &world)
            (again, number, now) = (again + 1_448, number + 1, now + .milliseconds(2))
        }
        missing = nil
        send(100, 1_448, &world)
        let drop = try #require(LinkFit(world.timeline).outages.first { $0.kind == .drop })
        let start = Instant.zero + drop.start
        #expect(start - drop.startUncertainty <= begin && start + drop.startUncertainty >= begin - .milliseconds(20), "\(drop): \(begin)")
    }

    @Test("whoever has nothing more to send echoes none of the acknowledgements that waited: it is not told that they were lost")
    func nothingMoreToSend() throws {
        var world = Self.began()
        var (sequence, asked, number, now) = (UInt32(1), UInt32(1), 1, Instant.zero + .milliseconds(200))
        var echo: UInt32 = 0
        func data(_ at: Instant, _ from: UInt32, _ bytes: Int, _ world: inout RecordedWorld) {
            world.record(
                up: false, proto: 6,
                world.tcp(up: false, sequence: from, acknowledgement: asked, flags: 0x18, payload: bytes, stamp: (RecordedWorld.clock(up: false, at - Self.way), echo)), at: at, identification: number)
            number += 1
            world.record(up: true, proto: 6, world.tcp(up: true, sequence: asked, acknowledgement: sequence, flags: 0x10, stamp: (RecordedWorld.clock(up: true, at), RecordedWorld.clock(up: false, at - Self.way))), at: at)
        }
        for turn in 0..<9 {
            // A request, and 200 ms later its answer, which echoes it.
            world.record(up: true, proto: 6, world.tcp(up: true, sequence: asked, acknowledgement: sequence, flags: 0x18, payload: 300, stamp: (RecordedWorld.clock(up: true, now), 1)), at: now)
            asked += 300
            echo = RecordedWorld.clock(up: true, now)
            now += Self.way * 2
            for part in 0..<20 {
                let bytes = part < 19 ? 1_448 : 10
                sequence += UInt32(bytes)
                data(now, sequence - UInt32(bytes), bytes, &world)
                now += .milliseconds(1)
            }
            // In one turn the acknowledgements wait for 180 ms, so that the last segment is sent again.
            now += .milliseconds(230)
            if turn == 5 { data(now, sequence - 10, 10, &world) }
            now += .milliseconds(15)
        }
        let outages = try LinkFit(world.timeline).outages.filter { $0.kind == .drop }
        #expect(outages.isEmpty, "\(outages)")
    }
}
