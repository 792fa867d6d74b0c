import CaptureKit
import Foundation
import MastCapture
import MastLinkInference
import MastTimebase
import Testing

@Suite struct CaptureSummaryTests {
    private typealias B = CaptureBytes

    /// `(milliseconds, IP packet)`.
    private func summary(_ packets: [(Int, [UInt8])]) throws -> CaptureSummary {
        let file = try TemporaryFile(B.pcap(packets.map { .init(timeNs: 1_700_000_000_000_000_000 + $0.0 * 1_000_000, bytes: $0.1) }))
        return CaptureSummary(reading: try CaptureFile(path: file.path))
    }

    private func up(_ id: Int, _ payload: [UInt8] = [1, 2]) -> [UInt8] { B.ipv4(id: id, B.udp(payload)) }
    private func down(_ id: Int, _ payload: [UInt8] = [1, 2]) -> [UInt8] {
        B.ipv4(from: 0x0A00_0002, to: 0x0A00_0001, id: id, B.udp(from: 53, to: 40_000, payload))
    }

    @Test func flowsAreCountedInBothDirections() throws {
        let result = try summary([(0, down(1)), (10, up(2)), (20, down(3, [1, 2, 3]))])
        let flow = try #require(result.flows.first)
        #expect(result.flows.count == 1 && flow.client == "10.0.0.1:40000" && flow.server == "10.0.0.2:53")
        #expect(flow.up.packets == 1 && flow.up.ipBytes == 30 && flow.up.payloadBytes == 2)
        #expect(flow.down.packets == 2 && flow.down.ipBytes == 61)
        #expect(result.durationS == 0.02)
    }

