import MastTimebase
import MastTransport
import TestKit
import Testing

/// A peer that acknowledges what it has not received would have us send faster than the path can carry: now and then a
/// number is left out, and whoever acknowledges it is found out (RFC 9000 section 21.4).
@Suite struct SkippedNumberTests {
    private let pair: Pair
    private let tap: Wiretap
    private let handle: ConnectionHandle

    init() {
        self.init(seed: 1)
    }

    private init(seed: UInt64) {
        var configuration = TransportConfiguration()
        configuration.logsKeys = true
        pair = Pair(seed: seed, configuration: configuration)
        tap = Wiretap(pair)
        handle = connected(pair)
    }

    private func send(_ count: Int) {
        for _ in 0..<count {
            pair.client.ping(handle, at: pair.now)
            pair.run(for: .milliseconds(1))
        }
    }

    private func missing(_ side: Pair.Side) -> [UInt64] {
        let numbers = tap.packets(from: side).map { $0.number - first(side) }
        // Counted from the direction's first.
        var expected: UInt64 = 0
        var missing: [UInt64] = []
        for number in numbers {
            while expected < number {
                missing.append(expected)
                expected += 1
            }
            expected += 1
        }
        return missing
    }

    private func first(_ side: Pair.Side) -> UInt64 { tap.packets(from: side).first?.number ?? 0 }

    /// The server's packet with this number and an acknowledgement of these, as if it had sent it.
    private func acknowledge(_ ranges: [ClosedRange<UInt64>], as number: UInt64) throws {
        let keys = try #require(tap.keys.first)
        var payload = ByteWriter()
        payload.frame(.ack(AckFrame(ranges: ranges.map { first(.client) + $0.lowerBound...first(.client) + $0.upperBound }, delayMicroseconds: 0)))
        let packet = try #require(keys.toInitiator.packet(payload.bytes, destination: keys.initiator, number: first(.server) + number))
        pair.client.receive(packet, from: Pair.serverAddress, at: pair.now)
        pair.run(for: .zero)
    }

    private var violation: String? {
        for case .closed(handle, .violation(code: _, reason: let reason)) in pair.clientEvents { return reason }
        return nil
    }

    @Test(arguments: [UInt64](1...6)) func aNumberIsLeftOutWithin256AndThenEverMoreRarely(seed: UInt64) {
        let test = SkippedNumberTests(seed: seed)
        test.send(1_600)
        let missing = test.missing(.client)
        #expect(missing.count >= 3)
        #expect((64..<256).contains(missing.first ?? 0))
        for (earlier, later) in zip(missing, missing.dropFirst()) { #expect(later - earlier == 256 + (test.first(.client) + earlier) % 509) }
        // The server's acknowledgements are packets too.
        let theirs = test.missing(.server)
        #expect((64..<256).contains(theirs.first ?? 0))
        #expect(test.pair.isEstablished(test.handle))
    }

    @Test func theNumbersDifferFromConnectionToConnection() {
        let first = (1...5 as ClosedRange<UInt64>).map { seed in
            let test = SkippedNumberTests(seed: seed)
            test.send(260)
            return test.missing(.client).first
        }
        #expect(Set(first).count >= 4)
    }

    /// The last three are under way when the forged acknowledgement comes.
    @Test func whoAcknowledgesASkippedNumberIsClosed() throws {
        var skipped: UInt64?
        for _ in 0..<260 where skipped == nil {
            send(1)
            skipped = missing(.client).first
        }
        let number = try #require(skipped)
        try acknowledge([number - 1...number + 1], as: 4_000)
        #expect(violation == "acknowledgement of a skipped packet number")
        #expect(!pair.isUsable(handle))
    }

    @Test func whoAcknowledgesWhatWasSentIsNot() throws {
        send(10)
        let newest = try #require(tap.packets(from: .client).last?.number) - first(.client)
        try acknowledge([newest...newest], as: 4_000)
        #expect(violation == nil && pair.isEstablished(handle))
        #expect(pair.client.statistics(handle)?.latestRTT == .milliseconds(1), "it was taken for an answer")
    }

    @Test func whoAcknowledgesWhatIsYetToBeSentIsClosed() throws {
        send(10)
        let newest = try #require(tap.packets(from: .client).last?.number) - first(.client)
        try acknowledge([newest...newest + 1], as: 4_000)
        #expect(violation == "acknowledgement of a packet never sent")
    }
}
