import MastTimebase
import MastTransport
import TestKit
import Testing

/// The two messages: who may read them, and that no byte of either can be changed.
@Suite struct HandshakeTests {
    private static func keys(_ seed: UInt64) -> StaticKeyPair {
        var generator = SeededGenerator(seed: seed)
        return StaticKeyPair(using: &generator)
    }

    private let client = Self.keys(1)
    private let server = Self.keys(2)
    private let clientID = ConnectionID(rawValue: 0x0102_0304_0506_0708)
    private let serverID = ConnectionID(rawValue: 0x1112_1314_1516_1718)

    private func parameters(_ incarnation: UInt64) -> TransportParameters {
        var parameters = TransportParameters()
        (parameters.incarnation, parameters.resetToken, parameters.maxData) = (incarnation, [UInt8](repeating: UInt8(incarnation), count: 16), 9)
        return parameters
    }

    private final class Initiator {
        private var handshake: HandshakeInitiator
        init(_ handshake: HandshakeInitiator) { self.handshake = handshake }
        var lastMAC1: [UInt8] { handshake.lastMAC1 }
        func packet(cookie: [UInt8]? = nil) -> [UInt8] { handshake.packet(cookie: cookie) }
        func finish(_ packet: [UInt8]) -> (secrets: Handshake.Secrets, parameters: TransportParameters)? { handshake.finish(with: packet) }
    }

    private func handshake(seed: UInt64, to responder: PublicKey) -> HandshakeInitiator? {
        var chance: any RandomNumberGenerator & Sendable = SeededGenerator(seed: seed)
        return HandshakeInitiator(
            identity: client, responder: responder, destination: .none, source: clientID, parameters: parameters(1), entropy: &chance)
    }

    private func initiator(seed: UInt64 = 3, to responder: PublicKey? = nil) throws -> Initiator {
        Initiator(try #require(handshake(seed: seed, to: responder ?? server.publicKey)))
    }

    private func reads(_ packet: [UInt8], as identity: StaticKeyPair? = nil) -> Bool {
        HandshakeResponder(identity: identity ?? server, packet: packet)?.initiator == client.publicKey
    }

    private func answer(to packet: [UInt8], seed: UInt64 = 4) throws -> (packet: [UInt8], secrets: Handshake.Secrets) {
        var chance: any RandomNumberGenerator & Sendable = SeededGenerator(seed: seed)
        var responder = try #require(HandshakeResponder(identity: server, packet: packet))
        #expect(responder.parameters == parameters(1))
        let answer = responder.respond(destination: clientID, source: serverID, parameters: parameters(2), entropy: &chance)
        return try #require(answer)
    }

    @Test func bothEndsHoldTheSameKeysAndKnowOfEachOther() throws {
        let initiator = try initiator()
        let first = initiator.packet()
        #expect(first.count == PacketHeader.initiationSize)
        #expect(PacketHeader.kind(of: first) == .initiation && WirePacket.source(of: first) == clientID)
        #expect(reads(first))
        let (response, theirs) = try answer(to: first)
        #expect(PacketHeader.kind(of: response) == .response && PacketHeader.destination(of: response) == clientID)
        let (ours, told) = try #require(initiator.finish(response))
        #expect(told == parameters(2))
        #expect(ours.send == theirs.receive && ours.receive == theirs.send && ours.hash == theirs.hash)
        #expect(ours.send != ours.receive)
        #expect(ours.send.count == 32 && ours.hash.count == 32)
    }

    @Test func noTwoHandshakesShareASecret() throws {
        var seen: [[UInt8]] = []
        for (first, second) in [(3, 4), (3, 5), (6, 4)] as [(UInt64, UInt64)] {
            let secrets = try answer(to: try initiator(seed: first).packet(), seed: second).secrets
            for value in [secrets.send, secrets.receive, secrets.hash] {
                #expect(!seen.contains(value))
                seen.append(value)
            }
        }
    }

    @Test func aRepeatIsTheSameMessageWithOrWithoutACookie() throws {
        let initiator = try initiator()
        let (plain, again, paid) = (initiator.packet(), initiator.packet(), initiator.packet(cookie: [1, 2, 3]))
        let mac1 = WirePacket.mac1(of: plain)
        #expect(plain == again)
        #expect(plain[..<mac1.upperBound] == paid[..<mac1.upperBound])
        #expect(plain[mac1.upperBound...].allSatisfy { $0 == 0 } && paid[mac1.upperBound...] != plain[mac1.upperBound...])
        #expect(initiator.lastMAC1 == Array(plain[mac1]))
        #expect(reads(paid))
    }

    @Test func everyByteOfTheFirstMessageCounts() throws {
        let first = try initiator().packet()
        for index in 0..<WirePacket.mac1(of: first).lowerBound {
            #expect(HandshakeResponder(identity: server, packet: WirePacket.changed(first, at: index)) == nil, "byte \(index)")
        }
        for length in stride(from: 0, to: first.count, by: 7) {
            #expect(HandshakeResponder(identity: server, packet: Array(first.prefix(length))) == nil, "\(length) bytes")
        }
        #expect(!reads(first, as: Self.keys(9)), "it was for another")
        #expect(reads(first))
    }

    @Test func everyByteOfTheAnswerCountsAndAForgeryCostsNothing() throws {
        let initiator = try initiator()
        let (response, theirs) = try answer(to: initiator.packet())
        for index in 0..<WirePacket.mac1(of: response).lowerBound {
            #expect(initiator.finish(WirePacket.changed(response, at: index)) == nil, "byte \(index)")
        }
        for length in 0..<response.count { #expect(initiator.finish(Array(response.prefix(length))) == nil, "\(length) bytes") }
        #expect(try self.initiator(seed: 8).finish(response) == nil, "it answers another message")
        #expect(initiator.finish(response)?.secrets.hash == theirs.hash)
    }

    @Test func onlyTheOwnerOfTheKeyCanAnswer() throws {
        let initiator = try initiator(to: Self.keys(9).publicKey)
        #expect(!reads(initiator.packet()))
        // Who cannot read the message can still answer another of the same sender's.
        #expect(initiator.finish(try answer(to: try self.initiator().packet()).packet) == nil)
    }

    @Test func aPeerWithAKeyOfLowOrderIsNotDialled() throws {
        let weak = try #require(PublicKey(bytes: [UInt8](repeating: 0, count: 32)))
        #expect(handshake(seed: 3, to: weak) == nil)
    }
}