    /// RFC 3550 section 6.4.1: a round trip is what is left of the time since a report passed, without its rest at the answerer.
    @Test func rtcpReportsTellRoundTrips() throws {
        func big(_ value: UInt32) -> [UInt8] { [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: value >> UInt32($0)) } }
        func sender(_ name: UInt32) -> [UInt8] { [0x80, 200, 0, 6] + big(7) + [0, 0] + big(name) + [0, 0] + big(0) + big(1) + big(100) }
        func receiver(_ name: UInt32, after: UInt32) -> [UInt8] { [0x81, 201, 0, 7] + big(8) + big(7) + big(0) + big(0) + big(0) + big(name) + big(after) }
        let reports = (0..<5).flatMap { round -> [(Int, [UInt8])] in
            let (at, name) = (round * 1_000, UInt32(round) + 0x1234_0000)
            // 500 ms of rest at the client and 40 ms of way.
            return [(at, down(10 * round, sender(name))), (at + 540, up(10 * round + 1, receiver(name, after: 32_768)))]
        }
        let flow = try #require(try summary(reports).flows.first)
        #expect(flow.rttMs.basis == "rtcp" && flow.rttMs.min == 40 && flow.rttMs.p95 == 40 && flow.rttMs.toClientMin == 40)
        // Answers to what nobody saw, and what is cut short, tell nothing.
        let strange = [(0, up(1, receiver(99, after: 0))), (10, up(2, Array(sender(3).prefix(10)))), (20, up(3, [0x9F, 201, 0xFF, 0xFF]))]
        #expect(try summary(strange).flows.first?.rttMs.basis == nil)
    }

    @Test func silencesNameTheirDirection() throws {
        // Both silent for 300 ms; then down is silent for 500 ms while up goes on.
        var packets: [(Int, [UInt8])] = [(0, up(1)), (1, down(2)), (301, up(3)), (302, down(4))]
        packets += (1...5).map { (302 + $0 * 100, up(10 + $0)) }
        packets += [(803, down(20))]
        let result = try summary(packets)
        #expect(result.silences.map(\.direction) == ["both", "down"])
        #expect(result.silences.map(\.startS) == [0.001, 0.302])
        #expect(result.silences.map(\.lengthS) == [0.3, 0.501])
    }

    @Test func aPacketRecordedTwiceIsADuplicateAndNotARetransmission() throws {
        let data = B.ipv4(proto: 6, id: 5, B.tcp(sequence: 100, flags: 0x18, payload: 50))
        let result = try summary([(0, data), (0, data), (1, data), (1, data)])
        #expect(result.packets == 4 && result.duplicates == 3)
        #expect(result.flows.first?.up.retransmissions == 0)
    }

    @Test("Equal datagrams without an identification are two, unless they came at once or by another way")
    func equalBytesAreNoCopies() throws {
        #expect(try summary((0..<50).map { ($0, up(0)) }).duplicates == 0)
        #expect(try summary([(0, up(0)), (0, up(0)), (1, up(0))]).duplicates == 1)
        var routed = up(0)
        routed[8] -= 1
        #expect(try summary([(0, up(0)), (2, routed)]).duplicates == 1)
        let acknowledgement = B.ipv4(proto: 6, id: 0, B.tcp(sequence: 100, acknowledgement: 7, flags: 0x10))
        #expect(try summary([(0, acknowledgement), (1, acknowledgement), (2, acknowledgement)]).duplicates == 0)
    }

    @Test func laterFragmentsBelongToTheFlowOfTheFirst() throws {
        let first = B.ipv4(id: 9, fragment: 0x2000, B.udp([UInt8](repeating: 1, count: 16)))
        let later = B.ipv4(id: 9, fragment: 3, [UInt8](repeating: 2, count: 40))
        let result = try summary([(0, first), (1, later)])
        #expect(result.flows.count == 1 && result.flows.first?.up.packets == 2)
    }

    @Test func tcpRoundTripsAndLossesAreTold() throws {
        func client(_ id: Int, _ sequence: UInt32, _ ack: UInt32, _ flags: UInt8, _ payload: Int = 0) -> [UInt8] {
            B.ipv4(proto: 6, id: id, B.tcp(sequence: sequence, acknowledgement: ack, flags: flags, payload: payload))
        }
        func server(_ id: Int, _ sequence: UInt32, _ ack: UInt32, _ flags: UInt8, _ payload: Int = 0) -> [UInt8] {
            B.ipv4(proto: 6, from: 0x0A00_0002, to: 0x0A00_0001, id: id,
                B.tcp(from: 443, to: 40_000, sequence: sequence, acknowledgement: ack, flags: flags, payload: payload))
        }
        let start = UInt32.max - 50  // sequence numbers wrap within the connection
        let result = try summary([
            (0, client(1, start, 0, 2)), (40, server(2, 900, start &+ 1, 0x12)), (41, client(3, start &+ 1, 901, 0x10)),
            (50, client(4, start &+ 1, 901, 0x18, 100)),
            (260, client(5, start &+ 1, 901, 0x18, 100)),  // sent again
            (300, server(6, 901, start &+ 101, 0x10)),
            (310, server(7, 901, start &+ 101, 0x18, 100)), (311, server(8, 1101, start &+ 101, 0x18, 100)),  // 1001... lost
            (350, server(9, 1001, start &+ 101, 0x18, 100)),
            (1_360, client(10, start &+ 100, 1201, 0x10, 1)),  // a keep-alive is no retransmission
        ])
        let flow = try #require(result.flows.first)
        #expect(flow.rttMs.handshake == 41)
        #expect(flow.up.retransmissions == 1 && flow.up.lost == 1)
        #expect(flow.down.retransmissions == 1 && flow.down.lost == 1)
        #expect(flow.rttMs.toServerMin == 40, "Karn: no sample from what was sent twice")
    }

    @Test func timestampsGiveARoundTripToACaptureAtTheReceiver() throws {
        func segment(_ id: Int, up: Bool, stamp: Int, echo: Int, payload: Int) -> [UInt8] {
            let (from, to): (UInt32, UInt32) = up ? (0x0A00_0001, 0x0A00_0002) : (0x0A00_0002, 0x0A00_0001)
            let ports = up ? B.big(40_000, 2) + B.big(443, 2) : B.big(443, 2) + B.big(40_000, 2)
            let option: [UInt8] = [1, 1, 8, 10] + B.big(stamp, 4) + B.big(echo, 4)
            return B.ipv4(proto: 6, from: from, to: to, id: id, ports + B.big(up ? 1 : id * 100, 4) + B.big(1, 4)
                + [0x80, 0x10, 0, 9, 0, 0, 0, 0] + option + [UInt8](repeating: 0, count: payload))
        }
        // Only acknowledgements go up: no data of the receiver's to time.
        let result = try summary([
            (0, segment(1, up: true, stamp: 70, echo: 1, payload: 0)), (10, segment(2, up: false, stamp: 500, echo: 69, payload: 100)),
            (45, segment(3, up: false, stamp: 535, echo: 70, payload: 100)), (46, segment(4, up: true, stamp: 116, echo: 535, payload: 0)),
        ])
        #expect(result.flows.first?.rttMs.toServerMin == 45)
    }

    @Test func rtpGapsAreLosses() throws {
        let packets = (0..<60).filter { !(30...32).contains($0) }.map { index in
            (index * 20, up(index, [0x80, 96] + B.big(65_520 + index, 2) + B.big(index * 160, 4) + [0, 0, 0, 7] + [1, 2, 3]))
        }
        #expect(try summary(packets).flows.first?.up.lost == 3)
    }

    @Test func yearsBetweenPacketsCostNoMemory() throws {
        let year = 31_557_600_000
        let result = try summary([(0, up(1)), (500, up(2)), (10 * year, up(3)), (10 * year + 5_000, down(4)), (1_000, up(5))])
        #expect(result.periods.count == 3 && result.timeStepsBack == 1)
        #expect((result.rate?.upMbps.count ?? 0) <= RateSeries.mostBins)
        #expect(result.durationS == Double(10 * year + 5_000) / 1000)
        #expect(result.renderText(width: 80).contains("10.0 years"))
    }

    @Test func aLongSeriesCoarsensInsteadOfGrowing() {
        var series = RateSeries(start: .zero)
        for second in 0..<100_000 { series.add(bytes: 1, .up, at: Instant(nanoseconds: Int64(second) * 1_000_000_000)) }
        #expect(series.up.count <= RateSeries.mostBins && series.up.reduce(0, +) == 100_000)
        #expect(series.bin == .seconds(32))
    }

    @Test func jsonKeysEndInTheirUnitAndReadBack() throws {
        let result = try summary([(0, up(1)), (10, down(2))])
        let data = try JSONEncoder().encode(result)
        let text = String(decoding: data, as: UTF8.self)
        for key in ["\"durationS\"", "\"linkType\":\"RAW\"", "\"truncated\":false", "\"protocol\":\"udp\"", "\"binS\""] {
            #expect(text.contains(key), "\(key)")
        }
        #expect(try JSONDecoder().decode(CaptureSummary.self, from: data) == result)
    }

    @Test func textIsAlignedAndComplete() throws {
        var packets: [(Int, [UInt8])] = []
        for index in 0..<50 { packets += [(index * 100, up(index)), (index * 100 + 5, down(1000 + index, [UInt8](repeating: 0, count: 900)))] }
        let text = try summary(packets).renderText(width: 80)
        #expect(text.contains("100 packets") && text.contains("silences of 200 ms or more: none"))
        #expect(text.contains("10.0.0.1:40000") && text.contains("█"))
        #expect(!text.contains("TRUNCATED"))
    }

    @Test func figuresAreFormattedForReaders() {
        #expect(TextLayout.bytes(999) == "999 B" && TextLayout.bytes(15_517_728) == "15.5 MB" && TextLayout.bytes(1_000) == "1.00 kB")
        #expect(TextLayout.fixed(-1.005, 1) == "-1.0" && TextLayout.fixed(0.9999, 2) == "1.00" && TextLayout.fixed(.nan, 2) == "-")
        #expect(TextLayout.date(unixSeconds: 951_782_400.25) == "2000-02-29 00:00:00.250 UTC")
        #expect(TextLayout.date(unixSeconds: -1) == "1969-12-31 23:59:59.000 UTC")
        #expect(TextLayout.sparkline([0, 1, 8], columns: 3) == " ▁█")
    }
}
