import MastTimebase
import MastTransport
import TestKit
import Testing

/// Following a peer to another address only when it has answered from there (RFC 9000 section 9.3).
@Suite struct MoveTests {
    private let thief = NetworkAddress(ipv4: 0x0102_0304, port: 9)
    private let request = [UInt8](repeating: 4, count: 500)

    @Test(arguments: [Pair.clientAddress.with(port: 50_000), NetworkAddress(ipv4: 0x0A63_0007, port: 1_234)])
    func aRealMoveCostsACallNothing(to address: NetworkAddress) {
        let pair = Pair()
        let handle = connected(pair)
        _ = echo(request, on: handle, in: pair, within: .seconds(2))
        pair.run(for: .milliseconds(200))
        pair.clientAddress = address
        let start = pair.now
        let isSame = echo(request, on: handle, in: pair, within: .seconds(2)) == request
        #expect(isSame)
        #expect(pair.now - start == .milliseconds(40), "the answer travels to both addresses")
        pair.run(for: .milliseconds(200))
        let server = pair.accepted
        let current = server.flatMap { pair.server.remoteAddress($0) }
        #expect(current == address)
        #expect(pair.serverEvents.count { if case .migrated(_, to: address) = $0 { true } else { false } } == 1)
    }

    @Test func aLargeAnswerUnderWayToTheOldAddressComesARoundTripLater() {
        let fast = { () -> Interval in
            let pair = Pair()
            let handle = connected(pair)
            let start = pair.now
            _ = echo([UInt8](repeating: 1, count: 9_000), on: handle, in: pair, within: .seconds(9))
            return pair.now - start
        }()
        let pair = Pair()
        let handle = connected(pair)
        let start = pair.now
        var count = 0
        pair.filter = { side, _ in
            // The client's address changes between its question and the answer.
            if side == .server { count += 1 }
            if count == 2 { pair.clientAddress = Pair.clientAddress.with(port: 50_000) }
            return true
        }
        let echoed = echo([UInt8](repeating: 1, count: 9_000), on: handle, in: pair, within: .seconds(9))
        #expect(echoed.count == 9_000)
        // Noticed by the client's next packet, then one round trip, and the repeat.
        #expect(pair.now - start <= fast + .milliseconds(250), "\((pair.now - start).milliseconds) ms against \(fast.milliseconds) ms")
    }

    @Test func aFasterCopyFromElsewhereSteersNothing() {
        let pair = Pair()
        let handle = connected(pair)
        var fromThief = 0
        pair.filter = { side, payload in
            if side == .client {
                fromThief += payload.count
                pair.server.receive(payload, from: thief, at: pair.now)
            }
            return true
        }
        for _ in 0..<20 {
            let start = pair.now
            let isSame = echo(request, on: handle, in: pair, within: .seconds(2)) == request
            #expect(isSame)
            // The copy is even faster than the original.
            #expect(pair.now - start <= .milliseconds(40))
            pair.run(for: .milliseconds(30))
        }
        let address = pair.accepted.flatMap { pair.server.remoteAddress($0) }
        #expect(address == Pair.clientAddress)
        let toThief = pair.serverDestinations.filter { $0.address == thief }.reduce(0) { $0 + $1.bytes }
        #expect(toThief > 0 && toThief <= 3 * fromThief)
    }

    @Test func aFasterCopyDoesNotHideWhereThePeerReallyIs() {
        let pair = Pair()
        let handle = connected(pair)
        pair.filter = { side, payload in
            if side == .client { pair.server.receive(payload, from: thief, at: pair.now) }
            return true
        }
        _ = echo(request, on: handle, in: pair, within: .seconds(2))
        let moved = NetworkAddress(ipv4: 0x0A63_0007, port: 1_234)
        pair.clientAddress = moved
        let isSame = echo(request, on: handle, in: pair, within: .seconds(2)) == request
        #expect(isSame)
        pair.run(for: .milliseconds(200))
        let address = pair.accepted.flatMap { pair.server.remoteAddress($0) }
        #expect(address == moved)
    }

