import MastTimebase
import MastTransport
import TestKit
import Testing

/// Source addresses that cannot be answered, and floods of questions from spoofed ones.
@Suite struct HostileSourceTests {
    @Test(arguments: [
        NetworkAddress(ipv4: 0x0A00_0009, port: 0), NetworkAddress(ipv4: 0, port: 7), NetworkAddress(ipv4: 0xFFFF_FFFF, port: 7),
        NetworkAddress(ipv4: 0xE000_0001, port: 7), NetworkAddress(high: 0, low: 0, port: 7), NetworkAddress(high: 0xFF02 << 48, low: 1, port: 7),
    ]) func whatCannotBeAnsweredIsNeitherAnsweredNorForwarded(source: NetworkAddress) {
        let pair = Pair()
        _ = pair.connect()
        let initiation = pair.client.pollTransmit(at: pair.now)?.payload ?? []
        #expect(initiation.count == 1200)
        for (route, address) in [(UInt32(0xAAAA), source), (0xBBBB, Pair.clientAddress)] {
            let isAdded = pair.server.forwarder.set(route, address: address, at: .zero)
            #expect(isAdded)
        }
        let forwarded = WirePacket.data(to: ConnectionID(route: 0xBBBB, local: 0x0102_0304))
        for payload in [initiation, unknownPacket(1), keyQuery(1), forwarded, [0xFF], []] { pair.server.receive(payload, from: source, at: pair.now) }
        let answer = pair.server.pollTransmit(at: pair.now)
        #expect(answer == nil)
        #expect(pair.server.connectionCount == 0)
        #expect(pair.server.counters.dropped(.badSource) == 6)
    }

    @Test func oneSourceCannotUseUpTheAnswersOfOthers() {
        let pair = Pair()
        var answered = 0
        for step in 0..<3_000 {
            // 300 a second from one address for ten seconds; ten others ask once each.
            let now = Instant.zero + .microseconds(Int64(step) * 3_333)
            for payload in [keyQuery(UInt64(step)), unknownPacket(UInt64(step))] {
                pair.server.receive(payload, from: Pair.clientAddress.with(port: UInt16(1 + step % 60_000)), at: now)
            }
            _ = drain(pair, at: now)
            guard step % 300 == 299 else { continue }
            let other = NetworkAddress(ipv4: 0x0C00_0000 + UInt32(step), port: 9)
            pair.server.receive(keyQuery(1), from: other, at: now)
            pair.server.receive(unknownPacket(1), from: other, at: now)
            answered += drain(pair, at: now).count { $0 == other }
        }
        #expect(answered == 20)
    }

    /// Shared buckets are chance: of hundred asking sources, few share one that is empty.
    @Test(arguments: [1, 2, 3] as [UInt64]) func aFloodFromRandomSourcesLeavesOthersTheirAnswers(seed: UInt64) {
        let pair = Pair(seed: seed)
        var random = SeededGenerator(seed: seed)
        var answered = 0
        for step in 0..<40_000 {
            let now = Instant.zero + .microseconds(Int64(step) * 50)
            let spoofed = NetworkAddress(ipv4: 0x0100_0000 + UInt32(random.next(below: 0x7000_0000)), port: 9)
            pair.server.receive(step % 2 == 0 ? keyQuery(9) : unknownPacket(random.next()), from: spoofed, at: now)
            _ = drain(pair, at: now)
            guard step % 400 == 399 else { continue }
            let other = NetworkAddress(ipv4: 0x9000_0000 + UInt32(step), port: 9)
            pair.server.receive(keyQuery(1), from: other, at: now)
            pair.server.receive(unknownPacket(1), from: other, at: now)
            answered += drain(pair, at: now).count { $0 == other }
        }
        #expect(answered >= 198, "\(answered) of 200")
    }

    @Test func aRestartIsNoticedInARoundTripUnderAFlood() {
        let pair = Pair()
        let handle = connected(pair)
        pair.run(for: .milliseconds(100))
        pair.restartServer()
        let start = pair.now
        pair.client.ping(handle, at: pair.now)
        var random = SeededGenerator(seed: 3)
        for _ in 0..<5_000 where pair.client.isUsable(handle) {
            // 20,000 a second.
            for _ in 0..<20 {
                let spoofed = NetworkAddress(ipv4: 0x0100_0000 + UInt32(random.next(below: 0x7000_0000)), port: 9)
                pair.server.receive(unknownPacket(random.next()), from: spoofed, at: pair.now)
            }
            pair.run(for: .milliseconds(1))
        }
        #expect(pair.now - start <= .milliseconds(41))
    }

    private func keyQuery(_ nonce: UInt64) -> [UInt8] { WirePacket.keyQuery(nonce) }

    /// Of a connection that nobody has; its ID bears no route.
    private func unknownPacket(_ id: UInt64) -> [UInt8] { WirePacket.data(to: ConnectionID(rawValue: id & 0xFFFF_FFFF | 0x8000_0000)) }

    private func drain(_ pair: Pair, at now: Instant) -> [NetworkAddress] {
        var destinations: [NetworkAddress] = []
        while let transmit = pair.server.pollTransmit(at: now) { destinations.append(transmit.destination) }
        return destinations
    }
}
