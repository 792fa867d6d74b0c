import Foundation
import MastLoadGenerator
import MastTimebase
import Testing

@Suite struct LoadReportTests {
    /// 1,000 calls at 100 a second; call n takes 1 ms and n microseconds.
    static func report(
        late: Int = 0, failed: Int = 0, kind: String = "unary", isOpen: Bool = true, interrupted: Bool = false
    ) -> (report: LoadReport, collector: LoadCollector) {
        var collector = LoadCollector(slices: LoadSlices(length: .seconds(1)), keepsRecords: true)
        for number in 0..<1_000 {
            let ending: CallResult.Ending = number < failed ? .failed(.unavailable, .none, message: "gone <away>, \"for\" now") : .ok
            var result = CallResult.example(number, due: Double(number) * 10, latency: 1 + Double(number) / 1_000, ending, number < late ? .generator : .onTime)
            (result.firstMessage, result.messages) = (result.intended + .microseconds(500), 2)
            collector.add(result)
        }
        var facts = LoadReport.Facts(
            method: "echo.v1.Echo/say", kind: kind, host: "127.0.0.1", date: "2026-12-01", load: "100/s", offered: isOpen ? 100 : nil, concurrency: 64,
            connections: 1, deadline: .seconds(10), lateBound: .milliseconds(1), warmup: .zero, elapsed: .seconds(10))
        (facts.isInterrupted, facts.hasStreams) = (interrupted, kind == "serverStream")
        return (LoadReport(collector, facts), collector)
    }

