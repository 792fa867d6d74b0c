import MastTimebase
import MastTransport
import TestKit
import Testing

/// What an authentic hostile peer gets by numbers, paths, closes and silence; and what is repaired when it, or the network,
/// loses a frame of ours.
@Suite struct HostilePeerStateTests {
    private func peer(as role: HostilePeer.Role = .initiator, _ change: (inout TransportConfiguration) -> Void = { _ in }) throws
        -> HostilePeer
    {
        var configuration = HostilePeerTests.configuration
        change(&configuration)
        return try #require(HostilePeer(as: role, configuration))
    }

    private func data(_ id: UInt64, _ offset: UInt64, _ count: Int, fin: Bool = false, deadline: UInt64? = nil) -> Frame {
        .stream(StreamTableTests.data(id, offset, count, fin: fin, deadline: deadline))
    }

    private func ack(_ ranges: ClosedRange<UInt64>...) -> Frame { .ack(AckFrame(ranges: ranges, delayMicroseconds: 0)) }

    private func hears(_ peer: HostilePeer, _ frame: Frame) -> Bool { peer.heard.contains { $0.frame == frame } }

    // MARK: packet numbers

    /// Each ping asks to be acknowledged at once: a packet of ours for each.
    private func provoke(_ count: Int, _ peer: HostilePeer) {
        for _ in 0..<count {
            peer.send(payload: [0x01], flags: PacketHeader.ackNowBit)
            peer.run(for: .milliseconds(2))
        }
    }

    /// RFC 9000 section 21.4: a number left out, to catch who acknowledges what never came.
    @Test func theFirstNumberIsSkippedBeforeThe256thAndWhoAcknowledgesItIsCaught() throws {
        let peer = try peer()
        provoke(300, peer)
        let numbers = peer.heardNumbers
        let skipped = try #require(zip(numbers, numbers.dropFirst()).first { $1 != $0 + 1 }.map { $0.0 + 1 })
        let first = try #require(numbers.first)
        #expect((64..<256).contains(skipped - first))
        let gaps = zip(numbers, numbers.dropFirst()).filter { $1 != $0 + 1 }
        #expect(gaps.count <= 2 && gaps.allSatisfy { $1 == $0 + 2 })
        peer.send(ack((skipped + 1)...(skipped + 5), (skipped - 40)...(skipped - 1)))
        #expect(peer.closeCode == nil)
        let second = try self.peer()
        provoke(300, second)
        second.send(ack(skipped...skipped))
        #expect(second.closeCode == 0x0A)
    }

    @Test func theNewestNumberMayBeAcknowledgedAndTheNextNot() throws {
        for (beyond, code) in [(0, nil), (1, 0x0A)] as [(UInt64, UInt64?)] {
            let peer = try peer()
            provoke(3, peer)
            let newest = try #require(peer.heardNumbers.max())
            peer.send(ack((newest + beyond)...(newest + beyond)))
            #expect(peer.closeCode == code)
        }
    }

    @Test func aNumberCountsOnceAndOnlyIfItsPacketIsWhole() throws {
        let peer = try peer()
        let packet = try #require(peer.seal([0x01]))
        peer.send(packet: packet)
        peer.send(packet: packet)
        var bent = try #require(peer.seal([0x01]))
        bent[bent.count - 1] ^= 1
        peer.send(packet: bent)
        let cut = try #require(peer.seal([0x01]))
        peer.send(packet: Array(cut.dropLast()))
        peer.send(packet: Array(cut.prefix(28)))
        var stray = try #require(peer.seal([0x01]))
        stray[8] ^= 1
        peer.send(packet: stray)
        let counters = peer.endpoint.counters
        #expect(counters.dropped(.replayed) == 1 && counters.dropped(.unauthentic) == 2 && counters.dropped(.tooShort) == 1)
        #expect(counters.dropped(.unknownConnection) == 1 && counters.dropped == 5 && peer.closeCode == nil)
    }

    @Test func aLeapInNumbersIsNoHarm() throws {
        let peer = try peer()
        peer.skipNumbers(1 << 30)
        peer.send(data(0, 0, 1, fin: true))
        let opened = peer.events.contains { if case .streamOpened = $0 { true } else { false } }
        #expect(opened && peer.closeCode == nil)
    }

    // MARK: paths

