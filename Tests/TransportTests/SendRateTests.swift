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

    /// Of the first burst only what found half the window in use makes it grow: five packets of ten.
    @Test func slowStartGrowsByWhatIsAcknowledged() {
        send(1_000_000)
        pair.run(for: .zero)
        let sizes = sent.map(\.payload.count)
        pair.run(for: .milliseconds(40))
        #expect(sizes.count == 10)
        #expect(statistics?.congestionWindow == 12_000 + sizes.suffix(5).reduce(0, +))
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
}
