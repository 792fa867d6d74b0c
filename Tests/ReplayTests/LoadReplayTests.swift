import CaptureKit
import Foundation
import MastCapture
import MastLinkInference
import MastLinkModel
import MastReplay
import MastSimulator
import MastTimebase
import Testing

/// Recorded conversations as calls.
@Suite("Replaying a recorded load", .enabled(if: Replaying.libraryIsThere, "the wasmtime library is not installed; run .ci/setup"))
struct LoadReplayTests {
    private func module() throws -> [UInt8] {
        [UInt8](try Data(contentsOf: Replaying.root.appending(path: "Sources/Applications/answer/answer.wasm")))
    }

    /// Ten questions of 400 bytes, each answered after 50 ms with 3000 bytes, and a second of thought after each.
    private func talk() -> RecordedWorld {
        var world = RecordedWorld()
        for number in 0..<10 {
            let at = Instant.zero + .milliseconds(1_050) * Int64(number)
            world.datagram(up: true, bytes: 400, at: at)
            for part in 0..<3 { world.datagram(up: false, bytes: 1_000, at: at + .milliseconds(50 + Int64(part))) }
        }
        return world
    }

    private func source(_ world: RecordedWorld) throws -> ReplaySource {
        let timeline = world.timeline
        let fit = try LinkFit(timeline)
        return ReplaySource(
            name: "a talk", packets: timeline.events.count, fit: fit, conversations: WorkloadFit(timeline, window: fit.window))
    }

    private func replay(_ source: ReplaySource, _ configure: (inout ReplayOptions) -> Void = { _ in }) throws -> ReplayReport {
        var options = ReplayOptions()
        configure(&options)
        return try ReplayRun(ReplayPlan(source, options), source, engine: Replaying.engine.get(), module: module()).run()
    }

    @Test func `sizes, order and pauses are kept, and every answer is checked`() throws {
        let report = try replay(source(talk()))
        let load = try #require(report.exchanges)
        #expect(load.flows == 1 && load.exchanges == 10 && load.answered == 10 && load.omitted == 0)
        #expect(load.requestBytes == 4_000 && load.responseBytes == 30_000)
        #expect(load.recordedP50Ms == 52)
        #expect(report.calls == 10 && report.failed == 0 && report.duplicated == 0 && report.violations.isEmpty)
        // Nine pauses of 998 ms, and ten answers that took no less than the link's round trip.
        #expect(report.simulatedS > 9)
        // The same load over the same link takes the same time.
        #expect(abs(report.simulatedS / report.durationS - 1) < 0.05 && report.durationS == load.recordedS)
        #expect(report.renderText().contains("recorded in \(TextLayout.fixed(load.recordedS, 2)) s"))
    }

    @Test func `a transfer takes as long as it took`() throws {
        let report = try replay(ReplaySource(path: Replaying.root.appending(path: "captures/bulk.pcap").path))
        #expect(report.failed == 0 && report.violations.isEmpty && report.kills.isEmpty)
        let captured = try #require(report.capture?.durationS)
        #expect(abs(report.simulatedS / captured - 1) < 0.05, "\(report.simulatedS) of \(captured)")
    }

    @Test func `what the servers sent again is counted beside what the client did`() throws {
        var lossy = try source(talk())
        lossy.link.down.radioLoss = .independent(Probability(0.1))
        let report = try replay(lossy)
        #expect(try #require(report.serversRetransmitted) > 0 && report.failed == 0)
        #expect(try replay(source(talk())).serversRetransmitted == 0)
    }

    @Test func `a slower link delays what waited for an answer`() throws {
        var slow = try source(talk())
        let quick = try replay(slow)
        for direction in LinkDirection.allCases { slow.link[direction].delay = .milliseconds(600) }
        let report = try replay(slow)
        #expect(report.failed == 0)
        #expect(report.exchanges?.replayedP50Ms ?? 0 >= 1_200)
        #expect(report.simulatedS - quick.simulatedS > 10)
    }

    @Test func `speed, rounds, and a limit`() throws {
        let source = try source(talk())
        let plan = { (configure: (inout ReplayPace) -> Void) throws -> ReplayPlan in
            var options = ReplayOptions()
            configure(&options.load)
            return try ReplayPlan(source, options)
        }
        #expect(try plan { $0.speed = 2_000 }.duration == plan { _ in }.duration / 2)
        #expect(try plan { $0.limit = 3 }.load?.count == 3)
        let twice = try plan { $0.rounds = 2 }
        #expect(twice.load?.count == 20)
        #expect(twice.workload.conversations.map(\.steps.count) == [20])
        #expect(Set(twice.workload.questions.map(\.runID)).count == 20)
    }

    @Test func `what nobody answered keeps its times`() throws {
        let scenario = LinkScenario(
            up: LinkProfile(delay: .milliseconds(20)), down: LinkProfile(delay: .milliseconds(20)), seed: 1)
        let world = RecordedWorld.media(scenario, until: Instant(nanoseconds: 4_000_000_000), recordedAt: .client)
        let plan = try ReplayPlan(source(world), ReplayOptions())
        let steps = plan.workload.conversations.flatMap(\.steps)
        #expect(!steps.isEmpty)
        #expect(steps.reduce(0) { $0 + $1.questions.count } == plan.workload.questions.count)
        #expect(try replay(source(world)).failed == 0)
    }

    @Test func `a long answer is carried in parts that make it up`() throws {
        var world = RecordedWorld()
        world.datagram(up: true, bytes: 100, at: .zero)
        for number in 0..<700 { world.datagram(up: false, bytes: 1_000, at: .zero + .milliseconds(20 + Int64(number))) }
        let plan = try ReplayPlan(source(world), ReplayOptions())
        let questions = plan.workload.questions
        #expect(questions.count == 3)
        #expect(questions.reduce(0) { $0 + $1.answer.count } == 700_000)
        #expect(questions.allSatisfy { $0.answer.count <= RecordedLoad.largestPart })
    }

    @Test func `the station that serves dies, and the conversation goes on`() throws {
        let report = try replay(source(talk())) { $0.kill = .halfway }
        #expect(report.failed == 0 && report.violations.isEmpty && report.kills.count == 1)
        #expect(report.servedBy.values.reduce(0, +) == report.calls)
    }

    @Test func `a client that gets another port and address goes on`() throws {
        var moved = try source(talk())
        moved.link.up.changes = [LinkChange(at: .seconds(3), .rebind(.port)), LinkChange(at: .seconds(6), .rebind(.address))]
        let report = try replay(moved)
        #expect(report.failed == 0 && report.violations.isEmpty && report.calls == 10)
        #expect(report.link?.upPackets ?? 0 > 20)
        #expect(try report.digest != replay(source(talk())).digest)
    }

    @Test func `one seed has one digest`() throws {
        let digests = try (0..<2).map { _ in try replay(source(talk())) { $0.seed = 5 }.digest }
        #expect(digests[0] == digests[1] && digests[0] != nil)
        #expect(try replay(source(talk())) { $0.seed = 6 }.digest != digests[0])
    }

    @Test func `where nothing was said there is nothing to replay`() throws {
        var empty = try source(talk())
        empty.conversations = nil
        #expect(throws: ReplayFailure.nothingSaid) { try ReplayPlan(empty, ReplayOptions()) }
    }
}
