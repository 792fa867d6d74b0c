import Foundation
import MastCapture
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

    /// A document that holds the page in a frame `width` pixels wide, and notes what `look`, a script with the frame's
    /// window `w` and document `d`, puts into `notes`.
    static func framed(_ page: String, width: Int, look: String) -> String {
        """
        <!doctype html><html lang="en"><body><iframe style="width:\(width)px;height:900px;border:0" srcdoc="\(TextLayout.html(page))"></iframe>
        <script>
        const frame = document.querySelector("iframe"), notes = document.documentElement.dataset;
        frame.onload = () => { const w = frame.contentWindow, d = frame.contentDocument; \(look) };
        </script></body></html>
        """
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
        // Two rates, round trips on both sides of the capture point, and the flow's bytes.
        #expect(notes["drawn"] == "5")
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

    @Test(arguments: [360, 820]) func `nothing needs sideways scrolling on a phone, and paper has every row`(_ width: Int) throws {
        var data = try HTMLReportTests.download()
        data.flows[0].name = "2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff.50000 to " + String(repeating: "x", count: 120)
        for index in 0..<300 {
            data.calls.append(.init(name: "\(index)", startS: Double(index) / 50, durationMs: 60, servedBy: "a", failure: nil, attempts: 1))
        }
        let look = """
            notes.sideways = d.documentElement.scrollWidth - d.documentElement.clientWidth;
            notes.rows = d.querySelectorAll("#calls tbody tr").length;
            w.dispatchEvent(new Event("beforeprint"));
            notes.paper = d.querySelectorAll("#calls tbody tr").length;
            notes.bases = d.querySelector("#bases").open;
            notes.background = w.getComputedStyle(d.body).backgroundColor;
            notes.canvas = Math.round(Math.max(...[...d.querySelectorAll("canvas")].map(c => c.width / c.clientWidth)));
            w.dispatchEvent(new Event("afterprint"));
            notes.after = d.querySelectorAll("#calls tbody tr").length;
            notes.folded = !d.querySelector("#bases").open;
            """
        let notes = try Browser.notes(try Browser.open(Browser.framed(HTMLReport.render(data), width: width, look: look)))
        #expect(notes["sideways"] == "0")
        #expect(notes["rows"] == "50" && notes["paper"] == "300" && notes["after"] == "50")
        #expect(notes["bases"] == "true" && notes["folded"] == "true" && notes["background"] == "rgb(255, 255, 255)" && notes["canvas"] == "2")
    }

    @Test func `capacity is not drawn through an outage`() throws {
        let data = try HTMLReportTests.download()
        let outage = try #require(data.outages.first { $0.kind == "hold" && $0.direction == "down" })
        let middle = (outage.startS + outage.endS) / 2
        // Strokes of capacity's colour that lead from one side of the outage's middle to the other.
        let page = HTMLReport.render(data)
            .replacing("<script id=\"data\"", with: """
                <script>
                const lines = []; let at = null;
                for (const name of ["moveTo", "lineTo"]) {
                  const own = CanvasRenderingContext2D.prototype[name];
                  CanvasRenderingContext2D.prototype[name] = function (x, y) {
                    if (name === "lineTo" && this.strokeStyle === "#16191d") lines.push([at, x, this.canvas]);
                    at = x;
                    own.call(this, x, y);
                  };
                }
                </script>
                <script id="data"
                """)
            .replacing("</body>", with: """
                <script>
                const own = lines.filter(l => l[2] === View.plots[0].canvas);
                const x = View.plots[0].x(\(middle)), before = View.plots[0].x(\(outage.startS - 0.5));
                root.dataset.across = own.filter(l => l[0] < x && l[1] > x).length;
                root.dataset.along = own.filter(l => l[0] <= before && l[1] >= before).length;
                </script></body>
                """)
        let notes = try Browser.notes(try Browser.open(page))
        #expect(notes["ready"] == "yes" && notes["error"] == nil)
        #expect(notes["across"] == "0" && Int(notes["along"] ?? "") ?? 0 >= 1)
    }

    @Test func `a few round trips of seconds do not flatten the others`() throws {
        var data = ReportData(subject: .capture, title: "a", lengthS: 10)
        var samples = ReportData.Samples()
        for index in 0..<2_000 { samples.add(Int64(index) * 5_000, index % 400 == 7 ? 4_000 : Double(50 + index % 20)) }
        data.rtts = [.init(name: "there and back", samples: samples)]
        let document = try Browser.open(HTMLReport.render(data).replacing("</body>", with: """
            <script>root.dataset.high = Math.round(View.plots[0].high); root.dataset.said = View.plots[0].line.textContent;</script></body>
            """))
        let notes = try Browser.notes(document)
        #expect(Int(notes["high"] ?? "") ?? 0 < 100)
        #expect(notes["said"]?.contains("5 of 2,000 are higher, up to 4,000 ms") == true)
    }

    @Test func `a capture of one moment has tables, and says why it has no plots`() throws {
        var data = try HTMLReportTests.download()
        data.lengthS = 0
        let document = try Browser.open(HTMLReport.render(data))
        let notes = try Browser.notes(document)
        #expect(notes["ready"] == "yes" && notes["error"] == nil && notes["drawn"] == "0" && notes["flows-rows"] == "\(data.flows.count)")
        #expect(document.contains("there is nothing to draw over time"))
    }

    @Test func `two captures show delay and loss each way`() throws {
        let (data, _, _, _) = try TwoEndsReportTests.media()
        let document = try Browser.open(HTMLReport.render(data))
        let notes = try Browser.notes(document)
        #expect(notes["ready"] == "yes" && notes["error"] == nil)
        for title in ["One-way delay down, to the client", "One-way delay up, to the server", "Loss down, to the client", "Loss up, to the server"] {
            #expect(document.contains("<h3>\(title) <"))
        }
    }
}
