import MastTimebase
import MastTransport
import TestKit
import Testing

/// What a responder sends to an address that is not proved: three times what came from it (RFC 9000 section 8.1).
@Suite struct ValidationTests {
    private let home = Stage.home
    private let elsewhere = NetworkAddress(ipv4: 0x0A63_0007, port: 1_234)

    /// The puppet's first message came from two addresses, and both were answered: either may be a spoofed one.
    private func answeredTwice() throws -> (stage: Stage, first: [UInt8]) {
        let stage = Stage()
        let first = stage.puppet.initiation(to: stage.key)
        stage.receive(first)
        stage.receive(first, from: elsewhere)
        let response = try #require(stage.sent.first?.payload)
        #expect(stage.sent.map(\.destination) == [home, elsewhere] && stage.sent.map(\.payload) == [response, response])
        #expect(stage.puppet.accept(response))
        return (stage, first)
    }

    private func write(_ bytes: Int, _ stage: Stage) throws -> ConnectionHandle {
        var accepted: ConnectionHandle?
        for case .accepted(let handle, _) in stage.events { accepted = handle }
        let handle = try #require(accepted)
        stage.send(bytes, on: handle)
        return handle
    }

    @Test func aLargeAnswerWaitsForTheProofOfAnAddressThatMayBeSpoofed() throws {
        let (stage, first) = try answeredTwice()
        let confirmation = stage.puppet.packet([.ping], padding: 20)
        stage.receive(confirmation)
        let handle = try write(100_000, stage)
        // Within the time that a challenge holds.
        stage.run(for: .milliseconds(500))
        let came = first.count + confirmation.count
        #expect(stage.bytes(to: home) <= 3 * came)
        #expect(stage.bytes(to: home) > 3 * came - 100, "but so much it is")
        #expect(stage.bytes(to: elsewhere) <= 3 * first.count)
        // With the proof all goes.
        let challenge = try #require(stage.challenges.first)
        stage.say(.pathResponse(challenge.word))
        for _ in 0..<60 {
            stage.run(for: .milliseconds(50))
            stage.say(acknowledges: true)
        }
        #expect(stage.bytes(to: home) > 100_000)
        #expect(stage.address(handle) == home && stage.migrations.isEmpty)
    }

    @Test func moreThatComesLetsMoreGo() throws {
        let (stage, first) = try answeredTwice()
        stage.say(.ping)
        _ = try write(100_000, stage)
        stage.run(for: .seconds(1))
        let before = stage.bytes(to: home)
        #expect(before <= 3 * (first.count + 100))
        let more = stage.puppet.packet(stage.puppet.acknowledgement + [.ping], padding: 900)
        stage.receive(more)
        stage.run(for: .seconds(1))
        #expect(stage.bytes(to: home) - before > 2 * more.count && stage.bytes(to: home) - before <= 3 * (more.count + 100))
    }

    /// Confirmed from a third address: nothing of what came from elsewhere counts for it.
    @Test func anAddressStartsWithNothing() throws {
        let (stage, _) = try answeredTwice()
        let third = elsewhere.with(port: 5)
        let confirmation = stage.puppet.packet([.ping], padding: 100)
        stage.receive(confirmation, from: third)
        let handle = try write(100_000, stage)
        stage.run(for: .seconds(3))
        #expect(stage.address(handle) == third)
        #expect(stage.bytes(to: third) <= 3 * confirmation.count)
        let challenge = try #require(stage.challenges.first)
        #expect(challenge.to == third)
    }

    @Test func oneAnswerIsProofEnough() throws {
        let stage = Stage()
        let handle = try #require(stage.accepted())
        let before = stage.bytes(to: home)
        stage.send(100_000, on: handle)
        stage.run(for: .seconds(1))
        #expect(stage.bytes(to: home) - before > 10_000)
        #expect(stage.challenges.isEmpty)
    }

    /// The first message repeated, but never a confirmation: an answer each time, and nothing by itself.
    @Test func anAnswerGoesForEachFirstMessageAndNoneWithout() throws {
        let stage = Stage()
        let first = stage.puppet.initiation(to: stage.key)
        for count in 1...6 {
            stage.receive(first, from: count == 4 ? elsewhere : home)
            stage.run(for: .seconds(1))
            #expect(stage.sent.count == count)
            #expect(stage.sent.last?.destination == (count == 4 ? elsewhere : home))
        }
        #expect(stage.endpoint.connectionCount == 1)
        stage.run(for: .seconds(5))
        #expect(stage.sent.count == 6 && stage.endpoint.connectionCount == 0, "it was not confirmed in time")
    }
}
