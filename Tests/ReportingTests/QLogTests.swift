import CaptureKit
import Foundation
import MastCapture
import MastLinkModel
import MastReporting
import MastTimebase
import MastTransport
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
        #expect(!metrics.isEmpty && metrics.allSatisfy { data($0)["smoothed_rtt"] as? Double ?? 50 >= 50 })
        #expect(metrics.first.map { data($0)["min_rtt"] != nil && data($0)["smoothed_rtt"] != nil } == true)
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

    // MARK: a transport's own trace

    private func metrics(latest: Int64 = 41, window: Int = 12_000, _ estimates: CongestionEstimates) -> TraceEvent {
        .metricsUpdated(
            RecoveryMetrics(
                latestRTT: .milliseconds(latest), smoothedRTT: .milliseconds(42), variation: .milliseconds(3), minimumRTT: .milliseconds(40),
                bytesInFlight: 1_200, window: window, pacingRate: 300_000, estimates: estimates))
    }

    /// Without the header, each event's name and data.
    private func events(_ traced: [TraceEvent]) throws -> [(name: String, data: [String: Any])] {
        let events = traced.enumerated().map { index, event in
            TracedEvent(time: .zero + .milliseconds(Int64(index)), connection: ConnectionHandle(number: 1), event: event)
        }
        let log = try #require(QLog(events, title: "a trace", name: "client"))
        let records = try QLogRecords.of(log.bytes).dropFirst()
        #expect(records.count == log.events)
        return try records.map { (try #require($0["name"] as? String), try #require($0["data"] as? [String: Any])) }
    }

    @Test func `what the controller thinks is in milliseconds, bytes and bits a second, and what is ours under our name`() throws {
        let steady = CongestionEstimates(
            mode: .steady, deliveryRate: 2_500_000, queueingDelay: .microseconds(7_500), target: .milliseconds(12))
        let events = try events([metrics(steady)])
        #expect(events.map(\.name) == ["recovery:congestion_state_updated", "recovery:metrics_updated"])
        #expect(events[0].data as? [String: String] == ["new": "steady"])
        var data = events[1].data
        let ours = data.removeValue(forKey: "mast") as? [String: Double]
        #expect(ours == ["delivery_rate": 20_000_000, "queueing_delay": 7.5, "queueing_delay_target": 12])
        #expect(data as? [String: Double] == [
            "min_rtt": 40, "smoothed_rtt": 42, "latest_rtt": 41, "rtt_variance": 3, "congestion_window": 12_000, "bytes_in_flight": 1_200,
            "pacing_rate": 2_400_000,
        ])
    }

    @Test func `a controller without a rate has no name of ours, and one with a threshold says it`() throws {
        let events = try events([metrics(CongestionEstimates(mode: .avoidance, slowStartThreshold: 8_400))])
        #expect(events[0].data as? [String: String] == ["new": "congestion_avoidance"])
        #expect(events[1].data["ssthresh"] as? Int == 8_400 && events[1].data["mast"] == nil)
    }

    @Test func `only what changed is written, and nothing where nothing did`() throws {
        var estimates = CongestionEstimates(mode: .slowStart, target: .milliseconds(4))
        let first = metrics(estimates)
        let longer = metrics(latest: 47, estimates)
        (estimates.mode, estimates.deliveryRate) = (.steady, 1_000)
        let steady = metrics(latest: 47, window: 13_000, estimates)
        estimates.deliveryRate = nil
        let forgotten = metrics(latest: 47, window: 13_000, estimates)
        let events = try events([first, first, longer, steady, forgotten, steady])
        #expect(events.map(\.name) == [
            "recovery:congestion_state_updated", "recovery:metrics_updated", "recovery:metrics_updated", "recovery:congestion_state_updated",
            "recovery:metrics_updated",
        ])
        #expect(events[2].data as? [String: Double] == ["latest_rtt": 47])
        #expect(events[3].data as? [String: String] == ["old": "slow_start", "new": "steady"])
        #expect(events[4].data.count == 2 && events[4].data["congestion_window"] as? Int == 13_000)
        #expect(events[4].data["mast"] as? [String: Double] == ["delivery_rate": 8_000])
    }

    @Test func `a packet that came after all is told behind the acknowledgement that says so`() throws {
        let events = try events([
            .packetReceived(number: 9, bytes: 40), .packetAcknowledged(number: 3), .spuriousLoss(number: 3), .packetAcknowledged(number: 4),
            .packetReceived(number: 10, bytes: 40),
        ])
        #expect(events.map(\.name) == ["transport:packet_received", "recovery:spurious_loss", "transport:packet_received"])
        let frame = try #require((events[0].data["frames"] as? [[String: Any]])?.first)
        #expect(frame["acked_ranges"] as? [[Int]] == [[3, 4]] && events[2].data["frames"] == nil)
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
