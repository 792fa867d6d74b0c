import Foundation
import MastLinkInference
import MastReporting
import Testing

/// Flows as `mast inspect --json` prints them.
@Suite struct FlowJSONTests {
    private static let quantiles = CaptureSummary.Quantiles(max: 93.402112, p50: 1e-05, p95: 12)

    /// Each member has another value, and none is unknown.
    private static var full: CaptureSummary.Flow {
        var (up, down) = (CaptureSummary.FlowSide(packets: 1, bytes: 2, ipBytes: 3, payloadBytes: 4), CaptureSummary.FlowSide(packets: 5, bytes: 6, ipBytes: 7, payloadBytes: 8))
        up.retransmissions = 9
        up.fastRetransmissions = 10
        up.timeoutRetransmissions = 11
        up.tailRetransmissions = 12
        up.spuriousRetransmissions = 13
        up.synRetransmissions = 14
        up.finRetransmissions = 15
        up.keepAlives = 16
        up.windowProbes = 17
        up.outOfOrder = 18
        up.lost = 19
        up.meanBurst = 1.333
        up.unrecordedBytes = 20
        up.duplicateAcks = 21
        up.zeroWindows = 22
        up.inFlightBytesMax = .max
        up.inFlightBytesP50 = 23
        up.jitterMs = 0.001
        up.throughputMbps = CaptureSummary.Throughput(per10ms: quantiles, per100ms: CaptureSummary.Quantiles(max: 3, p50: 2, p95: 1), per1s: quantiles)
        up.goodputMbps = CaptureSummary.Quantiles(max: 0.1, p50: 1e16, p95: -0.5)
        down = up
        down.packets = 5
        var rtt = CaptureSummary.RTT()
        (rtt.min, rtt.p50, rtt.p95, rtt.basis) = (1, 2.5, 1_234_567.891, "dataAck")
        (rtt.handshake, rtt.toServerMin, rtt.toClientMin, rtt.queueDelayP95) = (4, 5, 6, 7)
        return CaptureSummary.Flow(
            protocolName: "tcp", client: "10.0.0.1:40000", server: "[2001:db8::1]:443", clientKnownBy: "SYN", firstS: 0, lastS: 12.000001, up: up,
            down: down, rttMs: rtt, state: "closed", serverName: "a\"\\\u{1}<é>.example", serverNameBasis: "tls")
    }

    private static var unknown: CaptureSummary.Flow {
        let side = CaptureSummary.FlowSide(packets: 0, bytes: 0, ipBytes: 0, payloadBytes: 0)
        return CaptureSummary.Flow(protocolName: "gre", client: "", server: "", clientKnownBy: "", firstS: -1.5, lastS: 0, up: side, down: side)
    }

    private func written(_ flows: [CaptureSummary.Flow]) -> Data {
        var json = ReportJSON()
        json.array { json in
            for flow in flows { json.flow(flow) }
        }
        return Data(json.bytes)
    }

    /// The paths of all members.
    private func keys(_ value: Any, _ path: String = "") -> Set<String> {
        guard let object = value as? [String: Any] else { return [path] }
        return object.reduce(into: [path]) { $0.formUnion(keys($1.value, path + "." + $1.key)) }
    }

    @Test func eachMemberReadsBackAsItWas() throws {
        let flows = [Self.full, Self.unknown, Self.full]
        #expect(try JSONDecoder().decode([CaptureSummary.Flow].self, from: written(flows)) == flows)
        #expect(String(decoding: written([]), as: UTF8.self) == "[]")
    }

    @Test func itIsWhatAGeneralEncoderWrites() throws {
        var flow = Self.full
        flow.serverName = "www.example"
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        #expect(String(decoding: written([flow]), as: UTF8.self) == String(decoding: try encoder.encode([flow]), as: UTF8.self))
    }

    @Test func whatIsUnknownIsNull() throws {
        let all = try #require(try JSONSerialization.jsonObject(with: written([Self.full, Self.unknown])) as? [[String: Any]])
        let (known, unknown) = (keys(all[0]), keys(all[1]))
        // Of a figure that is null the parts are not there.
        #expect(unknown.isSubset(of: known))
        #expect(known.subtracting(unknown).allSatisfy { $0.contains("Mbps.") })
        #expect((all[1]["up"] as? [String: Any])?["lost"] is NSNull && all[1]["serverName"] is NSNull)
    }
}
