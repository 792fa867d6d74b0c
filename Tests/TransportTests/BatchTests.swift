import MastTimebase
import MastTransport
import TestKit
import Testing

/// Datagrams made, and opened, side by side in one piece of memory.
@Suite struct BatchTests {
    private static let payload = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 &* 31 / 7) }

    /// Connected, with a stream that has more to send than a window: what may leave now, in one batch.
    private func filled() throws -> (pair: Pair, client: ConnectionHandle, batch: DatagramBatch) {
        let pair = Pair()
        let client = pair.connect()
        try #require(pair.run(for: .seconds(1)) { $0.isConnected(client) })
        pair.run(for: .seconds(1))
        let opened = pair.client.openStream(client, deadline: nil, at: pair.now)
        let stream = try #require(opened)
        let written = pair.client.write(client, stream, Self.payload[...], fin: true, at: pair.now)
        #expect(written == Self.payload.count)
        var batch = DatagramBatch()
        // Somebody else's is in front.
        batch.append([1, 2, 3], to: .loopback(port: 9))
        while pair.client.pollTransmit(into: &batch, at: pair.now) {}
        return (pair, client, batch)
    }

    private func read(_ pair: Pair) -> [UInt8] {
        var bytes: [UInt8] = []
        while let event = pair.server.pollEvent() {
            if case .streamOpened(let handle, let stream, _) = event { _ = pair.server.read(handle, stream, into: &bytes, at: pair.now) }
        }
        return bytes
    }

    @Test func packetsOfABatchAreMadeAndOpenedWhereTheyStand() throws {
        let (pair, client, batch) = try filled()
        #expect(batch.count >= 8)
        #expect(batch.bytes.prefix(3) == [1, 2, 3])
        #expect(batch.datagrams.dropFirst().allSatisfy { $0.destination == Pair.serverAddress })
        #expect(batch.datagrams.last?.range.upperBound == batch.bytes.count)
        #expect(zip(batch.datagrams, batch.datagrams.dropFirst()).allSatisfy { $0.range.upperBound == $1.range.lowerBound })
        var bytes = batch.bytes
        for datagram in batch.datagrams.dropFirst() {
            pair.server.receive(&bytes, in: datagram.range, from: Pair.clientAddress, at: pair.now)
        }
        let got = read(pair)
        #expect(got.count > 8_000 && got == Array(Self.payload.prefix(got.count)))
        let server = try #require(pair.accepted)
        let (sent, received) = (pair.client.copied(client).out, pair.server.copied(server).in)
        #expect(sent == UInt64(got.count), "into packets, once")
        #expect(received == UInt64(got.count), "out of packets, once")
    }

    @Test func aSpoiledPacketSpoilsNoOther() throws {
        let (pair, _, batch) = try filled()
        var bytes = batch.bytes
        bytes[batch.datagrams[3].range.upperBound - 1] ^= 1
        let before = pair.server.counters.dropped(.unauthentic)
        let server = try #require(pair.accepted)
        let received = pair.server.statistics(server)?.packetsReceived ?? 0
        for datagram in batch.datagrams.dropFirst() {
            pair.server.receive(&bytes, in: datagram.range, from: Pair.clientAddress, at: pair.now)
        }
        let (dropped, now) = (pair.server.counters.dropped(.unauthentic), pair.server.statistics(server)?.packetsReceived)
        #expect(dropped == before + 1)
        #expect(now == received + UInt64(batch.count - 2))
    }

    /// The driver would be woken by a timer that is not set any more.
    @Test func anAcknowledgementThatWentAlongWithAnAnswerWakesNobody() throws {
        let pair = Pair()
        let client = pair.connect()
        try #require(pair.run(for: .seconds(1)) { $0.isConnected(client) })
        let server = try #require(pair.accepted)
        pair.run(for: .seconds(5))
        let opened = pair.client.openStream(client, deadline: nil, at: pair.now)
        let stream = try #require(opened)
        _ = pair.client.write(client, stream, [7], fin: true, at: pair.now)
        while let transmit = pair.client.pollTransmit(at: pair.now) {
            pair.server.receive(transmit.payload, from: Pair.clientAddress, at: pair.now)
        }
        let armed = pair.server.nextWakeup
        let due = try #require(armed)
        #expect(due <= pair.now + .milliseconds(10), "to acknowledge")
        _ = pair.server.write(server, stream, [8], fin: true, at: pair.now)
        while pair.server.pollTransmit(at: pair.now) != nil {}
        pair.server.forgetPassedWakeups()
        let left = pair.server.nextWakeup
        let next = try #require(left)
        #expect(next > pair.now + .milliseconds(40), "no sooner than an answer could be lost")
    }
}