    @Test func theSummaryIsInTheOrderThatIsKnown() {
        let text = Self.report().report.text
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        #expect(lines.prefix(7) == [
            "Summary:", "  Count:        1000", "  Total:        10.00 s", "  Slowest:      2.00 ms", "  Fastest:      1.00 ms", "  Average:      1.50 ms",
            "  Requests/sec: 100.00",
        ])
        for (before, after) in [("Summary:", "Response time histogram"), ("Response time histogram", "Latency distribution:"), ("Latency distribution:", "Status code distribution:")] {
            let places = [before, after].map { word in lines.firstIndex { $0.hasPrefix(word) } }
            #expect(places.allSatisfy { $0 != nil } && places[0] ?? 0 < places[1] ?? 0)
        }
        #expect(lines.contains("  Offered 100.00/s, achieved 100.00/s"))
        #expect(lines.contains("    50 % in 1.50 ms") && lines.contains("    99 % in 1.99 ms"))
        #expect(lines.contains { $0.hasPrefix("  99.9 % in 2.00 ms  (fewer than ten") })
        #expect(lines.contains("  [ok] 1000 responses"))
        #expect(!text.contains("VOID") && !text.contains("failed;"))
        #expect(lines.allSatisfy { $0.count <= 160 })
    }

    @Test func aRunIsVoidAboveOneInAHundredAndSaysSo() {
        let (just, above) = (Self.report(late: 10).report, Self.report(late: 11).report)
        #expect(!just.isVoid && !just.text.contains("VOID") && just.late?.byGenerator == 10)
        #expect(above.isVoid && above.text.contains("VOID: 11 of 1000 calls (1.1 %)"))
        #expect(!Self.report(late: 500, isOpen: false).report.isVoid, "a closed loop has no pace to keep")
    }

    @Test func failuresSayWhetherTheyTookEffect() {
        let report = Self.report(failed: 4).report
        #expect(report.failed == 4 && report.effectsOfFailed.none == 4)
        #expect(report.text.contains("[unavailable] 4 responses; effect none 4"))
        #expect(report.text.contains("[4] unavailable: gone <away>, \"for\" now"))
        #expect(report.text.contains("4 of 1000 calls failed; latencies are of the 996 that succeeded"))
    }

    @Test func anInterruptedRunSaysSo() {
        #expect(Self.report(interrupted: true).report.text.contains("Interrupted after 10.00 s"))
    }

    @Test func streamsTellOfTheFirstMessage() {
        let report = Self.report(kind: "serverStream").report
        #expect(report.streams?.messages == 2_000 && report.streams?.messagesPerSecond == 200)
        #expect(report.streams?.firstMessageDistribution.first { $0.percent == 50 }?.latencyMs == 0.5)
        #expect(report.text.contains("Streams: 2000 messages, 200.00/s"))
        #expect(Self.report().report.streams == nil)
    }

    @Test func aRunWithoutCallsHasNoFigures() {
        let facts = LoadReport.Facts(
            method: "a/b", kind: "unary", host: "h", date: "", load: "1/s", offered: 1, concurrency: 1, connections: 1, deadline: .seconds(1),
            lateBound: .milliseconds(1), warmup: .zero, elapsed: .zero)
        let collector = LoadCollector(slices: LoadSlices(length: .seconds(1)))
        let report = LoadReport(collector, facts)
        #expect(report.text.hasPrefix("Summary:\n  Count:        0\n") && !report.isVoid && report.latencyDistribution.isEmpty)
        #expect(!LoadPage.html(report, nil, stylesheet: "").isEmpty)
        #expect(collector.latencies.hgrm.contains("Total count    =            0"))
    }

    @Test func jsonReadsBackAsABaseline() throws {
        let data = try JSONEncoder().encode(Self.report(failed: 4).report)
        let baseline = try JSONDecoder().decode(LoadComparison.Baseline.self, from: data)
        #expect(baseline.count == 1_000 && baseline.failed == 4 && baseline.latencyDistribution.count == LoadReport.percents.count)
        #expect(try JSONDecoder().decode(LoadReport.self, from: data).text == Self.report(failed: 4).report.text)
    }

    // MARK: forms

    @Test func csvHasALineACall() {
        let (_, collector) = Self.report(late: 1, failed: 1)
        let lines = CallTable.text(collector.records.reversed()).split(separator: "\n").map(String.init)
        #expect(lines.count == 1_001 && lines[0].hasPrefix("duration (ms),status,error,"))
        #expect(lines[1] == #"1.000,unavailable,"gone <away>, ""for"" now",0,0.000,0.000,none,generator,0.500,2"#)
        #expect(lines[2] == "1.001,ok,,1,10.000,10.000,,,0.500,2")
        let formula = CallResult.example(0, due: 0, latency: 1, .failed(.fault, .unknown, message: "=1+1\n\u{1B}[2J"))
        #expect(CallTable.text([formula]).contains(",'=1+1\\u{A}\\u{1B}[2J,"))
        let unsent = CallResult.example(0, due: 5, latency: 100, .notSent, .server)
        #expect(CallTable.text([unsent]).hasSuffix(",0,5.000,,none,place,,0\n"))
    }

    /// As its plotters match it: lines of four numbers, and two of remarks.
    @Test func hgrmIsWhatItsPlottersRead() throws {
        let text = Self.report().collector.latencies.hgrm
        let rows = text.matches(of: #/(?m)^\s+([0-9.]+)\s+([0-9.]+)\s+([0-9.]+)\s+([0-9.]+)$/#)
        #expect(rows.count > 30)
        var last = (0.0, -1.0, 0.0)
        for row in rows {
            let now = (Double(row.1) ?? -1, Double(row.2) ?? -1, Double(row.3) ?? -1)
            #expect(now.0 >= last.0 && now.1 > last.1 && now.2 >= last.2)
            #expect(((Double(row.4) ?? 0) - 1 / (1 - now.1)).magnitude <= 0.006 + 1e-5 / (1 - now.1))
            last = now
        }
        let remark = try #require(try #/#\[Mean(?:\s+)=(?:\s+)([0-9.]+),(?:\s+)StdDeviation(?:\s+)=(?:\s+)([0-9.]+)/#.firstMatch(in: text))
        // 1.4995 ms, rounded either way.
        #expect(["1.499", "1.500"].contains(String(remark.1)))
        let most = try #/#\[Max(?:\s+)=(?:\s+)([0-9.]+),(?:\s+)Total count(?:\s+)=(?:\s+)([0-9.]+)/#.firstMatch(in: text)
        #expect(most?.1 == "1.999" && most?.2 == "1000")
        #expect(text.hasPrefix("       Value     Percentile TotalCount 1/(1-Percentile)\n\n"))
    }

    @Test func thePageNeedsNothingElseAndEscapesWhatServersSay() {
        let page = LoadPage.html(Self.report(late: 20, failed: 1, kind: "serverStream").report, nil, stylesheet: ":root{--bg:#fff}")
        #expect(page.hasPrefix("<!doctype html>") && page.hasSuffix("</html>\n"))
        #expect(page.contains(":root{--bg:#fff}") && page.contains("prefers-color-scheme") == false)
        #expect(page.contains("gone &lt;away&gt;, &quot;for&quot; now") && !page.contains("<away>"))
        #expect(!page.contains("<script") && !page.contains("http:") && !page.contains("https:"))
        #expect(page.contains("VOID: 20 of 1000"))
        #expect(page.matches(of: #/<svg viewBox/#).count == 3)
        for word in ["NaN", "inf\"", "nan"] { #expect(!page.contains(word)) }
    }

    // MARK: beside an earlier run

    private func baseline(_ report: LoadReport) throws -> LoadComparison.Baseline {
        try JSONDecoder().decode(LoadComparison.Baseline.self, from: try JSONEncoder().encode(report))
    }

    @Test func theSameIsNotWorse() throws {
        let report = Self.report().report
        let comparison = LoadComparison(try baseline(report), report, failAbove: 0)
        #expect(comparison.worse.isEmpty && comparison.remarks.isEmpty && comparison.rows.allSatisfy { $0.worseShare == 0 })
        #expect(comparison.text.contains("the same"))
    }

    @Test(arguments: [(1.05, 0.10, 0), (1.11, 0.10, 6), (0.5, 0.10, 0), (3.0, 2.5, 0)])
    func whatIsWorseThanTheBoundIsNamed(_ factor: Double, _ bound: Double, _ worse: Int) throws {
        let before = Self.report().report
        var now = before
        now.averageMs = now.averageMs.map { $0 * factor }
        now.latencyDistribution = now.latencyDistribution.map { .init(percent: $0.percent, latencyMs: $0.latencyMs * factor) }
        let comparison = LoadComparison(try baseline(before), now, failAbove: bound)
        // The average, and 50 to 99 %; 99.9 % of 1,000 calls is one call.
        #expect(comparison.worse.count == worse, "\(comparison.worse)")
        #expect(comparison.rows.first { $0.name == "99.9 % ms" }?.isFirm == false)
        #expect(try LoadComparison(baseline(before), now, failAbove: nil).worse.isEmpty)
    }

    @Test func lessThroughputAndMoreFailuresAreWorse() throws {
        let before = Self.report().report
        var slow = before
        slow.requestsPerSecond = 80
        #expect(try LoadComparison(baseline(before), slow, failAbove: 0.1).worse == ["requests/s"])
        #expect(try LoadComparison(baseline(before), Self.report(failed: 10).report, failAbove: 0.1).worse == ["failed %"])
        #expect(try LoadComparison(baseline(before), Self.report(failed: 9).report, failAbove: 0.1).worse.isEmpty, "chance")
        var none = before
        (none.succeeded, none.latencyDistribution, none.averageMs) = (0, [], nil)
        #expect(try LoadComparison(baseline(before), none, failAbove: 0.1).worse == ["no call succeeded"])
    }

    /// Ten in a thousand began late: what is beyond 99 % may be the generator's own.
    @Test func aTailThatTheGeneratorMadeIsNotJudgedBy() throws {
        let report = Self.report(late: 10).report
        #expect(!report.isVoid && report.isFirm(90) && !report.isFirm(99) && Self.report().report.isFirm(99))
        #expect(report.text.contains("99 % in 1.99 ms  (of as many calls the generator itself was late)"))
        let comparison = LoadComparison(try baseline(report), Self.report().report, failAbove: 0)
        #expect(comparison.rows.filter { !$0.isFirm }.map(\.name) == ["99 % ms", "99.9 % ms", "failed %"])
    }

    @Test func whatIsNotComparableIsNotJudgedBy() throws {
        var report = Self.report().report
        #expect(try baseline(report).unfit(for: report.method, report.load) == nil)
        #expect(try baseline(report).unfit(for: "a/b", report.load) != nil && baseline(report).unfit(for: report.method, "5/s") != nil)
        #expect(try baseline(Self.report(late: 100).report).unfit(for: report.method, report.load) == "that run was void")
        report.isInterrupted = true
        #expect(try baseline(report).unfit(for: report.method, report.load) == "that run was interrupted")
    }

    /// Rates are of the time in which calls were begun, not of the wait for the last.
    @Test func aStragglerDoesNotHalveTheRate() {
        var collector = LoadCollector(slices: LoadSlices(length: .seconds(1)), window: .seconds(10))
        for number in 0..<1_000 { collector.add(.example(number, due: Double(number) * 10, latency: number == 999 ? 10_000 : 1)) }
        var facts = LoadReport.Facts(
            method: "a/b", kind: "unary", host: "h", date: "", load: "100/s", offered: 100, concurrency: 64, connections: 1, deadline: .seconds(10),
            lateBound: .milliseconds(1), warmup: .zero, elapsed: .milliseconds(19_990))
        facts.window = .seconds(10)
        let report = LoadReport(collector, facts)
        #expect(report.succeededPerSecond == 99.9 && report.requestsPerSecond == 99.9 && report.totalMs == 19_990)
    }

    @Test func placesThatAreTooFewAreSaid() {
        var collector = LoadCollector(slices: LoadSlices(length: .seconds(1)))
        for number in 0..<100 { collector.add(.example(number, due: Double(number), latency: 50, .ok, number < 5 ? .server : .onTime)) }
        let facts = LoadReport.Facts(
            method: "a/b", kind: "unary", host: "h", date: "", load: "1000/s", offered: 1_000, concurrency: 2, connections: 1, deadline: .seconds(10),
            lateBound: .milliseconds(1), warmup: .zero, elapsed: .milliseconds(150))
        #expect(LoadReport(collector, facts).remarks.contains { $0.hasPrefix("5 calls (5") && $0.contains("waited for one of 2 places") })
    }

    @Test func anotherLoadAndAVoidRunAreRemarked() throws {
        var before = Self.report(late: 100).report
        (before.method, before.load) = ("a/b", "5/s")
        #expect(try LoadComparison(baseline(before), Self.report().report, failAbove: nil).remarks.count == 3)
    }
}
