import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// What the sender's numbering of its IP packets tells of datagrams that bear no number of their own.
@Suite struct DatagramLossTests {
    /// A datagram of 500 bytes every 10 ms for 20 s, of which those that `arrives` names come through 30 ms later.
    private func fit(numbering: (Int) -> Int = { $0 }, at time: (Int) -> Interval = { .milliseconds(10) * Int64($0) }, arrives: (Int) -> Bool) throws -> LinkFit {
        var world = RecordedWorld()
        // A handshake of padded datagrams: the capture was made at the client, the round trip is 60 ms.
        world.datagram(up: true, bytes: 1_200, at: .zero)
        world.datagram(up: false, bytes: 1_200, at: .zero + .milliseconds(60))
        world.datagram(up: true, bytes: 60, at: .zero + .microseconds(60_100))
        let ports: [UInt8] = [0x14, 0x51, 0x9C, 0x40]
        for number in 0..<2_000 where arrives(number) {
            let payload = ports + [UInt8(508 >> 8), UInt8(508 & 255), 0, 0] + [UInt8](repeating: 0x11, count: 500)
            world.record(up: false, proto: 17, payload, at: .zero + .milliseconds(100) + time(number), identification: numbering(number))
        }
        return try LinkFit(world.timeline)
    }

    @Test func gapsInTheNumberingAreLosses() throws {
        // Every hundredth and the one after it.
        let fit = try fit { $0 % 100 > 1 }
        #expect(abs(fit.down.loss - 0.02) < 0.001)
        #expect(fit.down.meanBurst == 2)
        #expect(fit.down.isLossKnown && fit.outages.isEmpty)
    }

    @Test func aSenderWhoseNumbersJumpTellsNothing() throws {
        let fit = try fit(numbering: { $0 * 3 + $0 % 7 }) { _ in true }
        #expect(!fit.down.isLossKnown)
    }

    @Test func missingNumbersTellAnOutageFromAnIdleSender() throws {
        let lost = try fit { !(800..<1_000).contains($0) }
        #expect(lost.outages.map(\.kind) == [.drop])
        // 8 s to 10 s on the sender's clock, 100 ms after the first packet, 30 ms before they would have come.
        let outage = try #require(lost.outages.first)
        #expect(abs(outage.start.inSeconds - 8.07) < 0.02 && abs(outage.length.inSeconds - 2) < 0.02)
        #expect(lost.down.loss == 0)

        let idle = try fit(at: { .milliseconds(10) * Int64($0 < 800 ? $0 : $0 + 200) }) { $0 < 1_800 }
        #expect(idle.outages.map(\.kind) == [.senderIdle])
    }

    @Test func whatAFullQueueKeptShowsThatItWasHeld() throws {
        // Of two seconds held, a hundred packets waited and came together; the others found no room.
        let held = try fit(at: { number in
            (800..<900).contains(number) ? .seconds(10) + .microseconds(500) * Int64(number - 800) : .milliseconds(10) * Int64(number)
        }) { !(900..<1_000).contains($0) }
        #expect(held.outages.map(\.kind) == [.hold])
    }
}
