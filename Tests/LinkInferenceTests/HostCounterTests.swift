import CaptureKit
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

/// Numbers that one connection's packets leave out prove a loss only where they are its own: Windows numbers all that a host
/// sends in one count, and a capture may hold one connection of many.
@Suite struct HostCounterTests {
    private typealias World = RecordedWorld

    private static func open(_ world: inout World) {
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: .zero)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: .zero + .milliseconds(150), identification: 1)
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10), at: .zero + .milliseconds(150))
    }

    /// Bursts of 16 segments every 300 ms; meanwhile the host sends `others` packets to somebody else.
    private func bursts(hops: UInt8, others: Int) throws -> LinkFit {
        var world = World()
        Self.open(&world)
        var (sequence, number) = (UInt32(1), 1)
        for burst in 0..<20 {
            number += others
            for index in 0..<16 {
                number += 1
                let at = Instant.zero + .milliseconds(300 * (Int64(burst) + 1)) + .microseconds(Int64(index) * 100)
                world.record(up: false, proto: 6, world.tcp(up: false, sequence: sequence, acknowledgement: 1, flags: 0x10, payload: 1_382), at: at, identification: number, hops: hops)
                sequence += 1_382
                world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: sequence, flags: 0x10), at: at)
            }
        }
        return try LinkFit(world.timeline)
    }

    @Test("jumps over pauses are no outages where the host counts for all its peers", arguments: [106, 128, 250] as [UInt8])
    func jumpsOfAHost(_ hops: UInt8) throws {
        let fit = try bursts(hops: hops, others: 40)
        #expect(!fit.outages.contains { $0.kind != .senderIdle }, "\(fit.outages)")
    }

    @Test("what goes on in a burst was sent by no timer: nothing before it was lost")
    func aBurstAfterTheSilence() throws {
        let fit = try bursts(hops: 57, others: 40)
        #expect(!fit.outages.contains { $0.kind != .senderIdle }, "\(fit.outages)")
    }

    /// Requests of 200 bytes and answers in turn, seen at the server.
    private func requests(hops: UInt8, skipping skipped: ClosedRange<Int>?, isRecorded: (Int) -> Bool = { _ in true }) throws -> LinkFit {
        var world = World()
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: .zero, identification: 1, hops: hops)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: .zero)
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10), at: .zero + .milliseconds(30), identification: 2, hops: hops)
        var number = 2
        for index in 0..<60 {
            number += skipped.map { $0.contains(index) ? 2 : 1 } ?? 1
            let at = Instant.zero + .milliseconds(60 + Int64(index) * 31)
            let (request, answer) = (1 + UInt32(index) * 200, 1 + UInt32(index) * 300)
            if isRecorded(index) {
                world.record(up: true, proto: 6, world.tcp(up: true, sequence: request, acknowledgement: answer, flags: 0x18, payload: 200), at: at, identification: number, hops: hops)
            }
            world.record(up: false, proto: 6, world.tcp(up: false, sequence: answer, acknowledgement: request + 200, flags: 0x18, payload: 300), at: at + .milliseconds(1))
        }
        return try LinkFit(world.timeline)
    }

    @Test("two numbers left out where nothing is missing in sequence are another connection's")
    func requestsOfAHost() throws {
        let fit = try requests(hops: 125, skipping: 20...21)
        #expect(fit.up.loss == 0, "\(fit.up.lossBasis)")
        #expect(fit.vantage == .server)
    }

    @Test("a number whose packet was acknowledged and not recorded is the recorder's loss")
    func acknowledgedAndNotRecorded() throws {
        let fit = try requests(hops: 60, skipping: nil) { $0 != 30 }
        #expect(fit.up.loss == 0, "\(fit.up.lossBasis)")
    }
}
