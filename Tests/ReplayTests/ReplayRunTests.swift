import CaptureKit
import Foundation
import MastCapture
import MastLinkInference
import MastLinkModel
import MastReplay
import MastSimulator
import MastTimebase
import MastWasmRuntime
import Testing

enum Replaying {
    static let engine = Result { try SharedEngine.wasmtime() }
    static let libraryIsThere: Bool = {
        if case .failure(let error) = engine, (error as? EngineError)?.kind == .libraryMissing { return false }
        return true
    }()

    static let root = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "../..")
}

@Suite("Replaying a captured link", .enabled(if: Replaying.libraryIsThere, "the wasmtime library is not installed; run .ci/setup"))
struct ReplayRunTests {
    private func module() throws -> [UInt8] {
        [UInt8](try Data(contentsOf: Replaying.root.appending(path: "Sources/Applications/textsearch/textsearch.wasm")))
    }

    /// A download over a 10 Mbit/s link with a handover, captured at the client.
    private func source() throws -> ReplaySource {
        let hold = Outage(start: .seconds(4), duration: .milliseconds(400), mode: .hold)
        let link = LinkScenario(
            up: LinkProfile(service: .constant(.megabitsPerSecond(5)), delay: .milliseconds(25)),
            down: LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), outages: [hold]), seed: 3)
        let world = RecordedWorld.download(link, window: 60, until: Instant(nanoseconds: 8_000_000_000), recordedAt: .client)
        return ReplaySource(name: "a download", packets: world.timeline.events.count, fit: try LinkFit(world.timeline))
    }

    private func replay(_ configure: (inout ReplayOptions) -> Void = { _ in }) throws -> ReplayReport {
        var options = ReplayOptions()
        options.mode = .link
        configure(&options)
        return try ReplayRun(ReplayPlan(source(), options), source(), engine: Replaying.engine.get(), module: module()).run()
    }

    @Test func `the serving station dies halfway, nothing is lost, and it serves again`() throws {
        let report = try replay { $0.kill = .halfway }
        #expect(report.violations.isEmpty)
        #expect(report.calls == 100 && report.failed == 0 && report.duplicated == 0)
        #expect(report.phases.map(\.name) == ["before", "during", "after"])
        #expect(report.phases.reduce(0) { $0 + $1.calls } == report.calls)
        #expect(report.servedBy.values.reduce(0, +) == report.calls)
        let killed = try #require(report.killed)
        #expect(killed.atS == 10 && killed.returnedS == 15)
        #expect(report.phases[0].servedBy[killed.station] ?? 0 > 0)
        #expect(report.phases[1].servedBy[killed.station] == nil)
        #expect(report.phases[0].p50Ms ?? 0 >= 54)
        // The call that the station took with it.
        #expect(report.phases[1].p99Ms ?? 0 > report.phases[0].p50Ms ?? 0)
    }

    @Test func `one seed has one report`() throws {
        func text(_ report: ReplayReport) throws -> String {
            let encoder = JSONEncoder()
            encoder.outputFormatting = [.sortedKeys]
            return String(decoding: try encoder.encode(report), as: UTF8.self)
        }
        let report = try replay { $0.seed = 11 }
        #expect(try text(replay { $0.seed = 11 }) == text(report))
        #expect(try replay { $0.seed = 12 }.digest != report.digest)
    }

    @Test func `nobody is killed unless somebody asks for it, and another outage comes`() throws {
        let report = try replay { options in
            options.runs = 40
            options.duration = .seconds(10)
            options.outages = [Outage(start: .seconds(5), duration: .seconds(2), mode: .drop)]
        }
        #expect(report.killed == nil && report.calls == 40 && report.failed == 0)
        #expect(report.phases.map(\.name) == ["all"])
        #expect(report.retransmitted > 0)
        #expect(report.phases[0].p99Ms ?? 0 > 1000)
    }

    @Test func `a kill after the end is refused`() throws {
        #expect(throws: ReplayFailure.killTooLate(.seconds(30), duration: .seconds(20))) {
            try replay { $0.kill = .at([.seconds(30)]) }
        }
    }

    @Test func `each kill has its phases, whoever serves then`() throws {
        let report = try replay { $0.kill = .at([.seconds(12), .seconds(4)]) }
        #expect(report.kills.map(\.atS) == [4, 12] && report.kills.map(\.returnedS) == [8, 16])
        #expect(report.phases.map(\.name) == ["before", "during 1", "after 1", "during 2", "after 2"])
        #expect(report.phases.reduce(0) { $0 + $1.calls } == report.calls && report.failed == 0)
        for (kill, phase) in zip(report.kills, [1, 3]) { #expect(report.phases[phase].servedBy[kill.station] == nil) }
    }

    @Test func `a link that somebody describes needs no capture`() throws {
        let link = LinkScenario(
            name: "described", up: LinkProfile(delay: .milliseconds(50)), down: LinkProfile(delay: .milliseconds(50)))
        var options = ReplayOptions()
        options.mode = .link
        (options.runs, options.duration) = (20, .seconds(4))
        let report = try ReplayRun(ReplayPlan(ReplaySource(link: link), options), ReplaySource(link: link), engine: Replaying.engine.get(), module: module()).run()
        #expect(report.calls == 20 && report.failed == 0 && report.violations.isEmpty)
        #expect(report.fit == nil && report.capture == nil)
        #expect(report.phases[0].p50Ms ?? 0 >= 104)
    }

    @Test func `captures of this project replay alike twice`() throws {
        let folder = Replaying.root.appending(path: "captures")
        let files = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        for file in files.sorted() where file.hasSuffix(".pcap") || file.hasSuffix(".pcapng") {
            let source = try ReplaySource(path: folder.appending(path: file).path)
            var options = ReplayOptions()
            options.mode = .link
            options.runs = 30
            options.duration = .seconds(10)
            let reports = try (0..<2).map { _ in try ReplayRun(ReplayPlan(source, options), source, engine: Replaying.engine.get(), module: module()).run() }
            #expect(reports[0].digest == reports[1].digest, "\(file)")
            #expect(reports[0].violations.isEmpty && reports[0].duplicated == 0, "\(file)")
        }
    }
}
