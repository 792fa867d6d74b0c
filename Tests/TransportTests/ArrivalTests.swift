import MastTimebase
import MastTransport
import TestKit
import Testing

/// What the system says of a packet beside its bytes reaches the peer in acknowledgements.
@Suite struct ArrivalTests {
    private func acknowledgements(_ stage: Stage) -> [AckFrame] {
        stage.sent.flatMap { $0.frames.compactMap { if case .ack(let ack) = $0 { ack } else { nil } } }
    }

    private func receive(_ stage: Stage, mark: ECNCodepoint, age: Interval? = nil) {
        stage.endpoint.receive(stage.puppet.packet([.ping]), from: Stage.home, mark: mark, takenAt: age.map { stage.now - $0 }, at: stage.now)
        stage.drain()
        stage.run(for: .milliseconds(30))
    }

    /// RFC 9000 section 19.3.2: counts of each codepoint, of all packets so far; none before there is one to tell.
    @Test func marksAreCounted() throws {
        let stage = Stage()
        _ = try #require(stage.accepted())
        let expected: [(ECNCodepoint, ECNCounts?)] = [
            (.notCapable, nil), (.ect0, ECNCounts(ect0: 1)), (.ect0, ECNCounts(ect0: 2)), (.experienced, ECNCounts(ect0: 2, ce: 1)),
            (.ect1, ECNCounts(ect0: 2, ect1: 1, ce: 1)), (.notCapable, ECNCounts(ect0: 2, ect1: 1, ce: 1)),
        ]
        for (mark, counts) in expected {
            receive(stage, mark: mark)
            #expect(acknowledgements(stage).last?.marks == counts)
        }
    }

    /// What is not authentic counts nowhere.
    @Test func aForgedPacketsMarkIsNotCounted() throws {
        let stage = Stage()
        _ = try #require(stage.accepted())
        var forged = stage.puppet.packet([.ping])
        forged[forged.count - 1] ^= 1
        stage.endpoint.receive(forged, from: Stage.home, mark: .experienced, at: stage.now)
        receive(stage, mark: .ect0)
        #expect(acknowledgements(stage).last?.marks == ECNCounts(ect0: 1))
    }

    /// The time is the system's, in steps of 128 microseconds, and never goes back.
    @Test func theTimeOfArrivalIsWhenTheSystemTookIt() throws {
        var parameters = Puppet.generous
        parameters.timestampsPerAck = 8
        let stage = Stage()
        _ = try #require(stage.accepted(parameters: parameters))
        // What nobody acknowledged yet lies a second back.
        stage.run(for: .seconds(1))
        var steps: [Int64] = []
        // Looked at late, at once, late again, and so late that it began before the connection did.
        for age in [.milliseconds(10), nil, .milliseconds(25), .milliseconds(400)] as [Interval?] {
            receive(stage, mark: .notCapable, age: age)
            steps.append(Int64(acknowledgements(stage).last?.timestamps.first?.steps ?? 0) * 128)
        }
        // 30 ms apart as looked at; the step rounds down.
        let gaps = zip(steps, steps.dropFirst()).map { $1 - $0 }
        #expect(gaps.count == 3 && abs(gaps[0] - 40_000) <= 128 && abs(gaps[1] - 5_000) <= 128, "\(steps)")
    }

    @Test func twoInOneAcknowledgementDoNotGoBack() throws {
        var parameters = Puppet.generous
        parameters.timestampsPerAck = 8
        let stage = Stage()
        _ = try #require(stage.accepted(parameters: parameters))
        stage.run(for: .seconds(1))
        for age in [.zero, .milliseconds(500)] as [Interval] {
            stage.endpoint.receive(stage.puppet.packet([.ping]), from: Stage.home, takenAt: stage.now - age, at: stage.now)
        }
        stage.run(for: .milliseconds(30))
        let told = try #require(acknowledgements(stage).last?.timestamps)
        #expect(told.count >= 2 && told[0].number == told[1].number + 1 && told[0].steps == told[1].steps, "\(told)")
    }
}
