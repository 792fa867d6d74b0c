import CaptureKit
import MastCapture
import MastLinkInference
import MastLinkModel
import MastReplay
import MastSimulator
import MastTimebase
import Testing

/// What of a capture becomes load, and when.
@Suite("A recorded load") struct RecordedLoadTests {
    /// Exchanges of 100 bytes and, 50 ms later, 900 bytes, each begun at one of `times`.
    private func talk(_ times: [Interval], answer: Interval = .milliseconds(50)) -> RecordedWorld {
        var world = RecordedWorld()
        for at in times {
            world.datagram(up: true, bytes: 100, at: .zero + at)
            world.datagram(up: false, bytes: 900, at: .zero + at + answer)
        }
        return world
    }

    /// Through the survey, as a file goes.
    private func source(_ world: RecordedWorld) throws -> ReplaySource {
        var pipeline = CapturePipeline(conversations: true)
        for packet in world.packets { pipeline.take(packet) }
        let fit = try pipeline.finish()
        return ReplaySource(name: "a talk", packets: world.packets.count, fit: fit, conversations: try pipeline.conversations(fit, flow: nil))
    }

    private func load(_ source: ReplaySource) throws -> RecordedLoad { try #require(try ReplayPlan(source, ReplayOptions()).load) }

    /// Ten exchanges, a pause, and ten more.
    private func halves(_ pause: Interval) -> [Interval] {
        (0..<10).map { .milliseconds(200) * $0 } + (0..<10).map { .milliseconds(1_850) + pause + .milliseconds(200) * $0 }
    }

    @Test(arguments: [59, 61, 300]) func `load after a pause is played`(_ seconds: Int64) throws {
        let load = try load(source(talk(halves(.seconds(seconds)))))
        #expect(load.count == 20 && load.leftOut.isEmpty)
        #expect(load.recorded == .milliseconds(1_850) * 2 + .seconds(seconds))
        #expect(load.duration == load.recorded)
    }

    @Test func `a pause that nothing outlives is played as ten minutes, and named`() throws {
        let source = try source(talk(halves(.seconds(3_600))))
        let load = try load(source)
        #expect(load.count == 20)
        #expect(source.time.cutCount == 1 && source.time.cutTime == .seconds(3_000))
        #expect(load.recorded - load.duration == .seconds(3_000))
    }

    @Test func `what begins more than a day later is left out with its count`() throws {
        // A link is fitted to the first ten; then a pause of ten minutes each.
        let load = try load(source(talk((0..<10).map { .milliseconds(200) * $0 } + (1..<160).map { .seconds(600) * $0 })))
        // The 144th pause ends after a day.
        #expect(load.count == 10 + 144)
        #expect(load.leftOut.map(\.exchanges) == [15])
    }

    @Test func `the other end's own work passes before the question, and the length stays`() throws {
        let quick = try load(source(talk((0..<10).map { .seconds(4) * $0 })))
        let slow = try load(source(talk((0..<10).map { .seconds(4) * $0 }, answer: .milliseconds(50) + .milliseconds(900))))
        #expect(quick.work == .zero)
        // The first ten waits are all that there is to tell the round trip by: at least some of each is work.
        #expect(slow.work >= .seconds(5) && slow.work <= .milliseconds(9_500))
        #expect(slow.duration == quick.duration + .milliseconds(900))
    }

    @Test func `a sender's pause in the middle of a stream is kept`() throws {
        var world = RecordedWorld()
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 0, acknowledgement: 0, flags: 2), at: .zero)
        world.record(up: false, proto: 6, world.tcp(up: false, sequence: 0, acknowledgement: 1, flags: 0x12), at: .zero + .milliseconds(40))
        world.record(up: true, proto: 6, world.tcp(up: true, sequence: 1, acknowledgement: 1, flags: 0x18, payload: 100), at: .zero + .milliseconds(41))
        for part in 0..<8 {
            let at = Instant.zero + .milliseconds(81) + .seconds(5) * Int64(part)
            world.record(up: false, proto: 6, world.tcp(up: false, sequence: 1 + UInt32(part) * 500, acknowledgement: 101, flags: 0x18, payload: 500), at: at)
            world.record(up: true, proto: 6, world.tcp(up: true, sequence: 101, acknowledgement: 501 + UInt32(part) * 500, flags: 0x10), at: at + .milliseconds(1))
        }
        let load = try load(source(world))
        #expect(load.count == 8 && load.responseBytes == 4_000)
        #expect(load.duration == .seconds(35) + .milliseconds(40))
    }

    @Test func `an outage comes at the message that it came at`() throws {
        // A lone message 30 s before the download, whose link stands still 4 s after it began.
        let hold = Outage(start: .seconds(4), duration: .milliseconds(700), mode: .hold)
        let link = LinkScenario(
            up: LinkProfile(service: .constant(.megabitsPerSecond(5)), delay: .milliseconds(25)),
            down: LinkProfile(service: .constant(.megabitsPerSecond(10)), delay: .milliseconds(25), outages: [hold]), seed: 3)
        var pipeline = CapturePipeline(conversations: true)
        var early = RecordedWorld()
        early.datagram(up: true, bytes: 100, at: .zero)
        for packet in early.packets { pipeline.take(packet) }
        let gap = Interval.seconds(100)
        for var packet in RecordedWorld.download(link, window: 60, until: .zero + .seconds(8), recordedAt: .client).packets {
            packet.time += gap
            packet.epochNanoseconds += gap.nanoseconds
            pipeline.take(packet)
        }
        let fit = try pipeline.finish()
        let source = ReplaySource(name: "late", packets: pipeline.packets, fit: fit, conversations: try pipeline.conversations(fit, flow: nil))
        let played = try #require(source.link.down.outages.first)
        #expect(abs((played.start - gap - hold.start).inSeconds) < 0.2, "\(played)")
    }

    @Test func `what the capture does not prove is called assumed`() throws {
        let plan = try source(talk((0..<10).map { .seconds(1) * $0 }))
        let report = ReplayReport(try ReplayPlan(plan, ReplayOptions()), plan, [], [], start: .zero, incidents: [])
        #expect(report.assumed.contains { $0.name == "upMbps" } && report.assumed.contains { $0.name == "downMbps" })
        for assumption in report.assumed { #expect(report.renderText().contains(assumption.reason)) }
        var described = plan
        (described.link.up.service, described.link.down.service) = (.constant(.megabitsPerSecond(1)), .constant(.megabitsPerSecond(1)))
        let other = ReplayReport(try ReplayPlan(described, ReplayOptions()), described, [], [], start: .zero, incidents: [])
        #expect(!other.assumed.contains { $0.name.hasSuffix("Mbps") } && other.assumed.contains { $0.name.hasSuffix("LossRate") })
    }

    @Test func `a question is made anew, and always the same`() throws {
        let questions = try ReplayPlan(source(talk((0..<10).map { .seconds(1) * $0 })), ReplayOptions()).workload.questions
        #expect(questions.count == 10)
        for question in questions {
            #expect(question.input == question.input && question.input.count == 100)
            #expect(question.answer == question.answer && question.answer.count == 900)
        }
        #expect(Set(questions.map(\.input)).count == 10)
    }
}
