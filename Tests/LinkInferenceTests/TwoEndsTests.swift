import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

@Suite struct TwoEndsTests {
    private func scenario(loss: LossModel = .none, outages: [Outage] = []) -> LinkScenario {
        let profile = LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), radioLoss: loss, outages: outages)
        return LinkScenario(up: profile, down: profile, seed: 3)
    }

    /// The server's capture with its clock ahead by `ahead` and fast by `ppm`.
    private func inspected(_ scenario: LinkScenario, until seconds: Int64, ahead: Int64 = 0, ppm: Int64 = 0) throws -> (LinkReport, [[CapturedPacket]]) {
        let worlds = [RecordedWorld.End.client, .server].map {
            RecordedWorld.media(scenario, until: Instant(nanoseconds: seconds * 1_000_000_000), recordedAt: $0)
        }
        var client = EndRecords()
        for packet in worlds[0].packets { client.add(packet) }
        var server = EndRecords(agreeingWith: client)
        for packet in worlds[1].packets {
            var packet = packet
            packet.epochNanoseconds += ahead + packet.epochNanoseconds / 1_000_000 * ppm
            server.add(packet)
        }
        let report = try TwoEnds.report(
            client: client, server: server, clientFit: try? LinkFit(worlds[0].timeline), serverFit: try? LinkFit(worlds[1].timeline))
        return (report, worlds.map(\.packets))
    }

    @Test func everyLossIsCounted() throws {
        let model = try #require(GilbertElliott(share: Probability(0.04), meanBurstPackets: 3))
        let (report, packets) = try inspected(scenario(loss: .gilbertElliott(model)), until: 60)
        let count = { (end: Int, up: Bool) in packets[end].filter { ($0.headers.ip?.source.ipv4 == RecordedWorld.server) != up }.count }
        for (direction, up) in [(report.up, true), (report.down, false)] {
            let (sent, came) = up ? (count(0, true), count(1, true)) : (count(1, false), count(0, false))
            let total = try #require(direction.lossRateTotal)
            #expect(abs(total - Double(sent - came) / Double(sent)) < 0.001)
            #expect(direction.lossRate == total)
        }
        #expect(report.outages.isEmpty)
    }

    @Test func whatRecordersMissedIsNoLossOfTheLink() throws {
        // Nothing is lost; each recorder misses one packet of forty-one.
        let worlds = [RecordedWorld.End.client, .server].map { RecordedWorld.media(scenario(), until: Instant(nanoseconds: 20_000_000_000), recordedAt: $0) }
        var client = EndRecords()
        for (index, packet) in worlds[0].packets.enumerated() where index % 41 != 7 { client.add(packet) }
        var server = EndRecords(agreeingWith: client)
        for (index, packet) in worlds[1].packets.enumerated() where index % 41 != 23 { server.add(packet) }
        let report = try TwoEnds.report(client: client, server: server, clientFit: nil, serverFit: nil)
        for way in [report.up, report.down] {
            #expect(way.lossRate == nil && way.lossRateTotal == nil && way.meanBurst == nil)
            #expect(try (0.005...0.1).contains(#require(way.lossRateAtMost)))
            #expect(way.lossBasis?.contains("recorders missed packets") == true)
        }
    }

    @Test func whatARecorderMissedInOnePieceIsNoOutage() throws {
        let worlds = [RecordedWorld.End.client, .server].map { RecordedWorld.media(scenario(), until: Instant(nanoseconds: 20_000_000_000), recordedAt: $0) }
        var client = EndRecords()
        for (index, packet) in worlds[0].packets.enumerated() where index % 41 != 7 { client.add(packet) }
        var server = EndRecords(agreeingWith: client)
        for packet in worlds[1].packets where packet.time < .zero + .seconds(9) || packet.time > .zero + .milliseconds(9_600) { server.add(packet) }
        let report = try TwoEnds.report(client: client, server: server, clientFit: nil, serverFit: nil)
        #expect(!report.outages.contains { $0.direction == "up" }, "\(report.outages)")
    }

    @Test("which of packets with the same bytes was lost is not told: that the others came late is no hold")
    func oneOfTwinsIsLost() throws {
        var (sender, receiver) = (RecordedWorld(), RecordedWorld())
        for number in 1...600 {
            let at = Instant.zero + .milliseconds(5) * Int64(number)
            // A RST for each of three segments, as a closed port sends them, and the first of them is lost.
            if [200, 260, 320].contains(number) {
                let rst = sender.tcp(up: true, sequence: 7, acknowledgement: 0, flags: 4)
                sender.record(up: true, proto: 6, rst, at: at, identification: 0)
                if number > 200 { receiver.record(up: true, proto: 6, rst, at: at + .milliseconds(30), identification: 0) }
                continue
            }
            let datagram = CaptureBytes.udp(from: 40_001, to: 7, Array(repeating: UInt8(number & 255), count: 200))
            sender.record(up: true, proto: 17, datagram, at: at, identification: number)
            receiver.record(up: true, proto: 17, datagram, at: at + .milliseconds(30), identification: number)
        }
        var client = EndRecords()
        for packet in sender.packets { client.add(packet) }
        var server = EndRecords(agreeingWith: client)
        for packet in receiver.packets { server.add(packet) }
        let report = try TwoEnds.report(client: client, server: server, clientFit: try? LinkFit(sender.timeline), serverFit: try? LinkFit(receiver.timeline))
        #expect(report.outages.allSatisfy { $0.kind == "senderIdle" }, "\(report.outages)")
        #expect(report.up.lossRate.map { abs($0 - 1.0 / 600) < 1e-4 } == true)
    }

    @Test func theCaptureThatHoldsMoreOfOneWayTrafficIsTheSenders() throws {
        let lossy = try scenario(loss: .gilbertElliott(#require(GilbertElliott(share: Probability(0.04), meanBurstPackets: 3))))
        let ends = [RecordedWorld.End.client, .server].map { end in
            RecordedWorld.media(lossy, until: Instant(nanoseconds: 20_000_000_000), recordedAt: end).packets.filter { $0.headers.ip?.source.ipv4 != RecordedWorld.server }
        }
        func compared(_ first: [CapturedPacket], _ second: [CapturedPacket]) throws -> TwoEndsComparison {
            var (one, other) = (EndRecords(), EndRecords())
            for packet in first { one.add(packet) }
            other = EndRecords(agreeingWith: one)
            for packet in second { other.add(packet) }
            return try TwoEnds.compare(client: one, server: other, clientFit: nil, serverFit: nil)
        }
        let (right, wrong) = (try compared(ends[0], ends[1]), try compared(ends[1], ends[0]))
        #expect(!right.isReversed && wrong.isReversed)
        #expect(try (0.02...0.06).contains(#require(right.report.up.lossRate)))
        #expect(wrong.report.up.lossRate == nil && wrong.report.down.lossRate == nil)
    }

    @Test func clocksThatDisagreeAreStraightened() throws {
        let (report, _) = try inspected(scenario(), until: 30, ahead: 5_000_000_000, ppm: 40)
        let (base, skew, way) = (try #require(report.baseRttMs), try #require(report.clockSkewPpm), try #require(report.down.oneWayDelayMs))
        #expect((49.5...51).contains(base))
        #expect((38...42).contains(skew))
        #expect((24.5...26).contains(way.p50) && way.max - way.min < 1)
        #expect(report.clock == "symmetryAssumed")
    }

    @Test func dropsAndHoldsAreToldApartWithTheirEdges() throws {
        let outages = [
            Outage(start: .milliseconds(3_010), duration: .milliseconds(2_500), mode: .drop),
            Outage(start: .milliseconds(8_000), duration: .milliseconds(400), mode: .hold),
        ]
        let (report, _) = try inspected(scenario(outages: outages), until: 12)
        for direction in ["up", "down"] {
            let found = report.outages.filter { $0.direction == direction && $0.kind != "senderIdle" }
            #expect(found.map(\.kind) == ["drop", "hold"])
            for (found, truth) in zip(found, [(3.01, 5.51), (8.0, 8.4)]) {
                #expect(abs(found.startS - truth.0) <= 0.02 && abs(found.endS - truth.1) <= 0.02)
                #expect(found.startUncertaintyS <= 0.02 && found.endUncertaintyS <= 0.02)
            }
        }
        #expect(report.up.lossRate == 0 && (report.up.lossRateTotal ?? 0) > 0.15)
    }

    /// A file may say what it likes of time.
    @Test(arguments: [(Int64.min, Int64.max), (.max, .min), (0, .max), (.min, 0), (1 << 61, -(1 << 61))])
    func absurdTimesAreNoTrap(_ first: Int64, _ second: Int64) {
        let packets = RecordedWorld.media(scenario(), until: Instant(nanoseconds: 1_000_000_000), recordedAt: .client).packets
        for isMixed in [false, true] {
            var client = EndRecords()
            var server = EndRecords()
            for (index, packet) in packets.enumerated() {
                var (here, there) = (packet, packet)
                here.epochNanoseconds = isMixed && index % 2 == 1 ? second : first
                there.epochNanoseconds = isMixed && index % 3 == 1 ? first : second
                client.add(here)
                server.add(there)
            }
            for isSynchronised in [false, true] {
                let report = try? TwoEnds.report(client: client, server: server, clientFit: nil, serverFit: nil, isSynchronised: isSynchronised)
                #expect(report.map { $0.up.lossRateTotal ?? 0 <= 1 } ?? true)
            }
        }
    }

    @Test func differentSessionsHaveNothingInCommon() {
        #expect(throws: TwoEnds.Failure.nothingInCommon) {
            try TwoEnds.report(client: EndRecords(), server: EndRecords(), clientFit: nil, serverFit: nil)
        }
    }
}
