import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

@Suite struct ConnectionTests {
    @Test func connectsInOneRoundTrip() {
        let pair = Pair()
        let handle = pair.connect()
        #expect(pair.run(for: .seconds(1)) { $0.client.isEstablished(handle) })
        #expect(pair.now.sinceStart == .milliseconds(40))
        #expect(pair.sentByClient.first == 1200)
        #expect(pair.run(for: .seconds(1)) { $0.accepted != nil })
        #expect(pair.client.handshakeHash(handle) == pair.accepted.flatMap { pair.server.handshakeHash($0) })
    }

    @Test func anotherKeyThanTheServersGetsNoAnswer() {
        let pair = Pair()
        var keys = SeededGenerator(seed: 99)
        let handle = pair.client.connect(to: Pair.serverAddress, peerKey: StaticKeyPair(using: &keys).publicKey, at: pair.now)
        pair.run(for: .seconds(11))
        #expect(!pair.isUsable(handle))
        #expect(pair.clientEvents.contains { if case .closed(handle, .handshakeTimeout(nil)) = $0 { true } else { false } })
        #expect(pair.sentByServer.isEmpty)
        #expect(pair.server.connectionCount == 0)
    }

    @Test(arguments: [0, 1, 2, 3]) func survivesTheLossOfAnyHandshakePacket(lost: Int) {
        let pair = Pair()
        var count = 0
        pair.filter = { _, _ in
            count += 1
            return count - 1 != lost
        }
        let handle = pair.connect()
        #expect(pair.run(for: .seconds(3)) { $0.isConnected(handle) })
    }

    @Test func aDuplicatedFirstMessageMakesOneConnection() {
        let pair = Pair()
        var first: [UInt8]?
        pair.filter = { side, payload in
            if side == .client, payload.count == 1200, first == nil { first = payload }
            return true
        }
        let handle = pair.connect()
        pair.run(for: .seconds(1)) { $0.isConnected(handle) }
        for _ in 0..<5 { pair.server.receive(first ?? [], from: Pair.clientAddress, at: pair.now) }
        pair.run(for: .seconds(1))
        #expect(pair.server.connectionCount == 1)
    }

    @Test func bytesInEqualBytesOutBothWays() {
        let pair = Pair()
        let handle = connected(pair)
        let request = (0..<100_000).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let echoed = echo(request, on: handle, in: pair, within: .seconds(30))
        let equal = echoed == request
        #expect(equal)
    }

    @Test(arguments: [3_000_000, 1_000_005]) func aLongTransferFillsManyWindows(size: Int) {
        let fast = LinkProfile(service: .constant(.megabitsPerSecond(400)), delay: .microseconds(50))
        let pair = Pair(scenario: LinkScenario(up: fast, down: fast, seed: 1))
        let handle = connected(pair)
        let request = (0..<size).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        let echoed = echo(request, on: handle, in: pair, within: .seconds(20))
        let equal = echoed == request
        #expect(equal)
        #expect(pair.now.sinceStart < .milliseconds(500))
    }

    @Test(arguments: [UInt64](1...12)) func survivesHeavyLoss(seed: UInt64) {
        let lossy = LinkProfile(service: .constant(.megabitsPerSecond(20)), delay: .milliseconds(20), radioLoss: .independent(Probability(0.15)))
        let pair = Pair(seed: seed, scenario: LinkScenario(up: lossy, down: lossy, seed: seed))
        let handle = connected(pair, within: .seconds(10))
        let request = (0..<60_000).map { UInt8(truncatingIfNeeded: $0 &* 7 &+ Int(seed)) }
        let echoed = echo(request, on: handle, in: pair, within: .seconds(60))
        let equal = echoed == request
        #expect(equal, "seed \(seed); replay: swift test --filter survivesHeavyLoss")
        #expect((pair.client.statistics(handle)?.packetsRetransmitted ?? 0) > 0)
    }

