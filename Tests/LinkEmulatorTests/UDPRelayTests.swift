import MastLinkEmulator
import MastLinkModel
import MastTimebase
import Synchronization
import Testing

// What these tests compare is content, order and counts; nothing depends on how fast the machine is.
@Suite("UDP relay", .timeLimit(.minutes(20)))
struct UDPRelayTests {
    /// An echo target, a relay in front of it, and `clients` sockets.
    private func withRelay(
        _ scenario: LinkScenario, clients count: Int = 1, host: String = "127.0.0.1",
        change: (inout UDPRelayConfiguration) -> Void = { _ in },
        _ body: (UDPRelay, _ target: TestPeer, _ clients: [TestPeer]) async throws -> Void
    ) async throws {
        let target = try await TestPeer.start(echoes: true, host: host)
        var configuration = UDPRelayConfiguration(listen: target.address.with(port: 0), target: target.address, scenario: scenario)
        change(&configuration)
        let relay = try await UDPRelay.start(configuration)
        var clients: [TestPeer] = []
        for _ in 0..<count { clients.append(try await TestPeer.start(host: host)) }
        do {
            try await body(relay, target, clients)
        } catch {
            await relay.stop()
            throw error
        }
        await relay.stop()
        await target.stop()
        for client in clients { await client.stop() }
    }

    /// Asks until the counts satisfy.
    private func statistics(_ relay: UDPRelay, until satisfied: (UDPRelayStatistics) -> Bool) async throws -> UDPRelayStatistics {
        while true {
            let statistics = try await relay.statistics()
            if satisfied(statistics) { return statistics }
            await Task.yield()
        }
    }

    private func both(_ profile: LinkProfile) -> LinkScenario { LinkScenario(up: profile, down: profile) }

