import Foundation
import MastFiles
import MastLinkEmulator
import MastLinkModel
import MastTimebase
import Testing

/// What iperf3 3.17 prints with --json and --json-stream, as its source has it.
@Suite struct IperfReportTests {
    private func sum(_ from: Double, _ to: Double, _ mbps: Double, sender: Bool = true, more: String = "") -> String {
        #"{"start": \#(from), "end": \#(to), "seconds": \#(to - from), "bytes": 1, "bits_per_second": \#(mbps * 1e6), "omitted": false, "sender": \#(sender)\#(more)}"#
    }

    private func start(_ test: String, more: String = "") -> String {
        #"{"connected": [], "version": "iperf 3.17", \#(more)"test_start": {"protocol": "TCP", "num_streams": 1, "omit": 0, "duration": 10, \#(test)}}"#
    }

    private func document(_ start: String, _ intervals: [String], end: String = #", "end": {}"#) -> [UInt8] {
        Array(#"{"start": \#(start), "intervals": [\#(intervals.joined(separator: ", "))]\#(end)}"#.utf8)
    }

    private func interval(_ sums: String, streams: String = "") -> String { #"{"streams": [\#(streams)], \#(sums)}"# }

    private func rates(_ series: RateSeries) -> [Double] { series.steps.map(\.rate.inMegabitsPerSecond) }

    private func reason(_ bytes: [UInt8]) -> String { #expect(throws: FileFailure.self) { try IperfReport(bytes) }?.description ?? "" }

    @Test func bothFlowsOfABidirectionalTestAreTold() throws {
        let report = try IperfReport(document(start(#""reverse": 0, "bidir": 1"#), [
            interval(#""sum": \#(sum(0, 1, 5)), "sum_bidir_reverse": \#(sum(0, 1, 10, sender: false))"#),
            interval(#""sum": \#(sum(1, 2, 20)), "sum_bidir_reverse": \#(sum(1, 2, 40, sender: false))"#),
        ]))
        #expect(try rates(report.series(.up)) == [5, 20] && rates(report.series(.down)) == [10, 40])
        #expect(report.remarks.isEmpty)
    }

    @Test(arguments: [false, true]) func olderReleasesHadOneNameForBothAndTheStreamsTellThemApart(_ isServer: Bool) throws {
        let streams = [sum(0, 1, 5, sender: !isServer), sum(0, 1, 3, sender: !isServer), sum(0, 1, 10, sender: isServer)].joined(separator: ", ")
        let report = try IperfReport(document(start(#""bidir": 1"#, more: isServer ? #""accepted_connection": {"host": "x", "port": 1}, "# : ""), [
            interval(#""sum": \#(sum(0, 1, 8)), "sum": \#(sum(0, 1, 10))"#, streams: streams)
        ]))
        #expect(try rates(report.series(.up)) == [8] && rates(report.series(.down)) == [10])
    }

    @Test func theLastIntervalLastsAsLongAsItSays() throws {
        let report = try IperfReport(document(start(#""reverse": 1"#), [
            interval(#""sum": \#(sum(0, 1, 20, sender: false))"#), interval(#""sum": \#(sum(1, 1.004, 0, sender: false))"#),
        ]))
        #expect(report.flows == [.reverse])
        for direction in LinkDirection.allCases {
            let series = try report.series(direction)
            #expect(series.period == .milliseconds(1_004) && rates(series) == [20, 0])
        }
    }

    @Test func secondsThatTheTestLeftOutAreLeftOut() throws {
        let omitted = sum(0, 1, 99).replacing("\"omitted\": false", with: "\"omitted\": true")
        let report = try IperfReport(document(start(#""reverse": 0"#), [
            interval(#""sum": \#(omitted)"#), interval(#""sum": \#(sum(0, 1, 7))"#), interval(#""sum": \#(sum(1, 2, 8))"#),
        ]))
        #expect(try rates(report.series(.up)) == [7, 8])
    }

    @Test func aStreamIsReadAsFarAsItGoes() throws {
        let lines = [#"{"event": "start", "data": \#(start(#""reverse": 0, "bidir": 0"#))}"#]
            + (0..<3).map { #"{"event": "interval", "data": \#(interval(#""sum": \#(sum(Double($0), Double($0 + 1), Double($0 + 1)))"#))}"# }
        let whole = try IperfReport(Array((lines + [#"{"event": "end", "data": {}}"#, "{", "  \"start\": {}", "}"]).joined(separator: "\n").utf8))
        #expect(try rates(whole.series(.down)) == [1, 2, 3] && whole.remarks.isEmpty)
        let cut = try IperfReport(Array((lines.joined(separator: "\n") + "\n{\"event\": \"inter").utf8))
        #expect(try rates(cut.series(.down)) == [1, 2, 3])
        #expect(cut.remarks.contains { $0.contains("no end") })
        #expect(reason(Array((lines + lines).joined(separator: "\n").utf8)).contains("several tests"))
        #expect(reason(Array([lines[0], "hello", lines[1]].joined(separator: "\n").utf8)).contains("line 2"))
    }

    @Test func anInterruptedTestCountsUpToThere() throws {
        let intervals = [interval(#""sum": \#(sum(0, 1, 3))"#)]
        let interrupted = try IperfReport(document(start(#""reverse": 0"#), intervals, end: #", "end": {}, "error": "interrupt - the client has terminated""#))
        #expect(try rates(interrupted.series(.up)) == [3] && interrupted.remarks.contains { $0.contains("terminated") })
        #expect(try IperfReport(document(start(#""reverse": 0"#), intervals, end: "")).remarks.contains { $0.contains("no end") })
        #expect(reason(document(start(#""reverse": 0"#), [], end: #", "error": "unable to connect""#)).contains("unable to connect"))
        #expect(reason(document(start(#""reverse": 0"#), intervals).dropLast(9) + []).contains("--json-stream"))
    }

    @Test func whatAUDPSenderSentIsNotWhatTheLinkCarried() throws {
        let udp = start(#""reverse": 0"#).replacing("TCP", with: "UDP")
        let sent = [interval(#""sum": \#(sum(0, 1, 50, more: #", "packets": 4000"#))"#)]
        let received = [interval(#""sum": \#(sum(0, 1, 9, sender: false, more: #", "jitter_ms": 1, "lost_packets": 3, "packets": 800, "lost_percent": 80"#))"#)]
        #expect(reason(document(udp, sent)).contains("--get-server-output"))
        #expect(reason(document(udp, sent, end: #", "end": {"sum": {"lost_percent": 80.4}}"#)).contains("80 %"))
        #expect(try rates(IperfReport(document(udp, sent, end: #", "end": {"sum": {"lost_percent": 0.2}}"#)).series(.up)) == [50])
        #expect(try rates(IperfReport(document(udp, received)).series(.up)) == [9])
        let server = String(decoding: document(udp, received), as: UTF8.self)
        #expect(try rates(IperfReport(document(udp, sent, end: #", "end": {}, "server_output_json": \#(server)"#)).series(.up)) == [9])
    }

    @Test func streamsSideBySideAreOneLinksRate() throws {
        let streams = (1...3).map { sum(0, 1, Double($0), sender: true) }.joined(separator: ", ")
        let withSum = try IperfReport(document(start(#""reverse": 0"#), [interval(#""sum": \#(sum(0, 1, 6))"#, streams: streams)]))
        let without = try IperfReport(document(start(#""reverse": 0"#), [#"{"streams": [\#(streams)]}"#]))
        #expect(try rates(withSum.series(.up)) == [6] && rates(without.series(.up)) == [6])
    }

    @Test func holesAndNonsenseAreNamed() {
        #expect(reason(document(start(#""reverse": 0"#), [interval(#""sum": \#(sum(0, 1, 1))"#), interval(#""sum": \#(sum(2, 3, 1))"#)])).contains("do not follow"))
        #expect(reason(document(start(#""reverse": 0"#), [interval(#""sum": \#(sum(0, 1e300, 1))"#)])).contains("at no time"))
        #expect(reason(document(start(#""reverse": 0"#), [interval(#""sum": {"start": 0, "end": 1, "bits_per_second": null}"#)])).contains("no rate"))
        #expect(reason(Array(#"{"up": {}, "down": {}}"#.utf8)).contains("--scenario"))
        #expect(reason(document(start(#""reverse": 0"#), []) + document(start(#""reverse": 0"#), [])).contains("several"))
    }
}
