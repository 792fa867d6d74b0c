import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// What a connection says into silence.
@Suite struct ProbeTests {
    private let pair: Pair
    private let tap: Wiretap
    private let handle: ConnectionHandle
    private let start: Instant

    /// A connected pair over a round trip of 40 ms, measured often enough that it varies no more: a probe waits 42 ms.
    init() {
        var configuration = TransportConfiguration()
        configuration.logsKeys = true
        configuration.idleTimeout = .seconds(600)
        pair = Pair(configuration: configuration)
        tap = Wiretap(pair)
        handle = connected(pair)
        for _ in 0..<60 {
            pair.client.ping(handle, at: pair.now)
            pair.run(for: .milliseconds(100))
        }
        start = pair.now
    }

    private var statistics: ConnectionStatistics? { pair.client.statistics(handle) }
    private var sent: [Wiretap.Packet] { tap.packets(from: .client, since: start) }

    @discardableResult
    private func call(_ count: Int = 100, deadline: Instant? = nil) -> StreamID {
        let stream = pair.client.openStream(handle, deadline: deadline, at: pair.now) ?? StreamID(rawValue: 0)
        _ = pair.client.write(handle, stream, [UInt8](repeating: 7, count: count)[...], fin: true, at: pair.now)
        return stream
    }

    /// 42 ms, then half as long again each time, at most 250 ms, after 30 s without a word a second, after 60 s five.
    @Test func probesComeEverMoreRarely() {
        tap.passes = { _ in false }
        call()
        pair.run(for: .seconds(80))
        let gaps = zip(sent, sent.dropFirst()).map { $1.sentAt - $0.sentAt }
        let first: [Int64] = [42_000, 63_000, 94_500, 141_750, 212_625, 250_000, 250_000]
        #expect(gaps.prefix(7).map(\.microseconds) == first)
        let later = zip(sent, gaps).map { (at: $0.sentAt - start, gap: $1) }
        // The last word came 59 ms before.
        #expect(later.filter { $0.at > .milliseconds(600) && $0.at < .milliseconds(29_600) }.allSatisfy { $0.gap == .milliseconds(250) })
        #expect(later.filter { $0.at > .seconds(30) && $0.at < .milliseconds(58_900) }.allSatisfy { $0.gap == .seconds(1) })
        #expect(later.filter { $0.at > .seconds(60) }.allSatisfy { $0.gap == .seconds(5) })
        #expect(sent.count == Int(statistics?.probes ?? 0) + 1)
        #expect(statistics?.consecutiveProbes == sent.count - 1)
    }

