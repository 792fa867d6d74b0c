import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// How much a connection sends at once, and when its window grows.
@Suite struct SendRateTests {
    private let pair: Pair
    private let tap: Wiretap
    private let handle: ConnectionHandle
    private let start: Instant

    init() {
        var configuration = TransportConfiguration()
        configuration.logsKeys = true
        configuration.maximumDatagramSize = 1_200
        configuration.congestionControl = .cubic
        pair = Pair(configuration: configuration)
        tap = Wiretap(pair)
        handle = connected(pair)
        pair.run(for: .seconds(1))
        start = pair.now
    }

    private var statistics: ConnectionStatistics? { pair.client.statistics(handle) }
    private var sent: [Wiretap.Packet] { tap.packets(from: .client, since: start) }

    private func send(_ count: Int) {
        guard let stream = pair.client.openStream(handle, deadline: nil, at: pair.now) else { return }
        _ = pair.client.write(handle, stream, [UInt8](repeating: 7, count: count)[...], fin: true, at: pair.now)
    }

    @Test func theFirstWindowIsTenDatagrams() {
        send(100_000)
        pair.run(for: .milliseconds(39))
        #expect(sent.count == 10)
        #expect(statistics?.bytesInFlight == sent.reduce(0) { $0 + $1.payload.count })
    }

    /// There was more to send, so every packet of the first window makes it grow (RFC 9002 section 7.3.1).
    @Test func slowStartGrowsByWhatIsAcknowledged() {
        send(1_000_000)
        pair.run(for: .zero)
        let sizes = sent.map(\.payload.count)
        pair.run(for: .milliseconds(40))
        #expect(sizes.count == 10)
        #expect(statistics?.congestionWindow == 12_000 + sizes.reduce(0, +))
    }

    /// In slow start half a window in use is use enough: five full packets.
    @Test(arguments: [(4, false), (5, false), (6, true)]) func aWindowThatIsNotUsedDoesNotGrow(packets: Int, grows: Bool) {
        for _ in 0..<20 {
            send((packets - 1) * 1_140 + 200)
            pair.run(for: .milliseconds(200))
        }
        #expect(statistics?.packetsLost == 0)
        #expect(((statistics?.congestionWindow ?? 0) > 12_000) == grows)
    }

    /// After a loss the window is 8,400 bytes, and use enough is all but three datagrams: five full packets of seven.
    @Test(arguments: [(3, false), (4, false), (5, true)]) func afterALossTheWindowGrowsIfItIsUsed(packets: Int, grows: Bool) {
        var count = 0
        tap.passes = { packet in
            guard packet.side == .client else { return true }
            count += 1
            return count != 1
        }
        for _ in 0..<4 {
            pair.client.ping(handle, at: pair.now)
            pair.run(for: .zero)
        }
        pair.run(for: .seconds(1))
        #expect(statistics?.congestionWindow == 8_400)
        for _ in 0..<20 {
            send((packets - 1) * 1_140 + 200)
            pair.run(for: .milliseconds(200))
        }
        #expect(statistics?.packetsLost == 1)
        #expect(((statistics?.congestionWindow ?? 0) > 8_400) == grows)
    }

    /// However large the window, no more than ten datagrams leave in one instant, or a millisecond of the rate: two windows a
    /// round trip of 40 ms.
    @Test func aLargeWindowIsSpreadOverTheRoundTrip() {
        send(1_000_000)
        pair.run(for: .milliseconds(300))
        #expect((statistics?.congestionWindow ?? 0) > 200_000)
        let bursts = Dictionary(grouping: sent.filter { $0.bytes > 0 }, by: \.sentAt).mapValues(\.count)
        #expect((bursts.values.max() ?? 0) <= max(10, (statistics?.congestionWindow ?? 0) / 20 / 1_140 + 1))
        #expect(bursts.count > 50)
    }

    @Test func neverIsMoreUnderWayThanTheWindow() {
        send(600_000)
        var most = 0.0
        pair.run(for: .seconds(2)) { pair in
            let statistics = pair.client.statistics(self.handle)
            most = max(most, Double(statistics?.bytesInFlight ?? 0) / Double(statistics?.congestionWindow ?? 1))
            return false
        }
        #expect(most > 0.9 && most <= 1)
    }

    /// RFC 9438 figure 1's convex part: after a loss in slow start a long fast path is filled again within seconds.
    @Test func aLossInSlowStartIsMadeGoodWithinSeconds() throws {
        let link = LinkProfile(service: .constant(.megabitsPerSecond(20)), delay: .milliseconds(25), queue: .dropTail(QueueLimit(bytes: 250_000)))
        var configuration = TransportConfiguration()
        configuration.logsKeys = true
        let pair = Pair(scenario: LinkScenario(up: link, down: link, seed: 4), configuration: configuration)
        let tap = Wiretap(pair)
        var lost = 0
        tap.passes = { packet in
            guard packet.side == .client, packet.bytes > 0, packet.payload.count > 1_000 else { return true }
            lost += 1
            return !(41...43).contains(lost)
        }
        let handle = connected(pair)
        let opened = pair.client.openStream(handle, deadline: nil, at: pair.now)
        let stream = try #require(opened)
        let piece = [UInt8](repeating: 1, count: 65_536)
        let start = pair.now
        var received = 0
        pair.run(for: .seconds(12)) { pair in
            while pair.client.write(handle, stream, piece[...], fin: false, at: pair.now) == piece.count {}
            guard let server = pair.accepted else { return false }
            var output: [UInt8] = []
            _ = pair.server.read(server, stream, into: &output, at: pair.now)
            if pair.now - start >= .seconds(8) { received += output.count }
            return false
        }
        #expect(Double(received) * 8 / 4 / 1e6 > 17, "Mbit/s of 20, from the eighth second on")
    }
}
