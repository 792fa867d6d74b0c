import Foundation
import MastLinkInference
import MastReporting
import Testing

/// Flows as `mast inspect --json` prints them.
@Suite struct FlowJSONTests {
    private static let quantiles = #"{"max":93.402112,"p50":1e-05,"p95":12}"#
    private static let side = """
        {"bytes":2,"duplicateAcks":21,"fastRetransmissions":10,"finRetransmissions":15,"goodputMbps":{"max":0.1,"p50":1e+16,"p95":-0.5},\
        "inFlightBytesMax":9223372036854775807,"inFlightBytesP50":23,"ipBytes":3,"jitterMs":0.001,"keepAlives":16,"lost":19,"meanBurst":1.333,\
        "outOfOrder":18,"packets":1,"payloadBytes":4,"retransmissions":9,"spuriousRetransmissions":13,"synRetransmissions":14,\
        "tailRetransmissions":12,"throughputMbps":{"per100ms":{"max":3,"p50":2,"p95":1},"per10ms":\(quantiles),"per1s":\(quantiles)},\
        "timeoutRetransmissions":11,"unexplainedRetransmissions":24,"unrecordedBytes":20,"windowProbes":17,"zeroWindows":22}
        """
    /// Each member has another value, none is unknown, and keys are in order.
    private static let full = """
        {"client":"10.0.0.1:40000","clientKnownBy":"SYN","down":\(side),"firstS":0,"lastS":12.000001,"protocol":"tcp",\
        "rttMs":{"basis":"dataAck","handshake":4,"min":1,"p50":2.5,"p95":1234567.891,"queueDelayP95":7,"toClientMin":6,"toServerMin":5},\
        "server":"[2001:db8::1]:443","serverName":"www.example","serverNameBasis":"tls","state":"closed","up":\(side)}
        """
    private static let bare = #"{"bytes":0,"ipBytes":0,"packets":0}"#
    /// What need not be known is not.
    private static let unknown = """
        {"client":"","clientKnownBy":"","down":\(bare),"firstS":-1.5,"lastS":0,"protocol":"gre","rttMs":{},"server":"","up":\(bare)}
        """

    private func flows(_ texts: [String]) throws -> [CaptureSummary.Flow] {
        try JSONDecoder().decode([CaptureSummary.Flow].self, from: Data("[\(texts.joined(separator: ","))]".utf8))
    }

    private func written(_ flows: [CaptureSummary.Flow]) -> String {
        var json = ReportJSON()
        json.array { json in
            for flow in flows { json.flow(flow) }
        }
        return json.text
    }

    /// The paths of all members.
    private func keys(_ value: Any, _ path: String = "") -> Set<String> {
        guard let object = value as? [String: Any] else { return [path] }
        return object.reduce(into: [path]) { $0.formUnion(keys($1.value, path + "." + $1.key)) }
    }

    @Test func eachMemberIsWrittenInOrder() throws {
        #expect(try written(flows([Self.full])) == "[\(Self.full)]")
        #expect(written([]) == "[]")
        let both = try flows([Self.full, Self.unknown])
        #expect(try JSONDecoder().decode([CaptureSummary.Flow].self, from: Data(written(both).utf8)) == both)
    }

    /// A member that a general encoder would write is not forgotten.
    @Test func itIsWhatAGeneralEncoderWrites() throws {
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.sortedKeys, .withoutEscapingSlashes]
        let flows = try flows([Self.full])
        #expect(String(decoding: try encoder.encode(flows), as: UTF8.self) == written(flows))
    }

    @Test func textsOfOthersAreEscaped() throws {
        var flows = try flows([Self.full])
        flows[0].serverName = "a\"\\\u{1}<é>.example"
        #expect(written(flows).contains(#""serverName":"a\"\\\u0001\u003cé\u003e.example""#))
        #expect(try JSONDecoder().decode([CaptureSummary.Flow].self, from: Data(written(flows).utf8)) == flows)
    }

    @Test func whatIsUnknownIsNull() throws {
        let text = try written(flows([Self.full, Self.unknown]))
        let all = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [[String: Any]])
        let (known, unknown) = (keys(all[0]), keys(all[1]))
        // Of a figure that is null the parts are not there.
        #expect(unknown.isSubset(of: known) && known.subtracting(unknown).allSatisfy { $0.contains("Mbps.") })
        #expect((all[1]["up"] as? [String: Any])?["lost"] is NSNull && all[1]["serverName"] is NSNull)
    }
}
