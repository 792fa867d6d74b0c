import CaptureKit
import Foundation
import MastCapture
import MastLinkInference
import MastLinkModel
import MastReporting
import MastTimebase
import Testing

@Suite("The large figures of a report") struct ReportFigureTests {
    private func summary(_ packets: [CapturedPacket]) -> (CaptureSummary, CaptureRecorder) {
        var builder = CaptureSummary.Builder()
        var recorder = CaptureRecorder()
        for packet in packets {
            builder.add(packet)
            recorder.add(packet)
        }
        return (builder.finish(file: "a.pcap", format: "pcap", linkType: "RAW", truncation: nil), recorder)
    }

    private func object(_ value: some Encodable) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: JSONEncoder().encode(value)) as? [String: Any])
    }

    /// The page's own data, as its script reads them.
    private func parts(_ page: String) throws -> [[String: Any]] {
        let data = try #require(page.firstMatch(of: #/<script id="data" type="application/json">(.*?)</script>/#.dotMatchesNewlines()))
        let object = try #require(try JSONSerialization.jsonObject(with: Data(data.1.utf8)) as? [String: Any])
        return try #require(object["figures"] as? [[String: Any]]).flatMap { $0["parts"] as? [[String: Any]] ?? [] }
    }

    @Test func `each is the figure of the same name in --json`() throws {
        let hold = MastLinkModel.Outage(start: .seconds(4), duration: .milliseconds(400), mode: .hold)
        let link = LinkScenario(
            up: LinkProfile(service: .constant(.megabitsPerSecond(5)), delay: .milliseconds(25)),
            down: LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), outages: [hold]), seed: 3)
        let world = RecordedWorld.download(link, window: 60, until: Instant(nanoseconds: 8_000_000_000), recordedAt: .client)
        let (summary, recorder) = summary(world.packets)
        let fit = try LinkFit(world.timeline)
        let data = ReportData(summary, recorder, fit: .success(fit))
        let json = ["link": try object(LinkReport(fit))] as [String: Any]
        let parts = try parts(HTMLReport.render(data))
        #expect(data.figures.map(\.name) == ["Capacity", "Base round trip", "Loss outside outages", "Outages"])
        #expect(parts.count == 6)
        for part in parts {
            let source = try #require(part["source"] as? String)
            let found = source.split(separator: ".").reduce(json as Any?) { ($0 as? [String: Any])?[String($1)] }
            let value = part["value"] as? Double
            if source == "link.outages" {
                let outages = try #require(found as? [[String: Any]]).filter { $0["kind"] as? String != "senderIdle" }
                #expect(value == Double(outages.count) && !outages.isEmpty)
            } else {
                #expect((found as? Double).map { abs($0 - (value ?? .infinity)) < 1e-8 } ?? (value == nil), "\(source)")
            }
            #expect((part["state"] as? String == "unknown") == (value == nil))
        }
    }

    @Test func `what is not proved shows no number, but why`() throws {
        var world = RecordedWorld()
        world.datagram(up: true, bytes: 20, at: .zero)
        let (summary, recorder) = summary(world.packets)
        let data = ReportData(summary, recorder, fit: .failure(.tooShort(packets: 1, length: .zero)))
        let page = HTMLReport.render(data)
        for figure in data.figures {
            for part in figure.parts {
                #expect(part.value == nil && part.state == .unknown && part.shown == "not proved")
                #expect(part.basis.contains("\(FitFailure.tooShort(packets: 1, length: .zero))"))
            }
        }
        // Once a figure, where both directions have the same.
        #expect(page.ranges(of: #"<p class="why">"#).count == 4)
        #expect(page.ranges(of: "not proved</p>").count == 6)
    }

    @Test func `a bound is called one, and shown with its sign`() {
        let bounds: [(ReportFigure.State, String)] = [(.atLeast, "≥ 6.00 Mbit/s"), (.atMost, "≤ 6.00 Mbit/s"), (.measured, "6.00 Mbit/s")]
        for (state, shown) in bounds {
            let part = ReportFigure.Part("down", source: "link.down.capacityMbps", value: 6, text: "6.00 Mbit/s", state: state, basis: "so")
            #expect(part.shown == shown)
            var data = ReportData(subject: .capture, title: "a")
            data.figures = [ReportFigure("Capacity", [part])]
            #expect(HTMLReport.render(data).contains(#"class="state \#(state.rawValue)">\#(state.label)<"#))
        }
    }

    @Test func `a small loss is not rounded to none`() {
        #expect([0, 0.000_004, 0.003, 0.1567, 1].map(ReportFigure.percent) == ["0 %", "0.0004 %", "0.30 %", "15.7 %", "100.0 %"])
    }

    @Test func `reasons and remarks from a file stay text`() {
        let evil = "<img src=x onerror=alert(1)>\"'&"
        var data = ReportData(subject: .capture, title: "a")
        data.figures = [
            ReportFigure(evil, [.init(evil, source: evil, value: nil, text: evil, state: .measured, basis: evil)], remark: evil),
            ReportFigure(evil, [.init(evil, source: evil, value: 1, text: evil, state: .measured, basis: evil)]),
        ]
        let page = HTMLReport.render(data)
        #expect(!page.contains("<img") && page.contains("&lt;img src=x onerror=alert(1)&gt;"))
    }

    @Test(arguments: [(40, 2_000), (10, 500_000), (3_600, 2_000), (1, 300), (100_000, 2_000_000)])
    func `bins hold some packets each, and are neither too many nor too few`(_ seconds: Int, _ packets: Int) {
        let bin = ReportData.binUs(lengthUs: Int64(seconds) * 1_000_000, packets: packets)
        let bins = Double(seconds) * 1e6 / Double(bin)
        #expect(bins <= 2_500 && bins >= 20)
        // Eight packets, unless sixty bins would not be left.
        #expect(Double(packets) / bins >= 8 || bins <= 60)
    }
}
