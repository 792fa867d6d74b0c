import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastTimebase
import Testing

/// What two captures look as if they told, and do not.
@Suite struct TwoEndsDoubtTests {
    private static func scenario(_ loss: LossModel = .none) -> LinkScenario {
        func profile(_ loss: LossModel) -> LinkProfile { LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), radioLoss: loss) }
        return LinkScenario(up: profile(.none), down: profile(loss), seed: 3)
    }

    private func download(_ loss: LossModel = .none) -> (client: [CapturedPacket], server: [CapturedPacket]) {
        let ends = [RecordedWorld.End.client, .server].map { RecordedWorld.repairedDownload(Self.scenario(loss), until: .zero + .seconds(10), recordedAt: $0).packets }
        return (ends[0], ends[1])
    }

    private func compare(_ client: [CapturedPacket], _ server: [CapturedPacket]) throws -> LinkReport {
        var one = EndRecords()
        for packet in client { one.add(packet) }
        var other = EndRecords(agreeingWith: one)
        for packet in server { other.add(packet) }
        return try TwoEnds.report(client: one, server: other, clientFit: nil, serverFit: nil)
    }

    private func isDown(_ packet: CapturedPacket) -> Bool { packet.headers.ip?.source.ipv4 == RecordedWorld.server }

    @Test("what a receiver acknowledges and its capture does not hold was missed by the recorder, not lost")
    func acknowledgedAndNotRecorded() throws {
        let (client, server) = download()
        let held = client.filter { !isDown($0) || !(.zero + .seconds(4) ... .zero + .milliseconds(4_300)).contains($0.time) }
        try #require(held.count < client.count - 50)
        let report = try compare(held, server)
        #expect(report.down.lossRate == nil && report.down.lossRateTotal == nil && report.down.lossRateAtMost == 0)
        #expect(report.down.lossBasis?.contains("recorders missed packets") == true)
        #expect(!report.outages.contains { $0.direction == "down" }, "\(report.outages)")
    }

    @Test("what was lost and came when it was sent again is still a loss")
    func lostAndRepaired() throws {
        let (client, server) = download(.independent(Probability(0.02)))
        let report = try compare(client, server)
        let came = Set(client.filter(isDown).map { $0.headers.ip?.identification })  // lookup only
        let until = try #require(server.lastIndex { isDown($0) && came.contains($0.headers.ip?.identification) })
        let sent = server[...until].filter(isDown)
        let lost = sent.count { !came.contains($0.headers.ip?.identification) }
        #expect(lost > 20)
        #expect(try abs(#require(report.down.lossRateTotal) - Double(lost) / Double(sent.count)) < 0.000_1)
    }

    @Test("two captures of one end, and one capture twice, are no two ends", arguments: [0, 300_000])
    func oneEnd(_ apart: Int64) throws {
        let client = download().client
        let again = client.map { packet in
            var packet = packet
            packet.epochNanoseconds += apart
            return packet
        }
        #expect(throws: TwoEnds.Failure.sameEnd(beyond: .milliseconds(50))) { try compare(client, again) }
    }

    @Test("without a handshake they tell no base round trip where packets pass both at once")
    func oneEndOfDatagrams() throws {
        let client = RecordedWorld.media(Self.scenario(), until: .zero + .seconds(5), recordedAt: .client).packets
        let again = client.enumerated().map { index, packet in
            var packet = packet
            packet.epochNanoseconds += Int64(index % 3) * 20_000
            return packet
        }
        let report = try compare(client, again)
        #expect(report.baseRttMs == nil && report.baseRttBasis?.contains("both may be at one end") == true)
        #expect(throws: TwoEnds.Failure.sameEnd(beyond: nil)) { try compare(client, client) }
    }

    @Test("where a clock stepped, times between the ends tell nothing", arguments: [5_000, -5_000, 300] as [Int64])
    func aClockSteps(_ milliseconds: Int64) throws {
        let (client, server) = download()
        let stepped = server.map { packet in
            var packet = packet
            if packet.time > .zero + .seconds(5) { packet.epochNanoseconds += milliseconds * 1_000_000 }
            return packet
        }
        let report = try compare(client, stepped)
        #expect(report.baseRttMs == nil && report.clockOffsetMs == nil && report.up.oneWayDelayMs == nil && report.down.oneWayDelayMs == nil)
        #expect(report.baseRttBasis?.contains("clocks stepped") == true)
        #expect(!report.outages.contains { $0.kind == "hold" }, "\(report.outages)")
    }

    @Test("a capture on the way tells nothing of what is lost beyond it, and its round trip is a part")
    func onTheWay() throws {
        let (client, server) = download()
        // 30 ms behind the client: its packets pass there later, and those for it earlier.
        let middle = client.map { packet in
            var packet = packet
            let shift = Interval.milliseconds(isDown(packet) ? -15 : 15)
            (packet.time, packet.epochNanoseconds) = (packet.time + shift, packet.epochNanoseconds + shift.nanoseconds)
            return packet
        }.sorted { $0.time < $1.time }
        let report = try compare(middle, server)
        #expect(report.baseRttIsUpperBound && (report.baseRttMs ?? 0) >= 49, "\(String(describing: report.baseRttMs)): \(report.baseRttBasis ?? "")")
        #expect(report.down.lossRateTotal == nil && report.down.lossBasis?.contains("beyond the captures") == true)
    }

    @Test("a recorder that missed what its end sent may have missed what came to it")
    func aHoleInOneRecorder() throws {
        let ends = [RecordedWorld.End.client, .server].map { RecordedWorld.media(Self.scenario(), until: .zero + .seconds(20), recordedAt: $0).packets }
        let report = try compare(ends[0].filter { $0.time < .zero + .seconds(7) || $0.time > .zero + .seconds(9) }, ends[1])
        #expect(!report.outages.contains { $0.kind == "drop" }, "\(report.outages)")
        #expect(report.down.lossRate == nil && report.up.lossRate == nil)
    }

    @Test("a SYN that the other capture lacks was lost, or sent before it began: nothing is settled by that", arguments: [20, 4_000])
    func firstSYNIsMissing(_ segments: Int) throws {
        var (client, server) = (RecordedWorld(), RecordedWorld())
        let way = Interval.milliseconds(25)
        var number = 0
        func send(up: Bool, at ms: Int64, arrives: Bool = true, _ segment: [UInt8]) {
            number += 1
            let at = Instant.zero + .milliseconds(ms)
            if up || arrives { client.record(up: up, proto: 6, segment, at: up ? at : at + way, identification: number) }
            if !up || arrives { server.record(up: up, proto: 6, segment, at: up ? at + way : at, identification: number) }
        }
        let syn = client.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2)
        send(up: true, at: 0, arrives: false, syn)
        send(up: true, at: 1_000, syn)
        send(up: false, at: 1_025, client.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12))
        send(up: true, at: 1_050, client.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x10))
        for index in 0..<segments {
            send(up: true, at: 1_100 + Int64(index) * 60, client.tcp(up: true, sequence: 1 + UInt32(index) * 100, acknowledgement: 1, flags: 0x18, payload: 100))
            send(up: false, at: 1_125 + Int64(index) * 60, client.tcp(up: false, sequence: 1, acknowledgement: 1 + UInt32(index + 1) * 100, flags: 0x10))
        }
        let up = try compare(client.packets, server.packets).up
        // One of thousands is no matter.
        guard segments < 100 else { #expect(up.lossRateTotal == 0); return }
        #expect(up.lossRate == nil && up.lossRateTotal == nil)
        #expect(try abs(#require(up.lossRateAtMost) - 1.0 / Double(segments + 3)) < 1e-9)
        #expect(up.lossBasis?.contains("before the other capture began") == true)
    }
}
