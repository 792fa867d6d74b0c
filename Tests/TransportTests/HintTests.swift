import MastTimebase
import MastTransport
import TestKit
import Testing

/// What the operating system or ICMP says of an address is a reason to look, and no more.
@Suite struct HintTests {
    @Test func aHintMakesAnEstablishedConnectionProbeAtOnceAndClosesNothing() {
        let pair = Pair()
        let handle = connected(pair)
        pair.run(for: .milliseconds(500))
        let before = pair.sentByClient.count
        pair.client.hint(Pair.serverAddress, .hostUnreachable, at: pair.now)
        pair.run(for: .milliseconds(1))
        #expect(pair.sentByClient.count == before + 1)
        #expect(pair.clientEvents.contains { if case .hinted(handle, .hostUnreachable) = $0 { true } else { false } })
        pair.run(for: .milliseconds(100))
        #expect(pair.isEstablished(handle))
        // Another address is another matter.
        pair.client.hint(Pair.serverAddress.with(port: 1), .hostUnreachable, at: pair.now)
        let quiet = pair.sentByClient.count
        pair.run(for: .milliseconds(100))
        #expect(pair.sentByClient.count == quiet)
    }

    @Test func forgedHintsMakeNoFlood() {
        let pair = Pair()
        let handle = connected(pair)
        pair.run(for: .milliseconds(500))
        let before = pair.sentByClient.count
        for _ in 0..<10_000 {
            pair.client.hint(Pair.serverAddress, .connectionRefused, at: pair.now)
            pair.run(for: .microseconds(100))
        }
        // One in 50 ms at most, and what the keep-up of acknowledgements needs.
        #expect(pair.sentByClient.count - before <= 22)
        #expect(pair.clientEvents.count { if case .hinted = $0 { true } else { false } } <= 21)
        #expect(pair.isEstablished(handle))
    }

    @Test func hintsAtItsOwnProbesDieAway() {
        let pair = Pair()
        let handle = connected(pair)
        pair.run(for: .milliseconds(500))
        // Every send fails, and says so.
        pair.filter = { side, _ in side == .server }
        let before = pair.sentByClient.count
        for _ in 0..<5_000 {
            pair.client.hint(Pair.serverAddress, .networkUnreachable, at: pair.now)
            pair.run(for: .milliseconds(1))
        }
        let withHints = pair.sentByClient.count - before
        #expect(withHints < 5_000 / 250 + 20)
        #expect(pair.isEstablished(handle))
    }

    /// Each probe to a client that is gone brings an ICMP message, which is a hint to all its connections.
    @Test func aThousandConnectionsOfAClientThatIsGoneMakeNoStorm() {
        let crowd = Crowd()
        let guest = crowd.guest(Crowd.address(1))
        for _ in 0..<1_000 {
            crowd.dial(guest)
            crowd.run(for: .milliseconds(1))
        }
        #expect(guest.connected == 1_000)
        guest.hears = { _ in false }
        for _ in 0..<2_000 {
            crowd.server.hint(guest.address, .connectionRefused, at: crowd.now)
            crowd.run(for: .milliseconds(1))
        }
        // A burst, and two seconds' worth.
        #expect(crowd.serverEvents.count { if case .hinted = $0 { true } else { false } } <= 256 + 2 * 256)
    }

    @Test func aHandshakeThatFailsSaysWhatTheNetworkSaidAndTriesAsLong() {
        let pair = Pair()
        pair.filter = { _, _ in false }
        let handle = pair.connect()
        pair.run(for: .milliseconds(10))
        pair.client.hint(Pair.serverAddress, .networkUnreachable, at: pair.now)
        pair.run(for: .milliseconds(9_900))
        #expect(pair.isUsable(handle))
        #expect(pair.clientEvents.contains { if case .hinted(handle, .networkUnreachable) = $0 { true } else { false } })
        pair.run(for: .milliseconds(100))
        let reasons = pair.clientEvents.compactMap { if case .closed(handle, let reason) = $0 { reason } else { nil } }
        #expect(reasons == [.handshakeTimeout(.networkUnreachable)])
        #expect(reasons.first?.description == "no answer to the handshake (no route to the network)")
    }

    @Test func theIndexFollowsAMoveAndForgetsTheClosed() {
        let pair = Pair()
        let handle = connected(pair)
        let old = pair.clientAddress
        pair.clientAddress = old.with(port: 50_000)
        pair.client.ping(handle, at: pair.now)
        pair.run(for: .seconds(1))
        let hinted = { pair.serverEvents.count { if case .hinted = $0 { true } else { false } } }
        pair.server.hint(old, .hostUnreachable, at: pair.now)
        pair.run(for: .milliseconds(1))
        #expect(hinted() == 0)
        pair.server.hint(pair.clientAddress, .hostUnreachable, at: pair.now)
        pair.run(for: .seconds(1))
        #expect(hinted() == 1)
        pair.client.close(handle, code: 0, reason: "", at: pair.now)
        pair.run(for: .seconds(5))
        pair.server.hint(pair.clientAddress, .hostUnreachable, at: pair.now)
        pair.client.hint(Pair.serverAddress, .hostUnreachable, at: pair.now)
        pair.run(for: .milliseconds(10))
        #expect(hinted() == 1)
    }
}
