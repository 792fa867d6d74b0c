import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// What packets look like and do not prove is not stated.
@Suite struct ClaimTests {
    private static let client: [UInt8] = [0x9C, 0x40]
    private static let server: [UInt8] = [0x14, 0x51]

    private func udp(_ up: Bool, _ bytes: Int) -> [UInt8] {
        (up ? Self.client + Self.server : Self.server + Self.client) + [UInt8((bytes + 8) >> 8), UInt8((bytes + 8) & 255), 0, 0] + [UInt8](repeating: 0x11, count: bytes)
    }

    private func header(_ flags: TCPFlags, _ sequence: UInt32, _ acknowledgement: UInt32, bytes: Int = 0) -> TCPHeader {
        TCPHeader(sequence: sequence, acknowledgement: acknowledgement, flags: flags, window: 500, payloadBytes: bytes)
    }

    // MARK: Round trips (Karn)

    @Test("A SYN sent again, and its answer, are no round trip")
    func aSYNSentAgainIsNoSample() {
        var tracker = TCPTracker()
        func at(_ ms: Int64) -> Instant { .zero + .milliseconds(ms) }
        for ms in [0, 1_000, 3_000] as [Int64] { _ = tracker.observe(header(.syn, 0, 0), .up, at: at(ms)) }
        #expect(tracker.observe(header([.syn, .ack], 700, 1), .down, at: at(3_050)).rtt == nil)
        _ = tracker.observe(header(.ack, 1, 701), .up, at: at(3_050))
        for turn in 0..<10 {
            _ = tracker.observe(header(.ack, 1 + UInt32(turn) * 100, 701, bytes: 100), .up, at: at(4_000 + Int64(turn) * 100))
            _ = tracker.observe(header(.ack, 701, 101 + UInt32(turn) * 100), .down, at: at(4_050 + Int64(turn) * 100))
        }
        #expect(tracker.up.roundTrips.largest == 50_000_000 && tracker.up.roundTrips.count == 10 && tracker.up.synAgain == 2)
        #expect(tracker.handshake == nil)
    }

    @Test("A SYN-ACK sent again is none either, nor is data that comes in place of its acknowledgement")
    func aSYNACKSentAgainIsNoSample() {
        var again = TCPTracker()
        _ = again.observe(header(.syn, 0, 0), .up, at: .zero)
        _ = again.observe(header([.syn, .ack], 700, 1), .down, at: .zero + .milliseconds(1))
        _ = again.observe(header([.syn, .ack], 700, 1), .down, at: .zero + .milliseconds(1_001))
        #expect(again.observe(header(.ack, 1, 701), .up, at: .zero + .milliseconds(1_040)).rtt == nil)
        #expect(again.handshake == nil && again.down.roundTrips.count == 0)
        var late = TCPTracker()
        _ = late.observe(header(.syn, 0, 0), .up, at: .zero)
        _ = late.observe(header([.syn, .ack], 700, 1), .down, at: .zero + .milliseconds(1))
        // The acknowledgement was lost; the client spoke when it had something to say.
        _ = late.observe(header(.ack, 1, 701, bytes: 80), .up, at: .zero + .milliseconds(400))
        #expect(late.handshake == nil)
    }

    @Test("A datagram that opens a connection and is sent again says neither how long the path is nor where it was seen")
    func aHelloSentAgainIsNoSample() throws {
        var world = RecordedWorld()
        for (up, ms) in [(true, 0), (true, 1_000), (false, 1_060), (true, 1_061)] as [(Bool, Int64)] {
            world.record(up: up, proto: 17, udp(up, 1_200), at: .zero + .milliseconds(ms), identification: 0)
        }
        for number in 0..<400 { world.record(up: false, proto: 17, udp(false, 600), at: .zero + .milliseconds(1_100 + Int64(number) * 5), identification: 0) }
        let fit = try LinkFit(world.timeline)
        #expect(fit.vantage == .unknown && fit.report.baseRttMs == nil, "\(fit.vantage), \(fit.baseRTT)")
    }

    @Test("One byte sent again by a timer is no keep-alive; after a second's rest it is one")
    func aTimersByteIsNoKeepAlive() {
        for (pause, isKeepAlive) in [(250, false), (1_100, true)] as [(Int64, Bool)] {
            var tracker = TCPTracker()
            _ = tracker.observe(header(.ack, 1, 1, bytes: 1), .down, at: .zero)
            _ = tracker.observe(header(.ack, 1, 2), .up, at: .zero + .milliseconds(1))
            _ = tracker.observe(header(.ack, 1, 1, bytes: 1), .down, at: .zero + .milliseconds(pause))
            #expect(tracker.down.keepAlives == (isKeepAlive ? 1 : 0) && tracker.down.retransmissions == (isKeepAlive ? 0 : 1))
        }
    }

    // MARK: Capacity

