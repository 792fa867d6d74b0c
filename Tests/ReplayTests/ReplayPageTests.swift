import CaptureKit
import Foundation
import MastCapture
import MastLinkInference
import MastLinkModel
import MastReplay
import MastReporting
import MastSimulator
import MastTimebase
import MastWasmRuntime
import Testing

private enum Engine {
    static let shared = Result { try SharedEngine.wasmtime() }
    static let isThere: Bool = {
        if case .failure(let error) = shared, (error as? EngineError)?.kind == .libraryMissing { return false }
        return true
    }()
    static let module = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../../Sources/Applications/textsearch/textsearch.wasm")
}

@Suite("A replay's page and qlog", .enabled(if: Engine.isThere, "the wasmtime library is not installed; run .ci/setup"))
struct ReplayPageTests {
    private func replay() throws -> (ReplayReport, ReplayRecording, LinkFit) {
        let link = LinkScenario(
            up: LinkProfile(service: .constant(.megabitsPerSecond(5)), delay: .milliseconds(25)),
            down: LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25)), seed: 3)
        let world = RecordedWorld.download(link, window: 60, until: Instant(nanoseconds: 8_000_000_000), recordedAt: .client)
        let source = ReplaySource(name: "a download", packets: world.timeline.events.count, fit: try LinkFit(world.timeline))
        let recorder = ReplayRecorder()
        var options = ReplayOptions()
        options.mode = .link
        options.kill = .halfway
        let run = try ReplayRun(ReplayPlan(source, options), source, engine: try Engine.shared.get(), module: [UInt8](try Data(contentsOf: Engine.module)))
        return (try run.run(recorder: recorder), recorder.recording, try #require(source.fit))
    }

    @Test func `it shows every call with its server, the kill, the failovers and the transport`() throws {
        let (report, recording, fit) = try replay()
        let data = ReportData(report, recording, fit: fit, title: "Replay")
        #expect(data.calls.count == report.calls && data.calls.count { $0.failure != nil } == report.failed)
        for (server, count) in report.servedBy { #expect(data.calls.count { $0.servedBy == server } == count) }
        let killed = try #require(report.killed)
        #expect(data.moments.contains { $0.label == "\(killed.station) killed" && $0.atS == killed.atS })
        #expect(data.moments.contains { $0.label.hasPrefix("→") })
        let sent = data.flows.reduce(0) { $0 + $1.up.packets }
        // What the client sent is what its link was offered, but for handshakes and what left after the last call.
        #expect(abs(sent - (report.link?.upPackets ?? 0)) < 50)
        #expect(data.rtts.first?.samples.values.allSatisfy { $0 >= 50 } == true)
        #expect(HTMLReport.render(data).contains("Replay report"))
    }

    @Test func `recording changes nothing of the run`() throws {
        let (report, _, _) = try replay()
        let (again, recording, _) = try replay()
        #expect(report.digest == again.digest && !recording.traced.isEmpty)
    }

    @Test func `its qlog has the transport's packets, acknowledgements and metrics`() throws {
        let (_, recording, _) = try replay()
        let log = try #require(QLog(recording.traced, title: "replay", name: "client"))
        let names = try QLogRecords.of(log.bytes).dropFirst().compactMap { $0["name"] as? String }
        for name in ["transport:packet_sent", "transport:packet_received", "recovery:metrics_updated"] {
            #expect(names.contains(name))
        }
    }
}
