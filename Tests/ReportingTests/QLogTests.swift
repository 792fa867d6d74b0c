import CaptureKit
import Foundation
import MastCapture
import MastLinkModel
import MastReporting
import MastTimebase
import Testing

@Suite("qlog") struct QLogTests {
    /// A download over a link that drops, seen by the client or by the server.
    private func recorder(_ end: RecordedWorld.End) -> CaptureRecorder {
        let link = LinkScenario(
            up: LinkProfile(service: .constant(.megabitsPerSecond(5)), delay: .milliseconds(25)),
            down: LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25)), seed: 3)
        var recorder = CaptureRecorder()
        for packet in RecordedWorld.download(link, window: 60, until: Instant(nanoseconds: 2_000_000_000), recordedAt: end).packets {
            recorder.add(packet)
        }
        return recorder
    }

    @Test func `a server's capture is the server's qlog: every packet sent, every acknowledgement with what it covers`() throws {
        let recorder = recorder(.server)
        let log = try #require(QLog(recorder, title: "a download", vantage: .server))
        let records = try QLogRecords.of(log.bytes)
        let header = try #require(records.first)
        #expect(header["qlog_version"] as? String == "0.3" && header["qlog_format"] as? String == "JSON-SEQ")
        let trace = try #require(header["trace"] as? [String: Any])
        #expect((trace["vantage_point"] as? [String: Any])?["type"] as? String == "server")
        let sent = records.filter { $0["name"] as? String == "transport:packet_sent" }
        #expect(sent.count == recorder.events.count { $0.direction == .down && $0.kind != nil })
        func data(_ record: [String: Any]) -> [String: Any] { record["data"] as? [String: Any] ?? [:] }
        let numbers = sent.map { (data($0)["header"] as? [String: Any])?["packet_number"] as? Int }
        #expect(numbers == Array(0..<sent.count))
        var acknowledged = Set<Int>()
        for record in records where record["name"] as? String == "transport:packet_received" {
            for frame in data(record)["frames"] as? [[String: Any]] ?? [] {
                for range in frame["acked_ranges"] as? [[Int]] ?? [] { acknowledged.formUnion(range[0]...range[1]) }
            }
        }
        #expect(acknowledged.count >= sent.count - 200 && acknowledged.isSubset(of: Set(0..<sent.count)))
        let metrics = records.filter { $0["name"] as? String == "recovery:metrics_updated" }
        #expect(!metrics.isEmpty && metrics.allSatisfy { data($0)["smoothed_rtt"] as? Double ?? 0 >= 50 && data($0)["min_rtt"] != nil })
        let times = records.dropFirst().compactMap { $0["time"] as? Double }
        #expect(times == times.sorted() && times.count == log.events)
    }

    @Test func `a client's capture of a download is the network's view of what the server sent`() throws {
        let log = try #require(QLog(recorder(.client), title: "a download", vantage: .client))
        let trace = try #require(try QLogRecords.of(log.bytes).first?["trace"] as? [String: Any])
        let point = try #require(trace["vantage_point"] as? [String: Any])
        #expect(point["type"] as? String == "network" && point["flow"] as? String == "server")
        #expect(trace["title"] as? String == "a download")
    }

    @Test func `times count from the flow's first packet, however long after the capture's that came`() throws {
        var late = CaptureRecorder()
        let century = Interval.seconds(36_500 * 86_400)
        var world = RecordedWorld()
        world.datagram(up: true, bytes: 20, at: .zero)
        for number in 0..<20 { world.datagram(up: number % 2 == 0, bytes: 900, at: .zero + century + .milliseconds(10) * Int64(number)) }
        for packet in world.packets.dropFirst() { late.add(packet) }
        let times = try QLogRecords.of(try #require(QLog(late, title: "late", vantage: .unknown)).bytes).dropFirst().map { $0["time"] as? Double }
        #expect(times == (0..<20).map { Double($0) * 10 })
    }

    @Test func `an empty capture has no qlog`() {
        #expect(QLog(CaptureRecorder(), title: "nothing", vantage: .unknown) == nil)
    }

    @Test func `the series as CSV have one value a line, and names stay text`() throws {
        var data = try HTMLReportTests.download()
        data.calls = [.init(name: "1", startS: 1, durationMs: 2, servedBy: "=a,\"b", failure: nil, attempts: 1)]
        let lines = data.csv.split(separator: "\n")
        #expect(lines.first == "timeS,series,direction,value")
        #expect(lines.count == 1 + data.lanes.reduce(0) { $0 + $1.usedKbps.count + $1.capacityKbps.count } + data.rtts.reduce(0) { $0 + $1.samples.values.count } + 1)
        #expect(lines.last == #"1.000000,callMs,"'=a,""b",2.000000"#)
    }
}
