import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// The link behind a capture of any length.
@Suite struct LinkSurveyTests {
    private func survey(_ packets: [CapturedPacket]) throws -> LinkFit {
        var survey = LinkSurvey()
        var table = FlowTable()
        for packet in packets {
            if let seen = table.observe(packet) { survey.add(packet, seen, table) }
        }
        return try survey.finish(table)
    }

    private func media(seconds: Int64, loss: LossModel = .none, _ outages: [Outage]) -> RecordedWorld {
        let profile = LinkProfile(service: .constant(.megabitsPerSecond(5)), delay: .milliseconds(25), radioLoss: loss, outages: outages)
        return RecordedWorld.media(
            LinkScenario(up: profile, down: profile, seed: 5), until: .zero + .seconds(seconds), recordedAt: .client)
    }

    @Test func outagesAreFoundWhereverTheyAreInALongCapture() throws {
        // The second lies across the end of a piece.
        let outages = [
            Outage(start: .seconds(40), duration: .milliseconds(500), mode: .hold),
            Outage(start: .milliseconds(119_500), duration: .seconds(2), mode: .drop),
            Outage(start: .seconds(280), duration: .seconds(1), mode: .drop),
        ]
        let fit = try survey(media(seconds: 300, outages).packets)
        let found = fit.outages.filter { $0.kind != .senderIdle }
        #expect(found.map(\.kind) == [.hold, .drop, .drop])
        for (found, real) in zip(found, outages) {
            #expect(abs((found.start - real.start).inSeconds) < 0.03)
            #expect(abs((found.length - real.duration).inSeconds) < 0.04)
        }
        #expect(fit.window.length >= .seconds(299))
        #expect(fit.down.loss == 0)
    }

    @Test func lossesAreCountedOverTheWholeCapture() throws {
        let world = media(seconds: 300, loss: .independent(Probability(0.02)), [])
        let fit = try survey(world.packets)
        let sent = 300 * 50
        let arrived = world.packets.filter { $0.headers.ip?.source.port == 5201 }.count
        #expect(fit.down.lossCount.lost == sent - arrived || abs(fit.down.lossCount.lost - (sent - arrived)) <= 2)
        #expect((0.015...0.025).contains(fit.down.loss))
        #expect(fit.outages.isEmpty)
    }

    @Test("The share that is lost where packets tell is not said of a window that mostly tells nothing")
    func lossesOfAPart() throws {
        func unnumbered(_ bytes: Int) -> [UInt8] {
            [0x14, 0x51, 0x9C, 0x40, UInt8((bytes + 8) >> 8), UInt8((bytes + 8) & 255), 0, 0] + [UInt8](repeating: 0x11, count: bytes)
        }
        for (extra, isKnown) in [(200, true), (19_000, false)] {
            var world = media(seconds: 110, loss: .independent(Probability(0.02)), [])
            for number in 0..<extra {
                world.record(up: false, proto: 17, unnumbered(800), at: .zero + .seconds(121) + .milliseconds(Int64(number) * 10), identification: 0)
            }
            let down = try survey(world.packets).down
            #expect(down.isLossKnown == isKnown && down.lossBasis.contains("three quarters") != isKnown, "\(extra): \(down.lossBasis)")
            #expect(isKnown == (down.loss > 0) && isKnown == (down.meanBurst != nil))
        }
    }

    @Test func aShortCaptureIsFittedAsOne() throws {
        let world = media(seconds: 20, [Outage(start: .seconds(8), duration: .milliseconds(500), mode: .hold)])
        #expect(try survey(world.packets) == LinkFit(world.timeline))
    }

    @Test func capturesYearsApartAreNotOneLink() throws {
        let packets = media(seconds: 30, []).packets
        let later = media(seconds: 40, [Outage(start: .seconds(10), duration: .seconds(1), mode: .drop)]).packets.map { packet in
            var packet = packet
            packet.time += .seconds(100_000_000)
            return packet
        }
        let fit = try survey(packets + later)
        #expect(fit.window.start >= .zero + .seconds(99_999_999))
        #expect((39.0...41.0).contains(fit.window.length.inSeconds))
        #expect(fit.outages.filter { $0.kind == .drop }.count == 1)
    }

    @Test func clocksThatJumpAreNoTrap() throws {
        let packets = media(seconds: 30, []).packets
        let jumps: [Int64] = [0, -3_000_000_000, 40_000_000, -7, 3_000_000_000, 1 << 30]
        for size in [1, 7, 100, 1_000] {
            let jumping = packets.enumerated().map { index, packet in
                var packet = packet
                packet.time += .seconds(jumps[index / size % jumps.count])
                return packet
            }
            let fit = try? survey(jumping)
            #expect(fit.map { $0.window.length >= .zero && $0.window.length < .seconds(600) } ?? true)
        }
        // Not even where each stretch is long enough to be fitted.
        #expect(throws: Never.self) {
            let back = packets.map { packet in
                var packet = packet
                packet.time = .zero - .seconds(400_000_000) + (packet.time - .zero)
                return packet
            }
            _ = try survey(packets + back + packets)
        }
    }

    @Test func nothingAtAllSaysSo() {
        #expect(throws: FitFailure.noPackets) { try survey([]) }
    }
}