    /// Somebody who passes everything on both ways, but not from the responder's address, is no path.
    @Test func theInitiatorProvesNobodyElsesAddress() {
        let pair = Pair()
        let handle = connected(pair)
        pair.onStray = { transmit in pair.client.receive(transmit.payload, from: thief, at: pair.now) }
        pair.filter = { side, payload in
            if side == .client { pair.server.receive(payload, from: thief, at: pair.now) }
            return true
        }
        for _ in 0..<5 {
            _ = echo(request, on: handle, in: pair, within: .seconds(2))
            // What the client may have sent to the thief comes back from the thief.
            pair.run(for: .milliseconds(100))
        }
        while let transmit = pair.client.pollTransmit(at: pair.now) { #expect(transmit.destination == Pair.serverAddress) }
        let address = pair.accepted.flatMap { pair.server.remoteAddress($0) }
        #expect(address == Pair.clientAddress)
    }

    @Test func anAddressThatDoesNotAnswerSilencesNothing() throws {
        let pair = Pair()
        let handle = connected(pair)
        _ = echo(request, on: handle, in: pair, within: .seconds(2))
        pair.run(for: .milliseconds(200))
        // One packet from a network that is gone at once; then the client only listens.
        let old = pair.clientAddress
        pair.clientAddress = NetworkAddress(ipv4: 0x0A63_0007, port: 1_234)
        pair.client.ping(handle, at: pair.now)
        pair.run(for: .milliseconds(1))
        pair.clientAddress = old
        pair.run(for: .milliseconds(60))
        let server = try #require(pair.accepted)
        let start = pair.now
        let opened = pair.server.openStream(server, deadline: nil, at: pair.now)
        let stream = try #require(opened)
        _ = pair.server.write(server, stream, [1, 2, 3], fin: true, at: pair.now)
        pair.run(for: .seconds(9)) { $0.clientEvents.contains { if case .streamOpened(handle, stream, _) = $0 { true } else { false } } }
        #expect(pair.now - start == .milliseconds(20))
        let address = pair.server.remoteAddress(server)
        #expect(address == old)
    }

    @Test func aMoveBackIsFollowedToo() {
        let pair = Pair()
        let handle = connected(pair)
        let old = pair.clientAddress
        for address in [old.with(port: 50_000), old, old.with(port: 50_000)] {
            pair.clientAddress = address
            let isSame = echo(request, on: handle, in: pair, within: .seconds(2)) == request
            #expect(isSame)
            pair.run(for: .milliseconds(200))
            let now = pair.accepted.flatMap { pair.server.remoteAddress($0) }
            #expect(now == address)
        }
    }

    @Test(arguments: [1, 2]) func theHandshakeSurvivesAMove(afterPackets count: Int) {
        let pair = Pair()
        var sent = 0
        pair.filter = { side, _ in
            guard side == .client else { return sent != 1 || count != 1 }
            sent += 1
            // After the first message, whose answer is lost; or between its answer and the confirmation.
            if sent == count { pair.clientAddress = sent == 1 ? NetworkAddress(ipv4: 0x0A63_0007, port: 1_234) : pair.clientAddress.with(port: 50_000) }
            return true
        }
        let handle = pair.connect()
        let isConnected = pair.run(for: .seconds(2)) { $0.isConnected(handle) }
        #expect(isConnected)
        let isSame = echo([UInt8](repeating: 7, count: 20_000), on: handle, in: pair, within: .seconds(5)).count == 20_000
        #expect(isSame)
        let address = pair.accepted.flatMap { pair.server.remoteAddress($0) }
        #expect(address == pair.clientAddress)
    }

    @Test func anUnansweredCandidateGetsThreeTimesWhatItSentAndNoMore() throws {
        let pair = Pair()
        let handle = connected(pair)
        var stolen = 0
        var isOpen = true
        pair.filter = { side, payload in
            if side == .client, isOpen, payload.count > 400 {
                isOpen = false
                stolen = payload.count
                pair.server.receive(payload, from: thief, at: pair.now)
            }
            return true
        }
        _ = echo(request, on: handle, in: pair, within: .seconds(2))
        let server = try #require(pair.accepted)
        let opened = pair.server.openStream(server, deadline: nil, at: pair.now)
        let stream = try #require(opened)
        _ = pair.server.write(server, stream, [UInt8](repeating: 3, count: 100_000)[...], fin: true, at: pair.now)
        pair.run(for: .seconds(5))
        let toThief = pair.serverDestinations.filter { $0.address == thief }.map(\.bytes)
        #expect(stolen > 0 && toThief.reduce(0, +) <= 3 * stolen)
        // Challenged more than once, and given up.
        #expect(toThief.count { $0 == 38 } >= 2)
        let wakeup = pair.server.nextWakeup ?? .distantFuture
        #expect(wakeup > pair.now)
    }
}