    @Test("datagrams pass both ways, in order and unchanged, each answer to its own client")
    func passes() async throws {
        let profile = LinkProfile(service: .constant(.megabitsPerSecond(100)), delay: .milliseconds(3))
        try await withRelay(both(profile), clients: 3) { relay, target, clients in
            let sizes = [0, 1, 1200, 1472, 20_000, 65_000]
            for (number, size) in sizes.enumerated() {
                for (index, client) in clients.enumerated() {
                    try await client.send((0..<size).map { UInt8(truncatingIfNeeded: $0 + index + number) }, to: relay.localAddress)
                }
            }
            for (index, client) in clients.enumerated() {
                let answers = try await client.received(sizes.count)
                #expect(answers.allSatisfy { $0.source == relay.localAddress })
                #expect(answers.map(\.payload) == sizes.enumerated().map { number, size in
                    (0..<size).map { UInt8(truncatingIfNeeded: $0 + index + number) }
                })
            }
            let seen = try await target.received(sizes.count * 3)
            var sources: [NetworkAddress] = []
            for datagram in seen where !sources.contains(datagram.source) { sources.append(datagram.source) }
            #expect(sources.count == 3)
            let statistics = try await relay.statistics()
            #expect(statistics.clients == 3)
            #expect(statistics.up.deliveredPackets == 18)
            #expect(statistics.down.deliveredPackets == 18)
            #expect(statistics.up.deliveredBytes == 3 * (sizes.reduce(0, +) + sizes.count * 28))
            #expect(statistics.lateness.count == 36)
        }
    }

    @Test("a hold by hand keeps datagrams until it is ended")
    func hold() async throws {
        try await withRelay(both(.ideal)) { relay, _, clients in
            try await relay.block(.down)
            for number in UInt8(0)..<5 { try await clients[0].send([number], to: relay.localAddress) }
            let held = try await statistics(relay) { $0.down.offeredPackets == 5 }
            #expect(held.up.deliveredPackets == 5)
            #expect(held.down.deliveredPackets == 0)
            try await relay.unblock()
            #expect(try await clients[0].received(5).map(\.payload) == [[0], [1], [2], [3], [4]])
        }
    }

    @Test("each client's part of a shared cell is counted, and how even the parts are")
    func shares() async throws {
        try await withRelay(both(.ideal), clients: 2) { relay, _, clients in
            for (client, count) in zip(clients, [3, 1]) {
                for _ in 0..<count { try await client.send([UInt8](repeating: 7, count: 972), to: relay.localAddress) }
                _ = try await client.received(count)
            }
            try await relay.block(.up, mode: .drop)
            try await clients[1].send([1], to: relay.localAddress)
            let counts = try await statistics(relay) { $0.up.outageDrops == 1 }
            #expect(counts.shares.map(\.client) == clients.map(\.address))
            #expect(counts.shares.map(\.up.deliveredBytes) == [3_000, 1_000] && counts.shares.map(\.down.deliveredPackets) == [3, 1])
            #expect(counts.shares.map(\.up.droppedPackets) == [0, 1] && counts.shares.map(\.up.offeredBytes) == [3_000, 1_029])
            // (3 + 1)^2 / (2 * (3^2 + 1^2))
            #expect(counts.fairness(.up) == 0.8 && counts.fairness(.down) == 0.8)
        }
    }

    @Test("a drop by hand loses what is sent in it, and nothing later")
    func drop() async throws {
        try await withRelay(both(.ideal)) { relay, target, clients in
            try await relay.block(.up, mode: .drop)
            for number in UInt8(0)..<5 { try await clients[0].send([number], to: relay.localAddress) }
            let cut = try await statistics(relay) { $0.up.offeredPackets == 5 }
            #expect(cut.up.outageDrops == 5)
            try await relay.unblock(.up)
            try await clients[0].send([9], to: relay.localAddress)
            #expect(try await clients[0].received(1).map(\.payload) == [[9]])
            #expect(try await target.received(1).count == 1)
        }
    }

    @Test("the queue's limit holds during an outage", arguments: [UDPRelayConfiguration.Sharing.oneCell, .perClient])
    func queueLimit(sharing: UDPRelayConfiguration.Sharing) async throws {
        let profile = LinkProfile(queue: .dropTail(QueueLimit(packets: 3)))
        try await withRelay(LinkScenario(up: profile), clients: 2, change: { $0.sharing = sharing }) { relay, target, clients in
            try await relay.block(.up)
            for client in clients {
                for number in UInt8(0)..<10 { try await client.send([number], to: relay.localAddress) }
            }
            let full = try await statistics(relay) { $0.up.offeredPackets == 20 }
            let kept = sharing == .oneCell ? 3 : 6
            #expect(full.up.queueDrops == 20 - kept)
            try await relay.unblock()
            #expect(try await target.received(kept).count == kept)
        }
    }

    @Test("after a rebind the target sees a new port, and its answers still arrive")
    func rebind() async throws {
        try await withRelay(both(.ideal)) { relay, target, clients in
            try await clients[0].send([1], to: relay.localAddress)
            _ = try await clients[0].received(1)
            try await relay.rebind()
            try await clients[0].send([2], to: relay.localAddress)
            #expect(try await clients[0].received(2).map(\.payload) == [[1], [2]])
            let seen = try await target.received(2)
            #expect(seen[0].source != seen[1].source)
        }
    }

    @Test("mappings are bounded, and expire when idle")
    func mappings() async throws {
        try await withRelay(both(.ideal), clients: 2, change: { $0.maximumClients = 1; $0.clientIdle = .milliseconds(1) }) { relay, _, clients in
            try await clients[0].send([1], to: relay.localAddress)
            _ = try await clients[0].received(1)
            // Until the first is gone the second is refused; then it gets through.
            while try await relay.statistics().clientsExpired == 0 { await Task.yield() }
            try await clients[1].send([2], to: relay.localAddress)
            #expect(try await clients[1].received(1).map(\.payload) == [[2]])
        }
        try await withRelay(both(.ideal), clients: 2, change: { $0.maximumClients = 1 }) { relay, _, clients in
            try await clients[0].send([1], to: relay.localAddress)
            _ = try await clients[0].received(1)
            try await clients[1].send([2], to: relay.localAddress)
            let refused = try await statistics(relay) { $0.refusedClients > 0 }
            #expect(refused.clients == 1)
        }
    }

    @Test("the bytes held are bounded even where the model's queue is not")
    func heldBytes() async throws {
        try await withRelay(both(.ideal), change: { $0.maximumHeldBytes = 5_000 }) { relay, target, clients in
            try await relay.block(.up)
            for _ in 0..<10 { try await clients[0].send([UInt8](repeating: 7, count: 1_000), to: relay.localAddress) }
            let full = try await statistics(relay) { $0.up.offeredPackets + $0.overflowDrops == 10 }
            #expect(full.overflowDrops == 5)
            try await relay.unblock()
            #expect(try await target.received(5).count == 5)
        }
    }

    @Test("the relay's outcomes are those of the pure link, offered the same packets at the same times")
    func sameAsModel() async throws {
        let chain = try #require(GilbertElliott(share: Probability(0.2), meanBurstPackets: 3))
        let trace = try DeliveryTrace(stamps: [1, 2, 2, 5, 9])
        let up = LinkProfile(
            service: .trace(trace), delay: .milliseconds(2), jitter: .milliseconds(1), queue: .dropTail(QueueLimit(packets: 20)),
            preQueueLoss: .independent(Probability(0.05)), radioLoss: .gilbertElliott(chain))
        let scenario = LinkScenario(up: up, down: .ideal, seed: 99)
        let log = TapLog()
        try await withRelay(scenario, change: { $0.tap = { log.append($0) } }) { relay, _, clients in
            for number in 0..<400 {
                try await clients[0].send([UInt8(number >> 8), UInt8(number & 255)] + [UInt8](repeating: 0, count: number), to: relay.localAddress)
            }
            _ = try await statistics(relay) { $0.up.deliveredPackets + $0.up.droppedPackets == 400 }
            // Drops are counted before their outcome is reported.
            while log.entries.count(where: { $0.direction == .up && $0.stage != .arrived }) < 400 { await Task.yield() }
        }
        func number(_ datagram: RelayedDatagram) -> UInt64 { UInt64(datagram.payload[0]) << 8 | UInt64(datagram.payload[1]) }
        let entries = log.entries.filter { $0.direction == .up }
        var link = scenario.link(.up)
        var expected: [LinkOutcome] = []
        for entry in entries where entry.stage == .arrived {
            link.offer(LinkPacket(id: number(entry), bytes: entry.payload.count + 28), at: entry.at)
        }
        while let next = link.nextEventTime { link.advance(to: next, &expected) }
        let observed: [LinkOutcome] = entries.compactMap { entry in
            switch entry.stage {
            case .arrived: nil
            case .delivered: .delivered(id: number(entry), at: entry.at)
            case .dropped(let reason): .dropped(id: number(entry), at: entry.at, reason: reason)
            }
        }
        #expect(expected.count == 400)
        #expect(observed == expected)
    }

    @Test("an occupied port is an error that names it")
    func occupied() async throws {
        let peer = try await TestPeer.start()
        let configuration = UDPRelayConfiguration(listen: peer.address, target: .loopback(port: 9), scenario: LinkScenario())
        let error = await #expect(throws: UDPRelayError.self) { _ = try await UDPRelay.start(configuration) }
        #expect(error?.address == peer.address)
        await peer.stop()
    }

    @Test("IPv6 passes too, with its larger header")
    func ipv6() async throws {
        guard let probe = try? await TestPeer.start(host: "::1") else { return } // a machine without IPv6
        await probe.stop()
        try await withRelay(both(.ideal), host: "::1") { relay, _, clients in
            try await clients[0].send([1, 2, 3], to: relay.localAddress)
            #expect(try await clients[0].received(1).map(\.payload) == [[1, 2, 3]])
            #expect(try await relay.statistics().up.deliveredBytes == 51)
        }
    }

    @Test("departures at 20 Mbit/s: how late they are, as a figure to read")
    func lateness() async throws {
        let profile = LinkProfile(service: .constant(.megabitsPerSecond(20)), delay: .milliseconds(20))
        try await withRelay(LinkScenario(up: profile)) { relay, target, clients in
            for round in 1...20 {
                for _ in 0..<50 { try await clients[0].send([UInt8](repeating: 1, count: 1_222), to: relay.localAddress) }
                // What was sent last may not have come in yet, and then all that was offered is not all that was sent.
                _ = try await statistics(relay) { $0.up.offeredPackets == round * 50 && $0.up.deliveredPackets == round * 50 }
            }
            let statistics = try await relay.statistics()
            // What the link delivers leaves by a socket, or is counted where that is full. The echoes that have come back by
            // now are counted, too.
            let lateness = statistics.lateness
            #expect(lateness.count == 1_000 + statistics.down.deliveredPackets)
            #expect(try await target.received(1_000 - statistics.socketDrops).count <= 1_000)
            let microseconds = [0.5, 0.99].map { lateness.quantile($0)?.microseconds ?? 0 }
            print("relay lateness in µs: p50 \(microseconds[0]), p99 \(microseconds[1]), max \(lateness.maximum.microseconds)")
        }
    }
}

private final class TapLog: Sendable {
    private let log = Mutex<[RelayedDatagram]>([])
    func append(_ datagram: RelayedDatagram) { log.withLock { $0.append(datagram) } }
    var entries: [RelayedDatagram] { log.withLock { $0 } }
}
