import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastReporting
import MastTimebase
import Testing

@Suite("A report of two captures") struct TwoEndsReportTests {
    /// Media both ways over a link that loses in bursts, the server's clock ahead and fast.
    static func media(ahead: Int64 = 0, ppm: Int64 = 0) throws -> (ReportData, TwoEndsComparison, sent: (up: Int, down: Int), came: (up: Int, down: Int)) {
        let loss = LossModel.gilbertElliott(try #require(GilbertElliott(share: Probability(0.04), meanBurstPackets: 3)))
        let profile = LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), radioLoss: loss)
        let scenario = LinkScenario(up: profile, down: profile, seed: 3)
        let worlds = [RecordedWorld.End.client, .server].map {
            RecordedWorld.media(scenario, until: Instant(nanoseconds: 30_000_000_000), recordedAt: $0)
        }
        var (client, builder, recorder) = (EndRecords(), CaptureSummary.Builder(), CaptureRecorder())
        for packet in worlds[0].packets {
            client.add(packet)
            builder.add(packet)
            recorder.add(packet)
        }
        var server = EndRecords(agreeingWith: client)
        for packet in worlds[1].packets {
            var packet = packet
            packet.epochNanoseconds += ahead + packet.epochNanoseconds / 1_000_000 * ppm
            server.add(packet)
        }
        let fit = try LinkFit(worlds[0].timeline)
        let comparison = try TwoEnds.compare(client: client, server: server, clientFit: fit, serverFit: try LinkFit(worlds[1].timeline))
        let summary = builder.finish(file: "c/client.pcap", format: "pcap", linkType: "RAW", truncation: nil)
        let data = ReportData(summary, recorder, fit: .success(fit), other: ("s/server.pcap", comparison))
        func count(_ end: Int, up: Bool) -> Int { worlds[end].packets.count { ($0.headers.ip?.source.ipv4 == RecordedWorld.server) != up } }
        return (data, comparison, (count(0, up: true), count(1, up: false)), (count(1, up: true), count(0, up: false)))
    }

    @Test func `it shows each packet's delay and every loss, each way`() throws {
        let (data, comparison, sent, came) = try Self.media()
        #expect(data.title == "client.pcap and server.pcap")
        for (direction, sent, came) in [("up", sent.up, came.up), ("down", sent.down, came.down)] {
            let way = try #require(data.crossings.first { $0.direction == direction })
            #expect(abs(way.sent.reduce(0, +) - Int64(sent)) <= 4)
            #expect(abs(way.lost.reduce(0, +) - Int64(sent - came)) <= 4 && sent > came)
            #expect(way.delays.values.count == Int(way.sent.reduce(0, +) - way.lost.reduce(0, +)))
            #expect(way.delays.values.allSatisfy { (24...40).contains($0) })
            // What came in is what went out, less what was lost.
            let lane = try #require(data.lanes.first { $0.direction == direction })
            let (offered, used) = (lane.offeredKbps.reduce(0, +), lane.usedKbps.reduce(0, +))
            let share = Double(way.lost.reduce(0, +)) / Double(way.sent.reduce(0, +))
            #expect(abs(Double(used) / Double(offered) - (1 - share)) < 0.02)
            let reported = direction == "up" ? comparison.report.up : comparison.report.down
            let figure = try #require(data.figures[2].parts.first { $0.label == direction })
            #expect(figure.value == reported.lossRate && figure.state == .measured)
        }
        #expect(data.figures[3].parts[0].state == .measured)
        #expect(data.csv.contains("oneWayDelayMs,down,") && data.csv.contains("lostShare,up,"))
    }

    @Test(arguments: [(5_000_000_000, 40), (-120_000_000, -25), (0, 0)])
    func `the clock's lead and drift lie within the bounds that are said`(_ ahead: Int, _ ppm: Int) throws {
        let (data, comparison, _, _) = try Self.media(ahead: Int64(ahead), ppm: Int64(ppm))
        let report = comparison.report
        let (offset, within) = (try #require(report.clockOffsetMs), try #require(report.clockOffsetWithinMs))
        #expect(abs(offset - Double(ahead) / 1e6) <= within)
        // Half the round trip, and no more, is left open.
        #expect((24...27).contains(within))
        let (skew, off) = (try #require(report.clockSkewPpm), try #require(report.clockSkewWithinPpm))
        #expect(abs(skew - Double(ppm)) <= off && off < 2_500)
        #expect(data.facts.contains { $0.hasPrefix("The server's clock ") && $0.contains("±") })
    }

    @Test func `one way alone leaves the clock open, and says so`() throws {
        let profile = LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25))
        let scenario = LinkScenario(up: profile, down: profile, seed: 3)
        let ends = [RecordedWorld.End.client, .server].map {
            RecordedWorld.media(scenario, until: Instant(nanoseconds: 10_000_000_000), recordedAt: $0).packets
                .filter { $0.headers.ip?.source.ipv4 != RecordedWorld.server }
        }
        var client = EndRecords()
        for packet in ends[0] { client.add(packet) }
        var server = EndRecords(agreeingWith: client)
        for packet in ends[1] { server.add(packet) }
        let comparison = try TwoEnds.compare(client: client, server: server, clientFit: nil, serverFit: nil)
        #expect(comparison.report.clockOffsetMs == nil && comparison.report.clockOffsetWithinMs == nil && comparison.report.clockSkewWithinPpm == nil)
        #expect(comparison.clock.text.contains("not known"))
    }
}
