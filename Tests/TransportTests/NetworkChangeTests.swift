import MastTimebase
import MastTransport
import TestKit
import Testing

/// This machine's network changes, and its system says so: `Pair`'s round trip is 40 ms.
@Suite struct NetworkChangeTests {
    private let pair = Pair()
    private let handle: ConnectionHandle
    private let elsewhere = NetworkAddress(ipv4: 0x0A63_0007, port: 1_234)
    private let request = [UInt8](repeating: 4, count: 500)

    init() {
        handle = connected(pair)
        for _ in 0..<20 { _ = echo(request, on: handle, in: pair, within: .seconds(2)) }
        pair.run(for: .milliseconds(200))
    }

    private func begin(_ bytes: [UInt8]) throws -> StreamID {
        let opened = pair.client.openStream(handle, deadline: nil, at: pair.now)
        let stream = try #require(opened)
        _ = pair.client.write(handle, stream, bytes[...], fin: true, at: pair.now)
        return stream
    }

    private func answer(to stream: StreamID, within interval: Interval) -> [UInt8] {
        var (question, answer): ([UInt8], [UInt8]) = ([], [])
        var isAnswered = false
        pair.run(for: interval) { pair in
            if let server = pair.accepted, !isAnswered, pair.server.read(server, stream, into: &question, at: pair.now) == .finished {
                isAnswered = true
                _ = pair.server.write(server, stream, question[...], fin: true, at: pair.now)
            }
            return pair.client.read(handle, stream, into: &answer, at: pair.now) == .finished
        }
        return answer
    }

    private func move(isNewPath: Bool = true) {
        pair.filter = { _, _ in true }
        if isNewPath { pair.clientAddress = elsewhere }
        pair.client.pathChanged(moved: isNewPath ? [Pair.serverAddress] : [], at: pair.now)
    }

    /// The question was lost with the interface: after seconds without one, the answer is there a round trip after the other is up.
    @Test(arguments: [10, 300, 8_000] as [Int64], [true, false]) func aCallUnderWayIsAnsweredInOneRoundTrip(milliseconds: Int64, isNewPath: Bool) throws {
        pair.filter = { _, _ in false }
        let stream = try begin(request)
        pair.run(for: .milliseconds(milliseconds))
        let start = pair.now
        move(isNewPath: isNewPath)
        #expect(answer(to: stream, within: .seconds(2)) == request)
        #expect(pair.now - start == .milliseconds(40))
        pair.run(for: .milliseconds(200))
        let address = pair.accepted.flatMap { pair.server.remoteAddress($0) }
        #expect(address == pair.clientAddress)
    }

    /// The answer was lost with the interface: it goes along with the challenge, within three times what asked for it.
    @Test func anAnswerThatWasUnderWayIsThereAsSoon() throws {
        pair.filter = { side, _ in side == .client }
        let stream = try begin(request)
        #expect(answer(to: stream, within: .milliseconds(200)) == [])
        let start = pair.now
        let before = pair.serverDestinations.count
        move()
        #expect(answer(to: stream, within: .seconds(2)) == request)
        #expect(pair.now - start == .milliseconds(40))
        let unproved = pair.serverDestinations[before...].filter { $0.address == elsewhere }.reduce(0) { $0 + $1.bytes }
        #expect(unproved <= 3 * 1_200)
    }

    /// A probe of a connection on which nothing waits tells the peer where it is now.
    @Test func theNextCallFindsThePeerMoved() {
        move()
        pair.run(for: .milliseconds(100))
        #expect(pair.sentByClient.last.map { $0 <= 1_200 } == true)
        let address = pair.accepted.flatMap { pair.server.remoteAddress($0) }
        #expect(address == elsewhere)
    }

    /// RFC 9000 section 9.4: another network has its own round trip and its own window; the same one keeps what was learned.
    @Test(arguments: [true, false]) func whatWasLearnedHoldsForTheSamePathAlone(isNewPath: Bool) throws {
        _ = echo([UInt8](repeating: 1, count: 200_000), on: handle, in: pair, within: .seconds(20))
        let known = pair.client.statistics(handle)
        let before = try #require(known)
        #expect(before.congestionWindow > 20_000 && before.smoothedRTT != nil)
        pair.client.pathChanged(moved: isNewPath ? [Pair.serverAddress] : [], at: pair.now)
        let kept = pair.client.statistics(handle)
        let after = try #require(kept)
        #expect(after.smoothedRTT == (isNewPath ? nil : before.smoothedRTT))
        #expect(after.congestionWindow == (isNewPath ? 12_000 : before.congestionWindow))
        #expect(after.bytesInFlight == 0)
    }

    @Test func onlyConnectionsToTheNamedAddressesLook() {
        pair.run(for: .seconds(1))
        let before = pair.sentByClient.count
        pair.client.pathChanged(to: [elsewhere], at: pair.now)
        pair.run(for: .milliseconds(10))
        #expect(pair.sentByClient.count == before)
        pair.client.pathChanged(to: [Pair.serverAddress], at: pair.now)
        pair.run(for: .milliseconds(10))
        // As long as a packet may be: it proves that the new path carries such, and may be answered with three times as much.
        #expect(pair.sentByClient.dropFirst(before).elementsEqual([1_200]))
    }

    /// Twenty thousand idle clients of a server hear nothing of its interfaces.
    @Test func aResponderWithNothingUnderWaySaysNothing() throws {
        pair.run(for: .seconds(1))
        let before = pair.sentByServer.count
        pair.server.pathChanged(at: pair.now)
        pair.run(for: .seconds(1))
        #expect(pair.sentByServer.count == before)
    }

    /// A responder that was without a network sends its answer again when it is back, without waiting for its timer.
    @Test func aRespondersAnswerGoesAgainWhenItsNetworkIsBack() throws {
        pair.filter = { side, _ in side == .client }
        let stream = try begin(request)
        _ = answer(to: stream, within: .seconds(8))
        pair.filter = { _, _ in true }
        let start = pair.now
        pair.server.pathChanged(at: pair.now)
        var answer: [UInt8] = []
        pair.run(for: .seconds(2)) { $0.client.read(handle, stream, into: &answer, at: $0.now) == .finished }
        #expect(answer == request && pair.now - start == .milliseconds(20))
    }

    /// A handshake that was repeated ever more rarely begins anew at once.
    @Test func aHandshakeIsRepeatedAtOnce() {
        let pair = Pair()
        pair.filter = { _, _ in false }
        let handle = pair.connect()
        pair.run(for: .milliseconds(5_300))
        pair.filter = { _, _ in true }
        let start = pair.now
        pair.client.pathChanged(at: pair.now)
        pair.run(for: .seconds(2)) { $0.isEstablished(handle) }
        #expect(pair.now - start == .milliseconds(40))
    }

    @Test func aQuestionForAKeyIsRepeatedAtOnce() {
        let pair = Pair()
        pair.filter = { _, _ in false }
        pair.client.queryKey(of: Pair.serverAddress, at: pair.now)
        pair.run(for: .milliseconds(700))
        pair.filter = { _, _ in true }
        let start = pair.now
        pair.client.pathChanged(at: pair.now)
        pair.run(for: .seconds(2)) { !$0.clientEvents.isEmpty }
        #expect(pair.now - start == .milliseconds(40))
    }
}
