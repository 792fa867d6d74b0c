import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

@Suite struct HostileInputTests {
    @Test func randomAndMutatedDatagramsChangeNothing() {
        let pair = Pair()
        var samples: [[UInt8]] = []
        pair.filter = { _, payload in
            if samples.count < 200 { samples.append(payload) }
            return true
        }
        let handle = connected(pair)
        _ = echo([UInt8](repeating: 1, count: 20_000), on: handle, in: pair, within: .seconds(10))
        pair.filter = { _, _ in true }
        var random = SeededGenerator(seed: 77)
        for round in 0..<60_000 {
            var payload = samples[Int(random.next(below: UInt64(samples.count)))]
            if round % 3 == 0 {
                payload = (0..<Int(random.next(below: 64))).map { _ in UInt8(truncatingIfNeeded: random.next()) }
            } else {
                for _ in 0...random.next(below: 4) { payload[Int(random.next(below: UInt64(payload.count)))] ^= UInt8(1 << random.next(below: 8)) }
                if round % 5 == 0 { payload = Array(payload.prefix(Int(random.next(below: UInt64(payload.count))))) }
            }
            let from = NetworkAddress(ipv4: UInt32(truncatingIfNeeded: random.next()), port: 7)
            pair.server.receive(payload, from: from, at: pair.now)
            pair.client.receive(payload, from: Pair.serverAddress, at: pair.now)
        }
        pair.run(for: .seconds(1))
        #expect(pair.server.connectionCount == 1)
        let request = (0..<3_000).map { UInt8(truncatingIfNeeded: $0 * 3) }
        let same = echo(request, on: handle, in: pair, within: .seconds(5)) == request
            #expect(same)
    }

    @Test func underLoadAFirstMessageMustBringACookie() {
        var configuration = TransportConfiguration()
        configuration.halfOpenBeforeCookies = 0
        let pair = Pair(configuration: configuration)
        let handle = pair.connect()
        #expect(pair.run(for: .seconds(2)) { $0.isConnected(handle) })
        #expect(pair.server.counters.cookiesSent == 1)
        // The cookie costs exactly one round trip more.
        #expect(pair.sentByClient.prefix(2) == [1200, 1200])
    }

    @Test func aFloodOfFirstMessagesStaysWithinItsBound() {
        var configuration = TransportConfiguration()
        configuration.halfOpenBeforeCookies = 8
        configuration.maximumHalfOpen = 16
        let pair = Pair(configuration: configuration)
        for index in 0..<200 {
            var random = SeededGenerator(seed: UInt64(1_000 + index))
            var attacker = Endpoint(identity: StaticKeyPair(using: &random), configuration: configuration, entropy: random)
            _ = attacker.connect(to: Pair.serverAddress, peerKey: pair.serverKeys.publicKey, at: pair.now)
            while let transmit = attacker.pollTransmit(at: pair.now) {
                pair.server.receive(transmit.payload, from: NetworkAddress(ipv4: UInt32(index + 1), port: 5), at: pair.now)
            }
        }
        #expect(pair.server.connectionCount <= 16)
        let handle = pair.connect()
        #expect(pair.run(for: .seconds(3)) { $0.isConnected(handle) })
        pair.run(for: .seconds(12))
        #expect(pair.server.connectionCount == 1)
    }

    @Test func keysChangeOnLongConnectionsWithoutALoss() {
        // The bound is 2^20 packets; here the change is forced through the same door from both sides.
        let lossy = LinkProfile(service: .constant(.megabitsPerSecond(50)), delay: .milliseconds(5), radioLoss: .independent(Probability(0.05)))
        let pair = Pair(seed: 4, scenario: LinkScenario(up: lossy, down: lossy, seed: 4))
        let handle = connected(pair)
        for round in 0..<6 {
            pair.client.changeKeys(handle, at: pair.now)
            if round % 2 == 1, let server = pair.accepted { pair.server.changeKeys(server, at: pair.now) }
            let request = (0..<20_000).map { UInt8(truncatingIfNeeded: $0 &+ round) }
            let same = echo(request, on: handle, in: pair, within: .seconds(10)) == request
            #expect(same)
        }
    }

    @Test func theForwarderSendsOnlyBetweenRegisteredParties() {
        var random = SeededGenerator(seed: 1)
        let identity = StaticKeyPair(using: &random)
        var server = Endpoint(identity: identity, configuration: .init(), entropy: random)
        let alice = NetworkAddress(ipv4: 0x0A00_0001, port: 1)
        let bob = NetworkAddress(ipv4: 0x0A00_0002, port: 2)
        let stranger = NetworkAddress(ipv4: 0x0A00_0003, port: 3)
        for (route, address) in [(UInt32(0xAAAA), alice), (0xBBBB, bob)] {
            let added = server.forwarder.set(route, address: address, at: .zero)
            #expect(added)
        }
        let packet: [UInt8] = [0x08, 0, 0, 0xBB, 0xBB, 1, 2, 3, 4, 9, 9, 9, 9] + [UInt8](repeating: 7, count: 40)
        server.receive(packet, from: alice, at: .zero)
        let forwarded = server.pollTransmit(at: .zero)
        #expect(forwarded?.destination == bob)
        #expect(forwarded?.payload == packet)
        server.receive(packet, from: stranger, at: .zero)
        server.receive(packet, from: bob, at: .zero)
        var unknown = packet
        unknown[3] = 0x77
        server.receive(unknown, from: alice, at: .zero)
        let refused = server.pollTransmit(at: .zero)
        #expect(refused == nil)
        #expect(server.counters.dropped(.notForwardable) == 3)
        // A first message under another's route is not sent on.
        var initiation: [UInt8] = [0x04, 0, 0, 0xBB, 0xBB, 0, 0, 0, 0, 2, 0, 0, 0xAA, 0xAA, 1, 2, 3, 4] + [UInt8](repeating: 7, count: 1182)
        server.receive(initiation, from: alice, at: .zero)
        let first = server.pollTransmit(at: .zero)
        #expect(first?.destination == bob)
        initiation[12] = 0xCC
        server.receive(initiation, from: alice, at: .zero)
        let disguised = server.pollTransmit(at: .zero)
        #expect(disguised == nil)
        server.forwarder.remove(0xBBBB)
        server.receive(packet, from: alice, at: .zero)
        let removed = server.pollTransmit(at: .zero)
        #expect(removed == nil)
    }
}