    /// RFC 9000 sections 8.2 and 9.3.
    @Test func onlyTheRightWordMovesThePath() throws {
        let peer = try peer()
        let elsewhere = NetworkAddress(ipv4: 0x0A00_0009, port: 9)
        peer.send([.ping], from: elsewhere)
        peer.run(for: .milliseconds(5))
        let challenge = peer.elsewhere.first { $0.frames.contains { if case .pathChallenge = $0 { true } else { false } } }
        guard case .pathChallenge(let word)? = challenge?.frames.first else { return #expect(Bool(false), "no challenge") }
        #expect(challenge?.address == elsewhere && challenge?.frames.count == 1)
        for wrong in [0, word ^ 1, word &+ 1, ~word] {
            peer.send([.pathResponse(wrong)], from: elsewhere)
            #expect(peer.endpoint.remoteAddress(peer.handle) == HostilePeer.address)
        }
        peer.send([.pathResponse(word)], from: elsewhere)
        #expect(peer.endpoint.remoteAddress(peer.handle) == elsewhere)
        #expect(peer.closeCode == nil)
    }

    @Test func aChallengeIsAnsweredWithItsWordAlone() throws {
        let peer = try peer()
        peer.send(.pathChallenge(0xFEED), .ping)
        let numbers = peer.heard.filter { $0.frame == .pathResponse(0xFEED) }.map(\.number)
        #expect(numbers.count == 1 && peer.heard.filter { $0.number == numbers[0] }.count == 1)
        // A hundred at once are one answer, to the newest.
        peer.forget()
        peer.send((1...100).map { .pathChallenge($0) })
        let words = peer.heard.compactMap { if case .pathResponse(let word) = $0.frame { word } else { nil } }
        #expect(words == [100])
    }

    // MARK: closes

    /// RFC 9000 section 10.2: who is told says nothing more, and the code says whose it is.
    @Test(
        arguments: [
            (0x00, .violation(code: 0, reason: "why")), (0x02, .displaced), (0x0A, .violation(code: 0x0A, reason: "why")),
            (0xFF, .violation(code: 0xFF, reason: "why")), (0x100, .peer(code: 0, reason: "why")), (0x107, .peer(code: 7, reason: "why")),
            (VarInt.max, .peer(code: VarInt.max - 0x100, reason: "why")),
        ] as [(UInt64, CloseReason)])
    func aCloseIsReadByItsCode(code: UInt64, reason: CloseReason) throws {
        let peer = try peer()
        peer.send(data(0, 0, 5), .close(code: code, reason: "why"), data(0, 5, 5))
        #expect(peer.closeReason == reason)
        peer.forget()
        peer.send(data(0, 5, 5))
        peer.run(for: .seconds(5))
        #expect(peer.heard.isEmpty && peer.endpoint.connectionCount == 0)
        #expect(peer.endpoint.counters.dropped(.unknownConnection) == 1)
    }

    // MARK: silence

    @Test func aPeerThatSendsAndNeverAcknowledgesIsGivenUp() throws {
        let peer = try peer()
        let opened = peer.endpoint.openStream(peer.handle, deadline: nil, at: peer.now)
        let stream = try #require(opened)
        _ = peer.endpoint.write(peer.handle, stream, [1, 2, 3], fin: true, at: peer.now)
        for _ in 0..<29 {
            peer.run(for: .seconds(1))
            peer.send(.ping)
        }
        #expect(peer.closeCode == nil)
        peer.run(for: .seconds(2))
        peer.send(.ping)
        #expect(peer.closeCode == 0x0A)
    }

    @Test func aDeadlineIsAtMostAnHour() throws {
        let peer = try peer()
        peer.send(data(0, 0, 1, deadline: VarInt.max), data(2, 0, 1, deadline: 5))
        let deadlines = peer.events.compactMap { if case .streamOpened(_, _, let deadline) = $0 { deadline } else { nil } }
        #expect(deadlines == [peer.now + .seconds(3_600), peer.now + .microseconds(5)])
    }

    // MARK: memory

    /// Each byte alone in a packet of 1,200: what is held for it is its place, and not the packet.
    @Test func everyOtherByteIsChargedForWhatItTakes() throws {
        let peer = try peer {
            ($0.streamWindow, $0.connectionWindow, $0.maximumStreams) = (1 << 20, 4 << 20, 1_024)
            $0.heldBytesPerSource = 100_000
        }
        for index in 0..<1_000 as Range<UInt64> {
            var writer = ByteWriter()
            writer.frame(data(0, 1 + 2 * index, 1))
            peer.send(payload: writer.bytes + [UInt8](repeating: 0, count: 1_171 - writer.count))
        }
        let held = peer.endpoint.heldBytes(peer.handle)
        #expect(held == 2_000 + 1_000 * 64 + 1_024)
        let early = peer.events.contains { if case .overdrawn = $0 { true } else { false } }
        #expect(!early)
        for index in 0..<600 as Range<UInt64> { peer.send(data(2, 1 + 2 * index, 1)) }
        let told = peer.events.contains { if case .overdrawn(_, StreamID(rawValue: 2)) = $0 { true } else { false } }
        #expect(told)
        // Beyond what the largest window has when every other packet is lost: hoarding.
        let hoarder = try self.peer { ($0.streamWindow, $0.connectionWindow) = (1 << 20, 4 << 20) }
        for index in 0..<8_192 as Range<UInt64> { hoarder.send(data(0, 1 + 2 * index, 1)) }
        #expect(hoarder.closeCode == nil)
        hoarder.send(data(0, 1 + 2 * 8_192, 1))
        #expect(hoarder.closeCode == 0x0A)
    }

    @Test func whatAResetLeavesUnreadIsLetGo() throws {
        let peer = try peer()
        peer.send(data(0, 0, 500), data(0, 600, 10), .resetStream(StreamID(rawValue: 0), code: 1, finalSize: 900))
        #expect(peer.endpoint.heldBytes(peer.handle) == 900 + 1_024)
        var bytes: [UInt8] = []
        let state = peer.endpoint.take(peer.handle, StreamID(rawValue: 0), into: &bytes, at: peer.now)
        #expect(state == .reset(code: 1) && bytes.isEmpty && peer.endpoint.heldBytes(peer.handle) == 1_024)
    }

    // MARK: what is lost and sent again (RFC 9000 section 13.3)

    /// Acknowledges the packets that came but those with a frame that `isLost`, and three pings that came behind them: so what
    /// was lost is known (RFC 9002 section 6.1.1), long before any probe, and is heard again.
    private func lose(_ peer: HostilePeer, _ isLost: (Frame) -> Bool) {
        let lost = peer.heard.filter { isLost($0.frame) }.map(\.number)
        for _ in 0..<3 {
            peer.endpoint.ping(peer.handle, at: peer.now)
            peer.listen()
        }
        var ranges = RangeSet64()
        for number in peer.heardNumbers where !lost.contains(number) { ranges.insert(number..<(number + 1)) }
        peer.forget()
        peer.send(.ack(AckFrame(ranges: ranges.ranges.reversed().map { $0.lowerBound...($0.upperBound - 1) }, delayMicroseconds: 0)))
        peer.run(for: .milliseconds(1))
    }

    @Test func creditThatIsLostComesAgain() throws {
        let peer = try peer()
        let stream = StreamID(rawValue: 0)
        peer.send(data(0, 0, 1_000))
        peer.send(data(2, 0, 1_000, fin: true))
        var bytes: [UInt8] = []
        for id in [0, 2] as [UInt64] { _ = peer.endpoint.read(peer.handle, StreamID(rawValue: id), into: &bytes, at: peer.now) }
        _ = peer.endpoint.write(peer.handle, StreamID(rawValue: 2), [], fin: true, at: peer.now)
        peer.listen()
        #expect(hears(peer, .maxData(5_000)) && hears(peer, .maxStreamData(stream, 2_000)))
        lose(peer) {
            switch $0 {
            case .maxData, .maxStreamData: true
            default: false
            }
        }
        #expect(hears(peer, .maxData(5_000)) && hears(peer, .maxStreamData(stream, 2_000)))
        #expect(peer.endpoint.statistics(peer.handle)?.probes == 0)
    }

    @Test func streamsThatAreLostComeAgain() throws {
        let peer = try peer()
        peer.send(data(0, 0, 0, fin: true))
        var bytes: [UInt8] = []
        _ = peer.endpoint.read(peer.handle, StreamID(rawValue: 0), into: &bytes, at: peer.now)
        _ = peer.endpoint.write(peer.handle, StreamID(rawValue: 0), [], fin: true, at: peer.now)
        peer.listen()
        let newest = try #require(peer.heardNumbers.max())
        let oldest = try #require(peer.heardNumbers.min())
        peer.send(ack(oldest...newest))
        provoke(1, peer)
        #expect(hears(peer, .maxStreams(5)))
        lose(peer) { if case .maxStreams = $0 { true } else { false } }
        #expect(hears(peer, .maxStreams(5)) && peer.endpoint.statistics(peer.handle)?.probes == 0)
    }

    @Test(arguments: [true, false]) func aLostEndComesAgainBeforeAnyProbe(alone: Bool) throws {
        let peer = try peer()
        let opened = peer.endpoint.openStream(peer.handle, deadline: nil, at: peer.now)
        let stream = try #require(opened)
        _ = peer.endpoint.write(peer.handle, stream, [1, 2, 3], fin: !alone, at: peer.now)
        peer.listen()
        if alone { _ = peer.endpoint.write(peer.handle, stream, [], fin: true, at: peer.now) }
        peer.listen()
        let end = try #require(peer.streamFrames(stream).last)
        #expect(end.fin && end.data.count == (alone ? 0 : 3))
        lose(peer) { if case .stream(let frame) = $0 { frame.fin } else { false } }
        #expect(peer.streamFrames(stream) == [end] && peer.endpoint.statistics(peer.handle)?.probes == 0)
    }

    @Test func resetsAndStopsThatAreLostComeAgain() throws {
        let peer = try peer()
        let opened = peer.endpoint.openStream(peer.handle, deadline: nil, at: peer.now)
        let stream = try #require(opened)
        _ = peer.endpoint.write(peer.handle, stream, [1, 2, 3], fin: false, at: peer.now)
        peer.listen()
        peer.endpoint.reset(peer.handle, stream, code: 8, at: peer.now)
        peer.endpoint.stopSending(peer.handle, stream, code: 9, at: peer.now)
        peer.listen()
        let (reset, stop) = (Frame.resetStream(stream, code: 8, finalSize: 3), Frame.stopSending(stream, code: 9))
        #expect(hears(peer, reset) && hears(peer, stop))
        lose(peer) { $0 == reset || $0 == stop }
        #expect(hears(peer, reset) && hears(peer, stop) && peer.streamFrames(stream).isEmpty)
    }

    /// After part of what is lost was acknowledged: the gap and no more.
    @Test func acknowledgedBytesAreNotSentAgain() throws {
        let peer = try peer()
        let opened = peer.endpoint.openStream(peer.handle, deadline: nil, at: peer.now)
        let stream = try #require(opened)
        _ = peer.endpoint.write(peer.handle, stream, [UInt8](repeating: 1, count: 8_000)[...], fin: true, at: peer.now)
        peer.run(for: .milliseconds(1))
        let sent = peer.streamFrames(stream)
        #expect(sent.count >= 6 && sent.last?.fin == true)
        lose(peer) { if case .stream(let frame) = $0 { frame.offset == sent[2].offset || frame.offset == sent[3].offset } else { false } }
        let again = peer.streamFrames(stream)
        #expect(again.map(\.offset).min() == sent[2].offset)
        #expect(again.map { $0.offset + UInt64($0.data.count) }.max() == sent[4].offset)
        #expect(again.map(\.data.count).reduce(0, +) == sent[2].data.count + sent[3].data.count)
    }

    // MARK: what we send a peer that allows little

    @Test func noByteAndNoStreamBeyondWhatThePeerAllows() throws {
        var parameters = TransportParameters()
        (parameters.maxData, parameters.maxStreamData, parameters.maxStreams) = (50, 30, 2)
        let peer = try #require(HostilePeer(HostilePeerTests.configuration, parameters: parameters))
        var streams: [StreamID] = []
        for _ in 0..<3 {
            let opened = peer.endpoint.openStream(peer.handle, deadline: nil, at: peer.now)
            if let opened { streams.append(opened) }
        }
        #expect(streams.count == 2)
        for stream in streams {
            _ = peer.endpoint.write(peer.handle, stream, [UInt8](repeating: 1, count: 40)[...], fin: true, at: peer.now)
        }
        peer.run(for: .milliseconds(10))
        let counts = streams.map { peer.streamFrames($0).map(\.data.count).reduce(0, +) }
        #expect(counts == [30, 20])
        // Lower limits are old news (section 4.1), and change nothing.
        peer.send(.maxData(10), .maxStreamData(streams[0], 5), .maxStreams(0))
        peer.send(.maxData(61), .maxStreamData(streams[0], 31), .maxStreams(3))
        peer.run(for: .milliseconds(10))
        let more = streams.map { id in
            peer.streamFrames(id).filter { $0.offset >= UInt64(counts[id.index == 0 ? 0 : 1]) }.map(\.data.count).reduce(0, +)
        }
        #expect(more == [1, 10])
        let third = peer.endpoint.openStream(peer.handle, deadline: nil, at: peer.now)
        let fourth = peer.endpoint.openStream(peer.handle, deadline: nil, at: peer.now)
        #expect(third != nil && fourth == nil)
        let told = peer.events.contains { if case .streamsAvailable = $0 { true } else { false } }
        #expect(told)
    }
}
