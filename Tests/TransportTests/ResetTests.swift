import MastTimebase
import MastTransport
import TestKit
import Testing

/// Stateless resets: only the ID that we send to, with the token that its owner gave us, ends a connection.
@Suite struct ResetTests {
    private static let token = [UInt8](1...16)

    /// A connection with a peer that gave `token`.
    private func stage(dialled: Bool, token: [UInt8] = Self.token) throws -> (Stage, ConnectionHandle) {
        let stage = Stage()
        var parameters = Puppet.generous
        parameters.resetToken = token
        let handle = dialled ? stage.dialled(parameters: parameters) : stage.accepted(parameters: parameters)
        return (stage, try #require(handle))
    }

    @Test(arguments: [true, false]) func theRightOneEndsTheConnectionAtOnce(dialled: Bool) throws {
        let (stage, handle) = try stage(dialled: dialled)
        // Wherever it comes from: a peer that forgot all may have moved.
        stage.receive(WirePacket.reset(of: stage.puppet.localID, token: Self.token), from: Stage.home.with(port: 9))
        #expect(stage.closes == [.reset])
        #expect(!stage.isEstablished(handle) && stage.endpoint.connectionCount == 0)
    }

    @Test(arguments: [true, false]) func aForgedResetDoesNothing(dialled: Bool) throws {
        let (stage, handle) = try stage(dialled: dialled)
        let (id, other) = (stage.puppet.localID, ConnectionID(rawValue: stage.puppet.localID.rawValue + 1))
        // The right ID, and a token that is wrong in one bit.
        for bit in 0..<128 {
            stage.receive(WirePacket.reset(of: id, token: WirePacket.changed(Self.token, at: bit / 8, by: 1 << UInt8(bit % 8))))
        }
        // The token that we gave, or none; the right one for another's ID, or for our own.
        stage.receive(WirePacket.reset(of: id, token: stage.puppet.parameters.resetToken))
        stage.receive(WirePacket.reset(of: id, token: [UInt8](repeating: 0, count: 16)))
        stage.receive(WirePacket.reset(of: other, token: Self.token))
        stage.receive(WirePacket.reset(of: stage.puppet.remoteID, token: Self.token))
        #expect(stage.endpoint.counters.dropped(.unknownConnection) == 128 + 4)
        // Shorter or longer, it is none.
        let right = WirePacket.reset(of: id, token: Self.token)
        for packet in [right + [0], Array(right.dropLast()), []] { stage.receive(packet) }
        #expect(stage.endpoint.counters.dropped(.tooShort) == 3)
        #expect(stage.isEstablished(handle) && stage.closes.isEmpty)
        stage.receive(right)
        #expect(stage.closes == [.reset])
    }

    @Test func whoGaveNoTokenCannotReset() throws {
        let (stage, handle) = try stage(dialled: true, token: [])
        for token in [[], [UInt8](repeating: 0, count: 16)] { stage.receive(WirePacket.reset(of: stage.puppet.localID, token: token)) }
        #expect(stage.isEstablished(handle))
    }

    // MARK: sending one

    @Test func whatNobodyKnowsIsAnsweredWithTheTokenThatWasGivenForIt() throws {
        let (stage, handle) = try stage(dialled: false)
        let given = stage.puppet.parameters.resetToken
        let id = stage.puppet.remoteID
        #expect(given.count == 16)
        stage.endpoint.close(handle, code: 0, reason: "", at: stage.now)
        stage.run(for: .seconds(5))
        let before = stage.sent.count
        stage.receive(WirePacket.data(to: id), from: Stage.home.with(port: 9))
        let reset = try #require(stage.sent.last)
        #expect(stage.sent.count == before + 1 && reset.destination == Stage.home.with(port: 9))
        #expect(reset.payload == WirePacket.reset(of: id, token: given) && reset.bytes == PacketHeader.resetSize)
        #expect(stage.endpoint.counters.resetsSent == 1)
        // Another ID has another token.
        let other = ConnectionID(rawValue: id.rawValue ^ 1)
        stage.receive(WirePacket.data(to: other))
        #expect(stage.sent.last.map { WirePacket.token(ofReset: $0.payload) } != given)
    }

    @Test func aTokenIsOfTheEndpointsKeyAndOutlivesARestart() throws {
        let (first, again, other) = (Stage(seed: 1), Stage(seed: 1), Stage(seed: 2))
        for stage in [first, again, other] { stage.receive(WirePacket.data(to: ConnectionID(rawValue: 5))) }
        #expect(first.sent.last?.payload == again.sent.last?.payload)
        #expect(first.sent.last?.payload != other.sent.last?.payload)
    }

    /// Smaller than what asked for it, so that two endpoints cannot reset each other for ever.
    @Test func anAnswerIsSmallerThanTheQuestionAndAResetGetsNone() {
        let stage = Stage()
        let least = PacketHeader.dataHeaderSize + PacketHeader.tagSize
        let smallest = WirePacket.data(to: ConnectionID(rawValue: 5), sealed: 0)
        #expect(smallest.count == least && least > PacketHeader.resetSize)
        stage.receive(Array(smallest.dropLast()))
        stage.receive(WirePacket.reset(of: ConnectionID(rawValue: 5), token: Self.token))
        #expect(stage.sent.isEmpty)
        stage.receive(smallest)
        #expect(stage.sent.count == 1)
    }

    @Test func aSourceGetsSoManyResetsAndThenMoreWithTime() {
        let stage = Stage()
        let ask = { (count: UInt64) -> Int in
            let before = stage.sent.count
            for number in 0..<count { stage.receive(WirePacket.data(to: ConnectionID(rawValue: 5 + number))) }
            return stage.sent.count - before
        }
        #expect(ask(100) == 64)
        stage.run(for: .milliseconds(500))
        #expect(ask(100) == 16)
    }
}
