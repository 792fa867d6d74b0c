import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// A path's length is stated where its shortest round trip was seen again; else it is a bound.
@Suite struct ShortestTripTests {
    /// A connection whose client asks, and is answered after each of `trips` in milliseconds.
    private func fitted(handshake: Int64, trips: [Int64]) throws -> LinkFit {
        var world = RecordedWorld()
        var now = Instant.zero
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: now)
        now += .milliseconds(handshake)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: now)
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10), at: now)
        for (turn, trip) in trips.enumerated() {
            now += .milliseconds(20)
            world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1 + UInt32(turn) * 10, acknowledgement: 1 + UInt32(turn) * 10, flags: 0x10, payload: 10), at: now)
            now += .milliseconds(trip)
            world.record(up: false, proto: 6, world.tcp(up: false, sequence: 1 + UInt32(turn) * 10, acknowledgement: 11 + UInt32(turn) * 10, flags: 0x10, payload: 10), at: now)
            world.record(up: true, proto: 6, world.tcp(up: true, sequence: 11 + UInt32(turn) * 10, acknowledgement: 11 + UInt32(turn) * 10, flags: 0x10), at: now)
        }
        return try LinkFit(world.timeline)
    }

    @Test(arguments: [
        // Each waited for something of its own.
        (62, [58, 74, 81, 69], true),
        (62, [74, 81, 69], true),
        // The shortest came again.
        (60, [61, 74, 81], false),
        // Handshakes that waited longer, but so many as short that none is shorter.
        (69, [58, 58, 59, 58, 58, 59], false),
    ])
    func aTripThatRecursIsThePath(_ handshake: Int64, _ trips: [Int64], _ isBound: Bool) throws {
        let fit = try fitted(handshake: handshake, trips: trips)
        #expect(fit.isBaseRTTBound == isBound && abs(fit.baseRTT.inMilliseconds - Double(min(handshake, trips.min() ?? handshake))) < 1, "\(fit.baseRTT): \(fit.baseRTTBasis)")
    }

    @Test("stops of the link are no part of its rate")
    func stopsAreNoPartOfTheRate() throws {
        var chance = SeededGenerator(seed: 12)
        // It varies a little, so that no spacing recurs.
        let rates = (0..<240).map { _ in Rate.kilobitsPerSecond(7_000 + Int64(chance.next(below: 2_000))) }
        func capacity(_ holds: [Outage]) throws -> Double {
            let down = LinkProfile(service: .trace(try DeliveryTrace(rates: rates, step: .milliseconds(50))), delay: .milliseconds(10), outages: holds)
            let up = LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(10))
            let fit = try LinkFit(RecordedWorld.repairedDownload(LinkScenario(up: up, down: down, seed: 3), until: .zero + .seconds(11), recordedAt: .client).timeline)
            #expect(!fit.down.isLowerBound, "\(fit.down.capacityBasis)")
            return fit.down.capacity.inMegabitsPerSecond
        }
        let holds = (0..<5).map { Outage(start: .milliseconds(2_040 + 1_500 * Int64($0)), duration: .milliseconds(280), mode: .hold) }
        #expect(abs(try capacity(holds) / capacity([]) - 1) <= 0.015)
    }

    @Test("a client's hello that a timer sent again answers nothing: it goes to the ID of the first (RFC 9000 section 7.2)")
    func aHelloThatATimerSentAgain() throws {
        var world = RecordedWorld()
        func long(up: Bool, to destination: UInt8, at milliseconds: Int64) {
            let payload = [0xC0, 0, 0, 0, 1, 8] + Array(repeating: destination, count: 8) + Array(repeating: UInt8(milliseconds & 255), count: 1_186)
            world.record(up: up, proto: 17, CaptureBytes.udp(from: up ? 40_000 : 443, to: up ? 443 : 40_000, payload), at: .zero + .milliseconds(milliseconds))
        }
        // At the server, 240 ms from a client whose timer runs out after 199.
        long(up: true, to: 1, at: 0)
        long(up: false, to: 2, at: 6)
        long(up: true, to: 1, at: 199)
        long(up: false, to: 2, at: 200)
        long(up: true, to: 3, at: 246)
        for turn in 0..<20 as Range<Int64> { long(up: turn % 2 == 0, to: turn % 2 == 0 ? 3 : 2, at: 300 + turn * 130) }
        let fit = try LinkFit(world.timeline)
        #expect(fit.isBaseRTTAssumed || fit.baseRTT >= .milliseconds(240), "\(fit.baseRTT): \(fit.baseRTTBasis)")
    }
}