    /// A download whose sender keeps a pace, at the client, 50 ms away.
    private func paced(every spacing: Interval) -> RecordedWorld {
        var world = RecordedWorld()
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: .zero)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: .zero + .milliseconds(50))
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10), at: .zero + .milliseconds(50))
        for number in 0..<2_000 {
            let at = Instant.zero + .milliseconds(100) + spacing * Int64(number)
            let heard = RecordedWorld.clock(up: true, at - .milliseconds(50))
            world.record(
                up: false, proto: 6,
                world.tcp(up: false, sequence: 1 &+ UInt32(number) &* 1_448, acknowledgement: 1, flags: 0x10, payload: 1_448, stamp: (RecordedWorld.clock(up: false, at - .milliseconds(25)), heard)),
                at: at, identification: number + 1)
            world.record(
                up: true, proto: 6,
                world.tcp(up: true, sequence: 1, acknowledgement: 1 &+ UInt32(number + 1) &* 1_448, flags: 0x10, stamp: (RecordedWorld.clock(up: true, at), RecordedWorld.clock(up: false, at - .milliseconds(25)))),
                at: at, identification: number + 1)
        }
        return world
    }

    // Each 4 ms no echo meets its stamp: nothing tells how long packets waited.
    @Test("An even pace at which nothing waits, or nobody knows it, is its sender's, and bounds the link from below", arguments: [5, 4])
    func aPaceIsNoCapacity(_ milliseconds: Int64) throws {
        let fit = try LinkFit(paced(every: .milliseconds(milliseconds)).timeline)
        #expect(fit.down.isLowerBound && abs(fit.down.capacity.inMegabitsPerSecond - 12 / Double(milliseconds)) < 0.1, "\(fit.down.capacity) \(fit.down.capacityBasis)")
    }

    @Test("What was sent before the link says nothing of what it carries")
    func offeredLoadIsNoCapacity() throws {
        var world = RecordedWorld()
        for (up, ms) in [(true, 0), (false, 40), (true, 41)] as [(Bool, Int64)] { world.record(up: up, proto: 17, udp(up, 1_200), at: .zero + .milliseconds(ms), identification: 0) }
        for number in 0..<4_000 {
            world.record(up: true, proto: 17, udp(true, 1_200), at: .zero + .milliseconds(100) + .microseconds(700) * Int64(number), identification: 0)
            if number % 10 == 0 { world.record(up: false, proto: 17, udp(false, 40), at: .zero + .milliseconds(141) + .microseconds(700) * Int64(number), identification: 0) }
        }
        let fit = try LinkFit(world.timeline)
        #expect(fit.vantage == .client && LinkReport(fit).up.capacityMbps == nil && fit.report.up.capacityMbps == nil)
        #expect(fit.report.up.assumedCapacityMbps ?? 0 > 10 && fit.report.up.capacityText.contains("unknown"))
    }

    // MARK: Losses and pauses

    @Test("Of messages of one segment each a loss does not show behind the link")
    func smallTalkHidesItsLosses() throws {
        var world = RecordedWorld()
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: .zero)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: .zero + .milliseconds(1))
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10), at: .zero + .milliseconds(51))
        for number in 0..<200 {
            let at = Instant.zero + .milliseconds(100) + .milliseconds(100) * Int64(number)
            world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1 + UInt32(number) * 300, acknowledgement: 1, flags: 0x18, payload: 300), at: at)
            world.record(up: false, proto: 6, world.tcp(up: false, sequence: 1, acknowledgement: 301 + UInt32(number) * 300, flags: 0x10), at: at + .milliseconds(1))
        }
        let fit = try LinkFit(world.timeline)
        #expect(fit.vantage == .server && fit.report.up.lossRate == nil, "\(fit.up.lossBasis)")
    }

    @Test("RTP whose media clock goes on through a silence had a sender that paused")
    func aMediaClockTellsAPause() throws {
        var world = RecordedWorld()
        for number in 0..<600 {
            let isAfter = number >= 300
            let (at, stamp) = (Int64(number) * 20 + (isAfter ? 900 : 0), number * 160 + (isAfter ? 7_200 : 0))
            let rtp: [UInt8] = [0x80, 0, UInt8(number >> 8), UInt8(number & 255), 0, UInt8(stamp >> 16 & 255), UInt8(stamp >> 8 & 255), UInt8(stamp & 255), 0, 0, 0, 1]
            world.record(up: false, proto: 17, Self.server + Self.client + [0, 180, 0, 0] + rtp + [UInt8](repeating: 0, count: 160), at: .zero + .milliseconds(at), identification: number)
        }
        let fit = try LinkFit(world.timeline)
        #expect(fit.outages.map(\.kind) == [.senderIdle], "\(fit.outages)")
    }

    @Test("One flow of datagrams that stops and goes on may have paused; two that do so together were held")
    func severalFlowsTellAHold() throws {
        for flows in 1...2 {
            var world = RecordedWorld()
            for (up, ms) in [(true, 0), (false, 60), (true, 61)] as [(Bool, Int64)] { world.record(up: up, proto: 17, udp(up, 1_200), at: .zero + .milliseconds(ms), identification: 0) }
            for number in 0..<3_000 {
                // Held for 1.2 s.
                let at = Instant.zero + .milliseconds(100) + .milliseconds(2) * Int64(number) + (number >= 1_500 ? .milliseconds(1_200) : .zero)
                let port: [UInt8] = number % flows == 0 ? Self.client : [0x9C, 0x41]
                world.record(up: false, proto: 17, Self.server + port + [4, 184, 0, 0] + [UInt8](repeating: 0x11, count: 1_200), at: at, identification: 0)
                if number % 4 == 0 { world.record(up: true, proto: 17, port + Self.server + [0, 48, 0, 0] + [UInt8](repeating: 0x11, count: 40), at: at, identification: 0) }
            }
            let found = try LinkFit(world.timeline).outages.filter { $0.kind != .senderIdle }
            #expect(found.map(\.kind) == (flows == 2 ? [.hold] : []), "\(flows): \(found)")
        }
    }
}
