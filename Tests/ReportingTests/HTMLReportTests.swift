import CaptureKit
import Foundation
import MastCapture
import MastLinkInference
import MastLinkModel
import MastReporting
import MastTimebase
import Testing

@Suite("The report page") struct HTMLReportTests {
    /// A download over a 10 Mbit/s link with a handover, captured at the client.
    static func download() throws -> ReportData {
        let hold = MastLinkModel.Outage(start: .seconds(4), duration: .milliseconds(400), mode: .hold)
        let link = LinkScenario(
            up: LinkProfile(service: .constant(.megabitsPerSecond(5)), delay: .milliseconds(25)),
            down: LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), outages: [hold]), seed: 3)
        let world = RecordedWorld.download(link, window: 60, until: Instant(nanoseconds: 8_000_000_000), recordedAt: .client)
        var builder = CaptureSummary.Builder()
        var recorder = CaptureRecorder()
        for packet in world.packets {
            builder.add(packet)
            recorder.add(packet)
        }
        let summary = builder.finish(file: "captures/<b>drive.pcap", format: "pcap", linkType: "RAW", truncation: nil)
        return ReportData(summary, recorder, fit: .success(try LinkFit(world.timeline)))
    }

    private func object(_ page: String) throws -> [String: Any] {
        let data = try #require(page.firstMatch(of: #/<script id="data" type="application/json">(.*?)</script>/#.dotMatchesNewlines()))
        return try #require(try JSONSerialization.jsonObject(with: Data(data.1.utf8)) as? [String: Any])
    }

    @Test func `it carries every packet of a small capture, and needs nothing from elsewhere`() throws {
        let data = try Self.download()
        let page = HTMLReport.render(data)
        let object = try object(page)
        let flow = try #require((object["flows"] as? [[String: Any]])?.first)
        let kinds = try #require(flow["k"] as? String)
        #expect(kinds.utf8.count == data.flows[0].points.timesUs.count)
        #expect((flow["t"] as? [Int])?.count == kinds.utf8.count && (flow["y"] as? [Int])?.count == kinds.utf8.count)
        let down = data.flows[0].down.packets
        #expect(kinds.utf8.count { $0 & 7 == 0 || $0 & 7 == 1 } >= down - 2)
        #expect((object["outages"] as? [Any])?.count == data.outages.count)
        #expect(!page.contains("http:") && !page.contains("https:") && !page.contains("@import") && !page.contains("url("))
        #expect(page.contains("default-src 'none'"))
    }

    @Test func `names from a capture cannot become markup or script`() throws {
        var data = try Self.download()
        let evil = "</script><script>alert(1)</script><!-- \u{2028}\"'&"
        data.title = evil
        data.facts = [evil]
        data.notes = [evil]
        data.flows[0].name = evil
        data.calls = [.init(name: evil, startS: 1, durationMs: 2, servedBy: evil, failure: evil, attempts: 1)]
        let page = HTMLReport.render(data)
        #expect(!page.contains("<script>alert") && !page.contains("<!-- "))
        #expect(page.ranges(of: "</script>").count == 2)
        let flow = try #require((try object(page)["flows"] as? [[String: Any]])?.first)
        #expect(flow["name"] as? String == evil)
    }

    @Test func `bytes and lanes agree with the capture`() throws {
        let data = try Self.download()
        #expect(data.title == "<b>drive.pcap" && HTMLReport.render(data).contains("<h1>&lt;b&gt;drive.pcap</h1>"))
        let lane = try #require(data.lanes.first { $0.direction == "down" })
        let bits = lane.usedKbps.reduce(0) { $0 + Double($1) * lane.binS * 1000 }
        let carried = Double(data.flows[0].down.bytes) * 8
        #expect(abs(bits - carried) < carried * 0.02)
        #expect(data.outages.contains { $0.kind == "hold" && abs($0.startS - 4) < 0.2 })
        #expect(data.rtts.contains { $0.samples.values.contains { $0 >= 50 } })
        #expect(data.facts.contains { $0.contains("Vantage point: client") })
    }

    @Test func `a long capture is thinned, its retransmissions are not`() {
        var points = ReportPoints()
        for index in 0..<300_000 { points.add(Int64(index) * 100, Int64(index) * 1_000, index % 1_000 == 7 ? 1 : 0) }
        var data = ReportData(subject: .capture, title: "long", lengthS: 30)
        let side = ReportData.Flow.Side(packets: 300_000, bytes: 0)
        data.flows = [.init(name: "a", protocolName: "tcp", firstS: 0, lastS: 30, up: side, down: side, points: points)]
        data.thin(to: 20_000)
        let left = data.flows[0].points
        #expect(left.timesUs.count <= 20_000 && left.timesUs.count > 2_000)
        #expect(left.kinds.count { $0 == 1 } == 300)
        #expect(left.timesUs.first == 0 && left.bytes.last == 299_999_000)
        #expect(data.notes.count == 1)
    }

    @Test func `samples beyond what a plot can tell apart keep each interval's extremes`() {
        var all = ReportData.Samples()
        for index in 0..<100_000 { all.add(Int64(index) * 1_000, index == 54_321 ? 9_000 : index == 12_345 ? 0.5 : Double(40 + index % 7)) }
        let thinned = all.thinned(to: 3_000)
        #expect(thinned.values.count <= 3_003 && thinned.values.count > 1_000)
        #expect(thinned.values.max() == 9_000 && thinned.values.min() == 0.5 && thinned.timesUs.first == 0)
        #expect(thinned.timesUs == thinned.timesUs.sorted())
        #expect(all.thinned(to: 100_000).values == all.values)
    }

    @Test func `numbers are written as JSON has them`() {
        var json = ReportJSON()
        json.array { json in
            for value in [0, -0.5, 1.25, 1e300, .nan, .infinity, -123.4567, 1e-9] { json.number(value) }
            json.integer(.min)
            json.string("\u{1}\n</")
        }
        #expect(json.text == #"[0,-0.5,1.25,null,null,null,-123.457,0,-9223372036854775808,"\u0001\u000a\u003c/"]"#)
    }
}
