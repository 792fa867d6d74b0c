import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// A sender that pauses leaves the link idle: that is no hold, no capacity, and no edge of an outage.
@Suite struct SenderPauseTests {
    private static func opened(_ world: inout RecordedWorld, atServer: Bool, _ trip: Interval) {
        func stamp(up: Bool, at now: Instant) -> RecordedWorld.Stamp { (RecordedWorld.clock(up: up, now), RecordedWorld.clock(up: !up, now)) }
        let answer = Instant.zero + (atServer ? .zero : trip)
        let end = Instant.zero + trip
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2, stamp: stamp(up: true, at: .zero)), at: .zero)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12, stamp: stamp(up: false, at: answer)), at: answer)
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10, stamp: stamp(up: true, at: end)), at: end)
    }

    /// What the server's recorder sees of segments and of their acknowledgements.
    private func atServer(_ sent: [Instant], lost: Set<Int> = [], trip: Interval, isStamped: Bool) -> RecordedWorld { // lookup only
        var world = RecordedWorld()
        Self.opened(&world, atServer: true, .milliseconds(50))
        var events: [(at: Instant, isUp: Bool, number: Int)] = []
        for (number, at) in sent.enumerated() {
            events.append((at, false, number))
            if !lost.contains(number) { events.append((at + trip, true, number)) }
        }
        let firstLost = lost.min()
        for event in events.sorted(by: { ($0.at, $0.isUp ? 0 : 1, $0.number) < ($1.at, $1.isUp ? 0 : 1, $1.number) }) {
            let (from, to) = (1 + UInt32(event.number) * 1_448, 1 + UInt32(event.number + 1) * 1_448)
            if event.isUp {
                let isBeyond = firstLost.map { event.number > $0 } ?? false
                let stamp = (RecordedWorld.clock(up: true, event.at - trip / 2), RecordedWorld.clock(up: false, sent[event.number]))
                world.record(
                    up: true, proto: 6,
                    world.tcp(
                        up: true, sequence: 1, acknowledgement: isBeyond ? 1 + UInt32(firstLost ?? 0) * 1_448 : to, flags: 0x10, stamp: isStamped ? stamp : nil,
                        sack: isBeyond ? (from, to) : nil),
                    at: event.at)
            } else {
                world.record(
                    up: false, proto: 6,
                    world.tcp(up: false, sequence: from, acknowledgement: 1, flags: 0x10, payload: 1_448, stamp: isStamped ? (RecordedWorld.clock(up: false, event.at), RecordedWorld.clock(up: true, event.at)) : nil),
                    at: event.at)
            }
        }
        return world
    }

    private static func sends(pausing pause: Range<Int64>) -> [Instant] {
        stride(from: Int64(100), to: 3_000, by: 5).filter { !pause.contains($0) }.map { .zero + .milliseconds($0) }
    }

    @Test("data that was as long on its way as before the silence did not wait: it was sent later")
    func theDataIsNoOlder() throws {
        // A queue makes the round trip six times the path's: when the silence begins, the sender has long gone on.
        let world = atServer(Self.sends(pausing: 1_000..<1_250), trip: .milliseconds(300), isStamped: true)
        let outages = try LinkFit(world.timeline).outages
        #expect(outages.allSatisfy { $0.kind == .senderIdle }, "\(outages)")
    }

    @Test("a silence in which nothing could be answered is the sender's, whatever is missing")
    func nothingWasSentThatWouldBeAnswered() throws {
        let world = atServer(Self.sends(pausing: 1_000..<1_250), lost: [100, 101, 102, 103], trip: .milliseconds(50), isStamped: false)
        let outages = try LinkFit(world.timeline).outages
        #expect(outages.allSatisfy { $0.kind == .senderIdle }, "\(outages)")
    }

    @Test("throughput with pauses between is no capacity, though packets of each burst waited")
    func burstsAreNoCapacity() throws {
        let profile = LinkProfile(service: .constant(.kilobitsPerSecond(7_300)), delay: .milliseconds(10))
        let pauses = (1..<40).map { Instant.zero + .milliseconds(350 * $0 - 310) ..< Instant.zero + .milliseconds(350 * $0) }
        let world = RecordedWorld.repairedDownload(LinkScenario(up: profile, down: profile, seed: 3), window: 90, until: .zero + .seconds(14), recordedAt: .client, pauses: pauses)
        let fit = try LinkFit(world.timeline)
        #expect(fit.down.isLowerBound || abs(fit.down.capacity.inMegabitsPerSecond - 7.3) < 0.2, "\(fit.down.capacity.inMegabitsPerSecond): \(fit.down.capacityBasis)")
    }

    @Test("acknowledgements that waited and came together tell no more than what had come when they were made")
    func acknowledgementsThatCameTogether() throws {
        var world = RecordedWorld()
        Self.opened(&world, atServer: true, .milliseconds(50))
        struct Record { var at: Instant; var isUp: Bool; var number: Int; var made: Instant }
        var records: [Record] = []
        var chance = SeededGenerator(seed: 6)
        var sent = Instant.zero + .milliseconds(100)
        for number in 0..<4_000 {
            // At no pace that recurs.
            sent += .microseconds(800 + Int64(chance.next(below: 3_200)))
            let made = sent + .milliseconds(25)
            // Their own queue holds up to a second of them, and lets go of them within another.
            let phase = made.sinceStart.nanoseconds % 4_000_000_000
            let wait = phase < 2_000_000_000 ? phase / 2 : phase < 3_000_000_000 ? 3_000_000_000 - phase : 0
            records.append(Record(at: sent, isUp: false, number: number, made: sent))
            records.append(Record(at: made + .milliseconds(25) + Interval(nanoseconds: wait), isUp: true, number: number, made: made))
        }
        for record in records.sorted(by: { ($0.at, $0.number) < ($1.at, $1.number) }) {
            let stamp = (RecordedWorld.clock(up: record.isUp, record.made), UInt32(0))
            let sequence = 1 + UInt32(record.number) * 1_448
            world.record(
                up: record.isUp, proto: 6,
                world.tcp(
                    up: record.isUp, sequence: record.isUp ? 1 : sequence, acknowledgement: record.isUp ? sequence + 1_448 : 1, flags: 0x10, payload: record.isUp ? 0 : 1_448, stamp: stamp),
                at: record.at)
        }
        let fit = try LinkFit(world.timeline)
        #expect(fit.down.capacity.inMegabitsPerSecond < 5.2, "\(fit.down.capacity.inMegabitsPerSecond): \(fit.down.capacityBasis)")
    }

    @Test("a drop after the end of a message may have begun later: its sender may have paused first")
    func aDropAfterAMessage() throws {
        var world = RecordedWorld()
        Self.opened(&world, atServer: false, .milliseconds(26))
        var now = Instant.zero + .milliseconds(26)
        var (sequence, number) = (UInt32(1), 1)
        func answer(_ sizes: [Int], _ world: inout RecordedWorld) {
            for size in sizes {
                now += .milliseconds(4)
                let stamps = (RecordedWorld.clock(up: false, now), RecordedWorld.clock(up: true, now))
                world.record(up: false, proto: 6, world.tcp(up: false, sequence: sequence, acknowledgement: 1, flags: 0x10, payload: size, stamp: stamps), at: now, identification: number)
                (sequence, number) = (sequence + UInt32(size), number + 1)
                world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: sequence, flags: 0x10, stamp: (stamps.1, stamps.0)), at: now)
            }
        }
        let message = Array(repeating: 1_448, count: 16) + [900]
        for _ in 0..<6 {
            answer(message, &world)
            now += .milliseconds(80)
        }
        let ended = now - .milliseconds(80)
        // The next message, 300 ms later, is lost with all that its sender's timer sends of it, until a second after the last came.
        let truth = ended + .milliseconds(300)
        number += 27
        now = ended + .milliseconds(1_300)
        answer(message, &world)
        for _ in 0..<6 {
            now += .milliseconds(80)
            answer(message, &world)
        }
        let fit = try LinkFit(world.timeline)
        let drop = try #require(fit.outages.first { $0.kind == .drop })
        #expect((Instant.zero + drop.start - truth).magnitude <= drop.startUncertainty + .milliseconds(15), "\(drop)")
    }
}
