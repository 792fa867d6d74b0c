import MastTimebase
import MastTransport
import TestKit
import Testing

/// A recorded first message opens nothing, and disturbs nothing.
@Suite struct ReplayedInitiationTests {
    @Test func aFirstMessageWhoseConnectionIsOverOpensNothing() throws {
        let crowd = Crowd()
        let guest = crowd.guest(Crowd.address(1))
        let handle = crowd.dial(guest)
        crowd.settle()
        let recorded = try #require(guest.sent.first)
        guest.endpoint.close(handle, code: 0, reason: "", at: crowd.now)
        crowd.run(for: .seconds(5))
        #expect(crowd.server.connectionCount == 0)
        for port in [5_000, 6_000] as [UInt16] { crowd.server.receive(recorded, from: Crowd.address(1, port: port), at: crowd.now) }
        let answer = crowd.server.pollTransmit(at: crowd.now)
        #expect(answer == nil)
        #expect(crowd.server.connectionCount == 0)
        #expect(crowd.server.counters.dropped(.replayed) == 2)
    }

    @Test func whatTheRegisterHasForgottenNeedsACookieAndNewOnesDoNot() throws {
        var configuration = TransportConfiguration()
        configuration.rememberedInitiations = 4
        let crowd = Crowd(configuration)
        let old = crowd.guest(Crowd.address(1))
        let handle = crowd.dial(old)
        crowd.settle()
        let recorded = try #require(old.sent.first)
        old.endpoint.close(handle, code: 0, reason: "", at: crowd.now)
        crowd.run(for: .seconds(5))
        for number in 0..<8 as Range<UInt32> {
            let isAdmitted = crowd.admits(Crowd.address(10 + number))
            #expect(isAdmitted)
        }
        #expect(crowd.server.counters.cookiesSent == 0)
        crowd.server.receive(recorded, from: Crowd.address(1), at: crowd.now)
        #expect(crowd.server.halfOpenCount == 0)
        #expect(crowd.server.counters.cookiesSent == 1)
    }

    @Test func theRegisterOverlooksNothingThatItSaw() {
        var register = InitiationRegister(key: [1, 2, 3], limit: 1_000)
        var random = SeededGenerator(seed: 1)
        let names = (0..<20_000).map { _ in random.next() }
        for name in names { register.insert(name) }
        #expect(names.suffix(1_000).allSatisfy { register.memory(of: $0) == .seen })
        #expect(names.dropLast(1_000).allSatisfy { register.memory(of: $0) == .perhapsOld })
        let mistaken = (0..<10_000).count { _ in register.memory(of: random.next()) != .new }
        #expect(mistaken == 0)
    }

    /// The ID that a peer chose is in the clear: somebody else can choose the same.
    @Test func anotherWithTheSameIDTakesNothingFromALiveConnection() throws {
        let pair = Pair()
        let handle = connected(pair)
        pair.run(for: .milliseconds(100))
        let theirs = try #require(firstMessageWithTheIDOf(pair))
        pair.server.receive(theirs, from: NetworkAddress(ipv4: 0x0E00_0001, port: 7), at: pair.now)
        #expect(pair.server.halfOpenCount == 1)
        // The client forgets all. The server notices in a round trip, by a reset that it believes.
        _ = handle
        pair.restartClient()
        let server = try #require(pair.accepted)
        let start = pair.now
        pair.server.ping(server, at: pair.now)
        pair.run(for: .seconds(5)) { !$0.server.isUsable(server) }
        #expect(pair.now - start <= .milliseconds(41))
        #expect(pair.serverEvents.contains { if case .closed(server, .reset) = $0 { true } else { false } })
    }

    /// An attacker's own first message, but for the source ID, which it has seen on the way.
    private func firstMessageWithTheIDOf(_ pair: Pair) -> [UInt8]? {
        var keys = SeededGenerator(seed: 99)
        let identity = StaticKeyPair(using: &keys)
        let original = firstMessage(to: pair, pair.clientKeys, SeededGenerator(seed: 1, stream: "client"))
        // How much chance an endpoint draws before it chooses its ID is its own matter: find it.
        for count in 1..<40 {
            let message = firstMessage(to: pair, identity, BorrowedChance(first: SeededGenerator(seed: 1, stream: "client"), left: count))
            if WirePacket.source(of: message) == WirePacket.source(of: original), message != original { return message }
        }
        return nil
    }

    private func firstMessage(to pair: Pair, _ identity: StaticKeyPair, _ chance: any RandomNumberGenerator & Sendable) -> [UInt8] {
        var endpoint = Endpoint(identity: identity, configuration: .init(), entropy: chance)
        _ = endpoint.connect(to: Pair.serverAddress, peerKey: pair.serverKeys.publicKey, at: pair.now)
        return endpoint.pollTransmit(at: pair.now)?.payload ?? []
    }
}

/// Another's chance for the first draws, then its own.
private struct BorrowedChance: RandomNumberGenerator, Sendable {
    var first: SeededGenerator
    var left: Int
    var then = SeededGenerator(seed: 4_711)

    mutating func next() -> UInt64 {
        guard left > 0 else { return then.next() }
        left -= 1
        return first.next()
    }
}
