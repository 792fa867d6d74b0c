import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// RFC 9000 section 10.1.
@Suite struct IdleTests {
    private func pair(client: Interval, server: Interval) -> Pair {
        var ours = TransportConfiguration()
        ours.idleTimeout = client
        var theirs = TransportConfiguration()
        theirs.idleTimeout = server
        return Pair(configuration: ours, serverConfiguration: theirs)
    }

    private func isOver(_ events: [EndpointEvent]) -> Bool { events.contains { if case .closed(_, .idle) = $0 { true } else { false } } }

    struct Limits: Sendable { let client, server, idle: Interval }
    static let limits = [
        Limits(client: .seconds(10), server: .seconds(30), idle: .seconds(10)),
        Limits(client: .seconds(30), server: .seconds(10), idle: .seconds(10)),
        Limits(client: .seconds(12), server: .seconds(12), idle: .seconds(12)),
    ]

    @Test(arguments: limits) func theSmallerOfBothTimesEndsAConnection(_ example: Limits) {
        let pair = pair(client: example.client, server: example.server)
        let handle = connected(pair)
        pair.run(for: .milliseconds(500))
        let quiet = pair.client.statistics(handle)?.lastReceived ?? .zero
        let isOver = pair.run(for: .seconds(40)) { self.isOver($0.clientEvents) }
        #expect(isOver && pair.now - quiet == example.idle)
        pair.run(for: .seconds(1))
        #expect(self.isOver(pair.serverEvents) && pair.server.connectionCount == 0)
    }

    @Test func aPeerThatNamesNoTimeLeavesOurs() {
        let pair = pair(client: .seconds(10), server: .zero)
        let handle = pair.connect()
        pair.run(for: .seconds(1)) { $0.isEstablished(handle) }
        let quiet = pair.now
        pair.filter = { _, _ in false }
        let isOver = pair.run(for: .seconds(40)) { self.isOver($0.clientEvents) }
        #expect(isOver && pair.now - quiet == .seconds(10))
    }

    @Test func anEndWithNoTimeOfItsOwnGoesByThePeers() {
        let pair = pair(client: .zero, server: .seconds(10))
        let handle = connected(pair)
        pair.run(for: .milliseconds(500))
        let quiet = pair.client.statistics(handle)?.lastReceived ?? .zero
        let isOver = pair.run(for: .seconds(40)) { self.isOver($0.clientEvents) }
        #expect(isOver && pair.now - quiet == .seconds(10))
    }

    @Test func whereNeitherHasATimeNothingEndsByIt() {
        let pair = pair(client: .zero, server: .zero)
        let handle = connected(pair)
        pair.run(for: .seconds(3_600))
        #expect(pair.isEstablished(handle) && pair.server.connectionCount == 1)
    }

    @Test func whatArrivesKeepsItAlive() {
        let pair = pair(client: .seconds(10), server: .seconds(10))
        let handle = connected(pair)
        for _ in 0..<10 {
            pair.client.ping(handle, at: pair.now)
            pair.run(for: .milliseconds(9_900))
        }
        #expect(pair.isEstablished(handle) && pair.server.connectionCount == 1)
    }

    /// The first that is sent after something arrived begins the time anew, so that a call has its full time; more of it does not.
    @Test func theFirstThatIsSentCountsAndNoOther() {
        let pair = pair(client: .seconds(10), server: .seconds(10))
        let handle = connected(pair)
        pair.run(for: .seconds(5))
        pair.filter = { _, _ in false }
        let asked = pair.now
        pair.client.ping(handle, at: pair.now)
        pair.run(for: .seconds(3))
        pair.client.ping(handle, at: pair.now)
        let isOver = pair.run(for: .seconds(20)) { self.isOver($0.clientEvents) }
        #expect(isOver && pair.now == asked + .seconds(10))
    }

    @Test func keepAliveAsksAfterEachPause() {
        var configuration = TransportConfiguration()
        configuration.logsKeys = true
        let pair = Pair(configuration: configuration)
        let tap = Wiretap(pair)
        let handle = connected(pair)
        pair.run(for: .milliseconds(500))
        let start = pair.now
        pair.client.setKeepAlive(handle, .seconds(10), at: pair.now)
        pair.run(for: .seconds(65))
        // Ten seconds after the answer to the one before, which takes 41 ms.
        let asked = tap.packets(from: .client, since: start).map { ($0.sentAt - start).milliseconds }
        #expect(asked == [10_000, 20_041, 30_082, 40_123, 50_164, 60_205])
        #expect(pair.isEstablished(handle))
        pair.client.setKeepAlive(handle, nil, at: pair.now)
        pair.run(for: .seconds(40))
        #expect(isOver(pair.clientEvents), "and no longer when nobody wants it")
        #expect(tap.packets(from: .client, since: start).count == 6)
    }

    /// A ping at 9.3, 18.6 and 27.9 s, beside the probes for them, which come in between.
    @Test func keepAliveGoesOnIntoSilence() {
        let pair = pair(client: .seconds(100), server: .seconds(100))
        let handle = connected(pair)
        pair.run(for: .seconds(1))
        pair.client.setKeepAlive(handle, .milliseconds(9_300), at: pair.now)
        pair.filter = { _, _ in false }
        let before = pair.client.statistics(handle)
        pair.run(for: .seconds(35))
        let after = pair.client.statistics(handle)
        let probes = (after?.probes ?? 0) - (before?.probes ?? 0)
        #expect(probes > 0)
        #expect((after?.packetsSent ?? 0) - (before?.packetsSent ?? 0) - probes == 3)
    }
}
