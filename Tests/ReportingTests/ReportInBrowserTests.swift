import Foundation
import MastProcesses
import MastReporting
import Testing

private enum Browser {
    static let program = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"]
        .first { FileManager.default.isExecutableFile(atPath: $0) }

    /// The page's document after its script ran.
    static func open(_ page: String) throws -> String {
        let folder = FileManager.default.temporaryDirectory.appending(path: "report-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appending(path: "report.html")
        try Data(page.utf8).write(to: file)
        var start = ChildProcess.Start(program ?? "", [
            "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,1600", "--virtual-time-budget=5000",
            "--user-data-dir=\(folder.path)/profile", "--dump-dom", file.absoluteString,
        ])
        (start.output, start.errors) = (.pipe, .nothing)
        let browser = try ChildProcess(start)
        return String(decoding: try #require(browser.output?.everything(within: .seconds(120))), as: UTF8.self)
    }

    /// What the script noted on the root element.
    static func notes(_ document: String) throws -> [String: String] {
        let root = try #require(document.firstMatch(of: #/<html[^>]*>/#)).0
        var notes: [String: String] = [:]
        for match in root.matches(of: #/data-([a-z-]+)="([^"]*)"/#) { notes[String(match.1)] = String(match.2) }
        return notes
    }
}

@Suite("The report page in a browser", .enabled(if: Browser.program != nil, "Chromium is not installed; run .ci/setup"), .serialized)
struct ReportInBrowserTests {
    @Test func `a capture's plots and tables are drawn, without an error`() throws {
        let data = try HTMLReportTests.download()
        let document = try Browser.open(HTMLReport.render(data))
        let notes = try Browser.notes(document)
        #expect(notes["ready"] == "yes" && notes["error"] == nil)
        // Two rates, round trips, and the flow's bytes.
        #expect(notes["drawn"] == "4")
        #expect(notes["flows-rows"] == "\(data.flows.count)" && notes["outages-rows"] == "\(data.outages.count)")
        #expect(Int(notes["points"] ?? "") ?? 0 > data.flows[0].points.timesUs.count / 2)
        #expect(document.contains("aria-sort=\"descending\""))
    }

    @Test func `calls are drawn by who served them, and names stay text`() throws {
        var data = ReportData(subject: .replay, title: "<img src=x onerror=alert(1)>", lengthS: 10)
        for index in 0..<5_000 {
            let failed = index % 100 == 0
            let server = index < 2_500 ? "a</td>" : "b"
            data.calls.append(
                .init(
                    name: "<i>\(index)</i>", startS: Double(index) / 500, durationMs: Double(60 + index % 40), servedBy: failed ? nil : server,
                    failure: failed ? "<script>no</script>" : nil, attempts: 1 + index % 3))
        }
        data.moments = [.init(atS: 5, label: "a dies", detail: "<b>killed</b>")]
        let document = try Browser.open(HTMLReport.render(data))
        let notes = try Browser.notes(document)
        #expect(notes["ready"] == "yes" && notes["error"] == nil)
        #expect(notes["drawn"] == "1" && notes["calls-rows"] == "5000" && notes["moments-rows"] == "1" && notes["points"] == "5000")
        #expect(document.contains("page 1 of 100"))
        #expect(!document.contains("<i>") && !document.contains("<b>") && !document.contains("<img"))
    }
}
