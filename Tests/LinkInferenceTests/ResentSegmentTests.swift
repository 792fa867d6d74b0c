import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// What a TCP sender sent again in vain, told by what came to the other end.
@Suite struct ResentSegmentTests {
    private struct Ends {
        var client: CaptureSummary
        var comparison: TwoEndsComparison
        /// Sent again, and of these the ones of which a copy sent before had come.
        var again = 0
        var needless = 0
    }

    private func ends(_ scenario: LinkScenario, recorderMisses isMissed: (Int) -> Bool = { _ in false }) throws -> Ends {
        let worlds = [RecordedWorld.End.client, .server].map { RecordedWorld.repairedDownload(scenario, until: .zero + .seconds(10), recordedAt: $0).packets }
        var (client, server) = (EndRecords(), EndRecords())
        var builders = (client: CaptureSummary.Builder(), server: CaptureSummary.Builder())
        for packet in worlds[0] {
            client.add(packet)
            builders.client.add(packet)
        }
        server = EndRecords(agreeingWith: client)
        for (index, packet) in worlds[1].enumerated() where !isMissed(index) {
            server.add(packet)
            builders.server.add(packet)
        }
        var summary = builders.client.finish(file: "client", format: "pcap", linkType: "RAW", truncation: nil)
        summary.takeSenders(from: builders.server.finish(file: "server", format: "pcap", linkType: "RAW", truncation: nil))
        var ends = Ends(client: summary, comparison: try TwoEnds.compare(client: client, server: server, clientFit: nil, serverFit: nil))
        // Segments are all of one length, and each packet of data bears a number of its own.
        func data(_ packets: [CapturedPacket]) -> [(sequence: UInt32, number: UInt16)] {
            packets.compactMap { packet in
                guard case .tcp(let tcp) = packet.headers.transport, tcp.payloadBytes > 0 else { return nil }
                return (tcp.sequence, UInt16(truncatingIfNeeded: packet.headers.ip?.identification ?? 0))
            }
        }
        let came = Set(data(worlds[0]).map(\.number)) // lookup only
        var (sent, through) = (Set<UInt32>(), Set<UInt32>()) // lookup only
        for segment in data(worlds[1]) {
            if !sent.insert(segment.sequence).inserted {
                ends.again += 1
                if through.contains(segment.sequence) { ends.needless += 1 }
            }
            if came.contains(segment.number) { through.insert(segment.sequence) }
        }
        return ends
    }

    private func scenario(up: [Outage] = [], down: [Outage] = []) -> LinkScenario {
        func profile(_ outages: [Outage], _ loss: LossModel) -> LinkProfile {
            LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), radioLoss: loss, outages: outages)
        }
        return LinkScenario(up: profile(up, .none), down: profile(down, .independent(Probability(0.02))), seed: 3)
    }

    @Test("a receiver that tells of no duplicates is not needed to count them", arguments: [Outage.Mode.hold, .drop])
    func copiesAreCounted(_ mode: Outage.Mode) throws {
        let stop = [Outage(start: .seconds(5), duration: .milliseconds(1_200), mode: mode)]
        var ends = try ends(scenario(up: stop))
        #expect(ends.needless >= 1 && ends.again > ends.needless)
        ends.client.takeResent(ends.comparison)
        let side = ends.client.flows[0].down
        #expect(side.retransmissions == ends.again && side.spuriousRetransmissions == ends.needless && side.lost == ends.again - ends.needless)
    }

    @Test("where a recorder missed packets nothing is changed")
    func recordersThatMissPackets() throws {
        var ends = try ends(scenario(up: [Outage(start: .seconds(5), duration: .milliseconds(1_200), mode: .hold)])) { $0 % 41 == 7 }
        let before = ends.client
        ends.client.takeResent(ends.comparison)
        #expect(ends.client == before)
    }
}