    /// After a blackout the call is there with the first probe that comes through, and not with what a bare one would ask for.
    @Test(arguments: [1, 5, 30, 70] as [Int64]) func everyProbeCarriesTheCall(seconds: Int64) {
        let end = start + .seconds(seconds)
        tap.passes = { [pair] _ in pair.now >= end }
        let stream = call()
        pair.run(for: .seconds(seconds))
        #expect(sent.count > 1 && sent.allSatisfy { $0.streams.map(\.id) == [stream] && $0.bytes == 100 && $0.streams.allSatisfy(\.fin) })
        let before = sent.count
        pair.run(for: .seconds(6)) { _ in self.sent.count > before }
        let probe = pair.now
        guard let server = pair.accepted else { return #expect(Bool(false), "not accepted") }
        var bytes: [UInt8] = []
        pair.run(for: .milliseconds(20))
        #expect(pair.server.read(server, stream, into: &bytes, at: pair.now) == .finished)
        #expect(pair.now == probe + .milliseconds(20), "one way after the probe")
        #expect(bytes.count == 100)
    }

    /// Calls that were made in a tunnel are all there with the first packet that leaves it, also where a download waits as well.
    @Test(arguments: [false, true]) func aProbeCarriesAllCallsThatFit(hasDownload: Bool) {
        let end = start + .seconds(2)
        tap.passes = { [pair] _ in pair.now >= end }
        var calls: [StreamID] = []
        for _ in 0..<6 {
            calls.append(call())
            pair.run(for: .milliseconds(200))
        }
        if hasDownload { call(100_000) }
        pair.run(for: end - pair.now)
        let before = sent.count
        pair.run(for: .seconds(1)) { _ in self.sent.count > before }
        #expect(sent[before].streams.map(\.id).prefix(6) == calls[...])
        #expect(sent[before].streams.prefix(6).allSatisfy { $0.data.count == 100 && $0.fin })
        pair.run(for: .milliseconds(20))
        guard let server = pair.accepted else { return #expect(Bool(false), "not accepted") }
        for stream in calls {
            var bytes: [UInt8] = []
            #expect(pair.server.read(server, stream, into: &bytes, at: pair.now) == .finished, "one way after the probe")
        }
    }

    /// What does not fit stays for later: no packet more, and the oldest goes first.
    @Test func aProbeIsOnePacket() {
        tap.passes = { _ in false }
        let calls = (0..<4).map { _ in
            let stream = call(500)
            pair.run(for: .milliseconds(10))
            return stream
        }
        let before = sent.count
        let probes = statistics?.probes ?? 0
        pair.run(for: .seconds(1)) { _ in self.statistics?.probes ?? 0 > probes }
        pair.run(for: .zero)
        #expect(sent.count == before + 1)
        #expect(sent.last?.streams.map(\.id) == Array(calls[..<2]))
    }

    @Test func aProbeAsksToBeAnsweredAtOnce() {
        tap.passes = { _ in false }
        call(20_000)
        pair.run(for: .milliseconds(500))
        let probes = sent.dropFirst(10)
        #expect(!probes.isEmpty && probes.allSatisfy(\.asksAtOnce))
    }

    /// Silence is the radio's until an acknowledgement shows otherwise: no window is cut.
    @Test func aProbeCutsNoWindow() {
        let window = statistics?.congestionWindow
        tap.passes = { _ in false }
        call()
        pair.run(for: .seconds(5))
        #expect((statistics?.probes ?? 0) > 5)
        #expect(statistics?.congestionWindow == window)
    }

    @Test func anAcknowledgementEndsTheBackoff() {
        tap.passes = { [pair, start] _ in pair.now >= start + .milliseconds(300) }
        call()
        pair.run(for: .seconds(2))
        #expect(statistics?.consecutiveProbes == 0)
        #expect(statistics?.bytesInFlight == 0 && statistics?.oldestUnacknowledged == nil)
        let quiet = pair.now
        pair.run(for: .seconds(5))
        #expect(tap.packets(from: .client, since: quiet).isEmpty, "nothing waits, nothing is probed")
        tap.passes = { _ in false }
        call()
        pair.run(for: .milliseconds(70))
        let again = tap.packets(from: .client, since: quiet)
        // The call; a copy, as the path has just lost so much; a probe: the first one's sample of 41 ms counts for an eighth.
        #expect(again.count == 3 && again[1].sentAt - again[0].sentAt == .milliseconds(10) && again[2].sentAt - again[1].sentAt < .milliseconds(50))
    }

    @Test func aFullWindowDoesNotHoldAProbeBack() {
        tap.passes = { _ in false }
        call(100_000)
        pair.run(for: .zero)
        #expect(sent.count == 10 && statistics?.bytesInFlight ?? 0 > 10_800)
        pair.run(for: .milliseconds(42))
        #expect(sent.count == 11)
        #expect(sent.last?.streams.first?.offset == 0, "the oldest bytes")
        pair.run(for: .milliseconds(63))
        #expect(sent.count == 12 && statistics?.probes == 2)
    }

    @Test func aLostPingIsAskedForAgain() {
        tap.passes = { [pair, start] _ in pair.now > start }
        pair.client.ping(handle, at: pair.now)
        let answered = pair.run(for: .seconds(1)) { pair in
            (pair.client.statistics(self.handle)?.newestAcknowledged ?? .zero) > self.start
        }
        #expect(answered)
        #expect(pair.now - start == .milliseconds(42 + 40), "acknowledged at once, since a number is missing before it")
    }

    /// A stream's reset and its wish to hear no more are repeated by probes too.
    @Test func whatCancelsACallIsRepeated() {
        guard let server = pair.accepted else { return #expect(Bool(false), "not accepted") }
        let stream = pair.client.openStream(handle, deadline: nil, at: pair.now) ?? StreamID(rawValue: 0)
        _ = pair.client.write(handle, stream, [1], fin: false, at: pair.now)
        pair.run(for: .seconds(1))
        let cancelled = pair.now
        tap.passes = { [pair] _ in pair.now >= cancelled + .seconds(1) }
        pair.client.reset(handle, stream, code: 7, at: pair.now)
        pair.client.stopSending(handle, stream, code: 8, at: pair.now)
        pair.run(for: .milliseconds(900))
        let tries = tap.packets(from: .client, since: cancelled)
        #expect(tries.count > 3)
        for packet in tries {
            #expect(packet.frames.contains { if case .resetStream(stream, code: 7, _) = $0 { true } else { false } })
            #expect(packet.frames.contains { if case .stopSending(stream, code: 8) = $0 { true } else { false } })
        }
        pair.run(for: .milliseconds(400))
        var bytes: [UInt8] = []
        #expect(pair.server.read(server, stream, into: &bytes, at: pair.now) == .reset(code: 7))
        #expect(pair.serverEvents.contains { if case .streamStopped(_, stream, code: 8) = $0 { true } else { false } })
    }

    /// Pings leave into the silence as well, and put no probe off.
    @Test func aKeepAliveDoesNotKeepTheCallsBack() {
        pair.client.setKeepAlive(handle, .milliseconds(240), at: pair.now)
        tap.passes = { _ in false }
        let stream = call()
        pair.run(for: .seconds(5))
        let withCall = sent.filter { $0.streams.contains { $0.id == stream } }.map(\.sentAt)
        let gaps = zip(withCall, withCall.dropFirst()).map { $1 - $0 }
        #expect(gaps.count > 15 && gaps.allSatisfy { $0 <= .milliseconds(260) }, "\(gaps)")
    }

    /// Nobody waited before: the silence begins with the call.
    @Test func aCallAfterALongPauseIsProbedAsOftenAsAnother() {
        pair.run(for: .seconds(90))
        tap.passes = { _ in false }
        let begun = pair.now
        call()
        pair.run(for: .seconds(20))
        let packets = tap.packets(from: .client, since: begun)
        let gaps = zip(packets, packets.dropFirst()).map { $1.sentAt - $0.sentAt }
        #expect(gaps.count > 60 && gaps.allSatisfy { $0 <= .milliseconds(250) }, "\(gaps)")
    }

    /// A download that was there before them does not stand before calls.
    @Test func aProbeCarriesCallsThoughABulkPacketIsTheOldest() {
        let end = start + .seconds(2)
        tap.passes = { [pair] _ in pair.now >= end }
        let bulk = call(5_000)
        pair.run(for: .milliseconds(1))
        var calls: [StreamID] = []
        for _ in 0..<3 {
            calls.append(call())
            pair.run(for: .milliseconds(100))
        }
        pair.run(for: end - pair.now)
        let before = sent.count
        pair.run(for: .seconds(1)) { _ in self.sent.count > before }
        #expect(Set(calls).isSubset(of: sent[before].streams.map(\.id)), "\(sent[before].streams.map(\.id)), of \(bulk) and \(calls)")
    }

    @Test func aKeepAliveWithoutAPauseIsNone() {
        for interval in [Interval.zero, .seconds(-1)] {
            pair.client.setKeepAlive(handle, interval, at: pair.now)
            pair.run(for: .seconds(1))
        }
        #expect(sent.isEmpty)
        pair.client.setKeepAlive(handle, Interval(nanoseconds: 1), at: pair.now)
        pair.run(for: .seconds(1))
        #expect((20...110).contains(sent.count), "10 ms after whatever came last: \(sent.count)")
    }

    /// What was lost and came by another packet leaves nobody waiting, however long the peer has nothing to acknowledge.
    @Test func aMendedLossIsNotHeldAgainstThePeer() throws {
        var configuration = TransportConfiguration()
        configuration.logsKeys = true
        let pair = Pair(configuration: configuration)
        let tap = Wiretap(pair)
        let handle = connected(pair)
        pair.run(for: .seconds(1))
        let server = try #require(pair.accepted)
        let since = pair.now
        tap.passes = { [pair] _ in pair.now > since }
        pair.server.ping(server, at: pair.now)
        pair.run(for: .zero)
        tap.passes = { _ in true }
        pair.run(for: .seconds(1))
        #expect(pair.server.statistics(server)?.bytesInFlight == 0)
        for _ in 0..<40 {
            pair.client.ping(handle, at: pair.now)
            pair.run(for: .seconds(1))
        }
        #expect(pair.server.statistics(server) != nil && pair.client.statistics(handle) != nil)
        #expect(!pair.serverEvents.contains { if case .closed = $0 { true } else { false } })
    }
}