    @Test func aDeadlineTravelsAsRemainingTimeAndIsRewrittenOnRetransmission() {
        let pair = Pair()
        let handle = connected(pair)
        pair.serverEvents = []
        var dropped = 0
        pair.filter = { side, payload in
            // Lose the first three tries of the call's packet.
            if side == .client, payload.count > 60, dropped < 3 {
                dropped += 1
                return false
            }
            return true
        }
        let deadline = pair.now + .seconds(2)
        let stream = pair.client.openStream(handle, deadline: deadline, at: pair.now)
        #expect(stream != nil)
        _ = pair.client.write(handle, stream ?? StreamID(rawValue: 0), [UInt8](repeating: 1, count: 100)[...], fin: true, at: pair.now)
        var seen: Instant?
        pair.run(for: .seconds(3)) {
            for case .streamOpened(_, _, let deadline) in $0.serverEvents { seen = deadline }
            return seen != nil
        }
        #expect(dropped == 3)
        // One way of 20 ms later than the sender's: never earlier, and not stretched by the retransmissions.
        let late = (seen ?? .zero) - deadline
        #expect(late >= .milliseconds(19) && late <= .milliseconds(21))
    }

    @Test func aResetCancelsBothWaysAndFreesTheStream() {
        let pair = Pair()
        let handle = connected(pair)
        let stream = pair.client.openStream(handle, deadline: nil, at: pair.now) ?? StreamID(rawValue: 0)
        _ = pair.client.write(handle, stream, [1, 2, 3], fin: false, at: pair.now)
        pair.run(for: .milliseconds(50))
        guard let server = pair.accepted else { return #expect(Bool(false), "not accepted") }
        var bytes: [UInt8] = []
        #expect(pair.server.read(server, stream, into: &bytes, at: pair.now) == .open)
        pair.client.reset(handle, stream, code: 7, at: pair.now)
        pair.client.stopSending(handle, stream, code: 7, at: pair.now)
        pair.run(for: .milliseconds(100))
        #expect(pair.server.read(server, stream, into: &bytes, at: pair.now) == .reset(code: 7))
        #expect(pair.serverEvents.contains { if case .streamStopped(_, stream, 7) = $0 { true } else { false } })
        pair.server.reset(server, stream, code: 7, at: pair.now)
        pair.run(for: .milliseconds(200))
        #expect(pair.server.statistics(server)?.streams == 0)
        #expect(pair.client.statistics(handle)?.streams == 0)
    }

    @Test func moreThanAWindowWaitsForTheReader() {
        var configuration = TransportConfiguration()
        configuration.streamWindow = 10_000
        configuration.connectionWindow = 20_000
        let pair = Pair(configuration: configuration)
        let handle = connected(pair)
        let stream = pair.client.openStream(handle, deadline: nil, at: pair.now) ?? StreamID(rawValue: 0)
        let accepted = pair.client.write(handle, stream, [UInt8](repeating: 9, count: 50_000)[...], fin: true, at: pair.now)
        #expect(accepted == 50_000)
        pair.run(for: .seconds(2))
        guard let server = pair.accepted else { return #expect(Bool(false), "not accepted") }
        var bytes: [UInt8] = []
        _ = pair.server.read(server, stream, into: &bytes, at: pair.now)
        #expect(bytes.count == 10_000)
        var state = StreamReadState.open
        pair.run(for: .seconds(5)) {
            state = $0.server.read(server, stream, into: &bytes, at: $0.now)
            return state != .open
        }
        #expect(state == .finished)
        #expect(bytes.count == 50_000)
    }

    @Test func aThousandStreamsAndMoreShareOneConnection() {
        let pair = Pair()
        let handle = connected(pair)
        var opened = 0
        while pair.client.openStream(handle, deadline: nil, at: pair.now).map({
            pair.client.write(handle, $0, [5], fin: true, at: pair.now)
        }) != nil { opened += 1 }
        #expect(opened == 1_024)
        pair.run(for: .milliseconds(200))
        guard let server = pair.accepted else { return #expect(Bool(false), "not accepted") }
        var served = 0
        for case .streamOpened(_, let stream, _) in pair.serverEvents {
            var bytes: [UInt8] = []
            if pair.server.read(server, stream, into: &bytes, at: pair.now) == .finished, bytes == [5] { served += 1 }
            _ = pair.server.write(server, stream, [], fin: true, at: pair.now)
        }
        #expect(served == 1_024)
        pair.run(for: .milliseconds(200))
        for case .streamReadable(_, let stream) in pair.clientEvents {
            var bytes: [UInt8] = []
            _ = pair.client.read(handle, stream, into: &bytes, at: pair.now)
        }
        pair.run(for: .milliseconds(200))
        #expect(pair.clientEvents.contains { if case .streamsAvailable = $0 { true } else { false } })
        #expect(pair.client.openStream(handle, deadline: nil, at: pair.now) != nil)
    }

    @Test func aBusyConnectionKeepsAHandfulOfWakeups() {
        let pair = Pair()
        let handle = connected(pair)
        for _ in 0..<400 {
            pair.client.ping(handle, at: pair.now)
            pair.run(for: .milliseconds(50))
        }
        // 20 s of traffic moved the idle timeout 800 times on each side.
        #expect(pair.client.wakeupCount <= 8)
        #expect(pair.server.wakeupCount <= 8)
    }

    @Test func closeReachesThePeerWithItsReason() {
        let pair = Pair()
        let handle = connected(pair)
        pair.client.close(handle, code: 3, reason: "bye", at: pair.now)
        pair.run(for: .seconds(2))
        #expect(pair.serverEvents.contains { if case .closed(_, .peer(3, "bye")) = $0 { true } else { false } })
        #expect(pair.client.connectionCount == 0)
        #expect(pair.server.connectionCount == 0)
    }

    @Test func anIdleConnectionSendsNothingAndEnds() {
        let pair = Pair()
        let handle = connected(pair)
        pair.run(for: .milliseconds(500))
        let sent = pair.sentByClient.count + pair.sentByServer.count
        pair.run(for: .seconds(28))
        #expect(pair.sentByClient.count + pair.sentByServer.count == sent)
        pair.run(for: .seconds(5))
        #expect(pair.clientEvents.contains { if case .closed(handle, .idle) = $0 { true } else { false } })
        #expect(pair.server.connectionCount == 0)
    }

    @Test func keepAliveHoldsAnIdleConnection() {
        let pair = Pair()
        let handle = connected(pair)
        pair.client.setKeepAlive(handle, .seconds(10), at: pair.now)
        pair.run(for: .seconds(120))
        #expect(pair.isEstablished(handle))
    }

    @Test func aRestartedServerIsNoticedInOneRoundTrip() {
        let pair = Pair()
        let handle = connected(pair)
        pair.run(for: .milliseconds(100))
        pair.restartServer()
        let start = pair.now
        pair.client.ping(handle, at: pair.now)
        pair.run(for: .seconds(5)) { !$0.client.isUsable(handle) }
        #expect(pair.clientEvents.contains { if case .closed(handle, .reset) = $0 { true } else { false } })
        #expect(pair.now - start <= .milliseconds(41))
    }

    @Test func aQueriedKeyIsAnsweredWithLessThanTheQuestion() {
        let pair = Pair()
        pair.client.queryKey(of: Pair.serverAddress, at: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.clientEvents.contains { if case .peerKey(_, pair.serverKeys.publicKey) = $0 { true } else { false } })
        #expect((pair.sentByServer.first ?? .max) <= (pair.sentByClient.first ?? 0))
    }
}

func connected(_ pair: Pair, within interval: Interval = .seconds(3)) -> ConnectionHandle {
    let handle = pair.connect()
    let done = pair.run(for: interval) { $0.isConnected(handle) }
    #expect(done, "no connection")
    return handle
}

/// Sends `request` on a new stream, lets the server return it as it comes, and gives back what came.
func echo(_ request: [UInt8], on handle: ConnectionHandle, in pair: Pair, within interval: Interval) -> [UInt8] {
    guard let stream = pair.client.openStream(handle, deadline: nil, at: pair.now), let server = pair.accepted else { return [] }
    var offset = 0
    var back: [UInt8] = []
    var atServer: [UInt8] = []
    var serverState = StreamReadState.open
    var returned = 0
    var finSent = false
    var opened = false
    var clientState = StreamReadState.open
    pair.run(for: interval) { pair in
        if offset < request.count || !finSent {
            let accepted = pair.client.write(handle, stream, request[offset...], fin: true, at: pair.now)
            offset += accepted
            if offset == request.count { finSent = true }
        }
        if !opened { opened = pair.serverEvents.contains { if case .streamOpened(_, stream, _) = $0 { true } else { false } } }
        if opened, serverState == .open { serverState = pair.server.read(server, stream, into: &atServer, at: pair.now) }
        if returned < atServer.count || serverState == .finished {
            returned += pair.server.write(server, stream, atServer[returned...], fin: serverState == .finished, at: pair.now)
        }
        if clientState == .open { clientState = pair.client.read(handle, stream, into: &back, at: pair.now) }
        return clientState != .open
    }
    let finished = clientState == .finished
    #expect(finished, "the echo did not finish by \(pair.now.sinceStart.inSeconds) s")
    return back
}
