import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// What a connection does about what is lost.
@Suite struct RecoveryTests {
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
    private var data: [Wiretap.Packet] { sent.filter { !$0.streams.isEmpty } }

    private func open() -> StreamID { pair.client.openStream(handle, deadline: nil, at: pair.now) ?? StreamID(rawValue: 0) }

    @discardableResult
    private func write(_ count: Int, to stream: StreamID, fin: Bool) -> Int {
        pair.client.write(handle, stream, [UInt8](repeating: 7, count: count)[...], fin: fin, at: pair.now)
    }

    private func ping() { pair.client.ping(handle, at: pair.now) }

    /// Loses the client's data packets with these places since now.
    private func lose(_ places: Set<Int>) {
        tap.passes = { [self] packet in packet.side == .server || !places.contains(sent.count { $0.number < packet.number }) }
    }

    private func atServer(_ stream: StreamID) -> (bytes: Int, state: StreamReadState) {
        guard let server = pair.accepted else { return (0, .open) }
        var bytes: [UInt8] = []
        let state = pair.server.read(server, stream, into: &bytes, at: pair.now)
        return (bytes.count, state)
    }

    // MARK: found by what arrived

    @Test func threeLaterPacketsShowALossInARoundTrip() {
        lose([0])
        let stream = open()
        write(100, to: stream, fin: true)
        pair.run(for: .zero)
        for _ in 0..<3 {
            pair.run(for: .microseconds(100))
            ping()
        }
        let done = pair.run(for: .seconds(1)) { _ in atServer(stream).state == .finished }
        #expect(done)
        // There and back for the third ping, which is acknowledged within a millisecond, and there for the repeat.
        #expect(pair.now - start <= .milliseconds(62))
        #expect(statistics?.probes == 0 && statistics?.packetsLost == 1 && statistics?.packetsRetransmitted == 1)
    }

    /// The stream ends with a packet of its own, which is lost: the end comes before a probe would have asked.
    @Test func aLostEndIsFoundByALaterPacket() {
        let stream = open()
        write(100, to: stream, fin: false)
        pair.run(for: .seconds(1))
        #expect(atServer(stream).bytes == 100)
        let lost = pair.now
        tap.passes = { $0.side == .server || !$0.streams.contains { $0.fin } || $0.sentAt > lost }
        write(0, to: stream, fin: true)
        pair.run(for: .microseconds(4_500))
        ping()
        let done = pair.run(for: .seconds(1)) { _ in atServer(stream).state == .finished }
        #expect(done)
        // Late 9/8 of 40 ms after it was sent, and 20 ms for the repeat.
        #expect(pair.now - lost == .milliseconds(45 + 20))
        #expect(statistics?.probes == 0)
    }

    @Test func onePacketLaterShowsALossAfterNineEighths() {
        lose([0])
        let stream = open()
        write(100, to: stream, fin: true)
        // Acknowledged at 44.5 ms, before the packet is late and before a probe is due.
        pair.run(for: .microseconds(4_500))
        ping()
        pair.run(for: .seconds(1))
        #expect(data.count == 2)
        #expect(data.last?.sentAt == start + .milliseconds(45))
        #expect(statistics?.probes == 0 && statistics?.packetsLost == 1)
    }

    @Test func onlyTheGapsAreSentAgain() {
        lose([2, 5])
        let stream = open()
        write(11_000, to: stream, fin: true)
        let done = pair.run(for: .seconds(1)) { _ in atServer(stream).state == .finished }
        #expect(done)
        pair.run(for: .seconds(1))
        let first = data.prefix(10)
        let again = data.dropFirst(first.count).flatMap(\.streams).map { $0.offset..<($0.offset + UInt64($0.data.count)) }
        let missing = [data[2], data[5]].flatMap(\.streams).map { $0.offset..<($0.offset + UInt64($0.data.count)) }
        #expect(again.reduce(0) { $0 + $1.count } == missing.reduce(0) { $0 + $1.count })
        #expect(again.allSatisfy { range in missing.contains { $0.lowerBound <= range.lowerBound && range.upperBound <= $0.upperBound } })
        #expect(statistics?.packetsLost == 2)
    }

    /// A probe repeats the first 1,000 bytes and is acknowledged, so that the packet counts as lost: only the rest goes again.
    @Test func whatAProbeBroughtIsNotSentAgain() {
        lose([0])
        let stream = open()
        write(1_100, to: stream, fin: true)
        let done = pair.run(for: .seconds(1)) { _ in atServer(stream).state == .finished }
        #expect(done)
        pair.run(for: .seconds(1))
        #expect(statistics?.probes == 1 && statistics?.packetsLost == 1)
        let ranges = data.flatMap(\.streams).filter { !$0.data.isEmpty }.map { $0.offset..<($0.offset + UInt64($0.data.count)) }
        #expect(ranges == [0..<1_100, 0..<1_000, 1_000..<1_100])
    }

    @Test func aLossCutsTheWindowOnceARoundTrip() {
        lose([1, 3])
        write(11_000, to: open(), fin: true)
        pair.run(for: .milliseconds(70))
        let before = Double(12_000)
        let window = Double(statistics?.congestionWindow ?? 0)
        #expect(statistics?.packetsLost == 2)
        // What was acknowledged before the loss showed had let it grow a little.
        #expect(window >= before * 0.7 && window <= (before + 6_000) * 0.7)
    }

    @Test func aLossRoundTripsLaterCutsTheWindowAgain() {
        var windows: [Int] = []
        for _ in 0..<3 {
            let before = sent.count
            lose([before])
            write(100, to: open(), fin: true)
            pair.run(for: .zero)
            for _ in 0..<3 {
                ping()
                pair.run(for: .zero)
            }
            pair.run(for: .seconds(1))
            windows.append(statistics?.congestionWindow ?? 0)
        }
        #expect(statistics?.packetsLost == 3)
        #expect(windows == [8_400, 5_880, 4_116])
    }

    // MARK: losses that were none

    /// Holds one packet back until the others have made it lost, then hands it over.
    private func delay(by interval: Interval) -> (before: Int, cut: Int, after: Int) {
        let stream = open()
        var held: Wiretap.Packet?
        tap.passes = { packet in
            guard packet.side == .client, packet.bytes > 0, held == nil else { return true }
            held = packet
            return false
        }
        let before = statistics?.congestionWindow ?? 0
        write(100, to: stream, fin: true)
        pair.run(for: .zero)
        for _ in 0..<3 {
            ping()
            pair.run(for: .zero)
        }
        pair.run(for: .milliseconds(50))
        #expect(statistics?.packetsLost == 1)
        let cut = statistics?.congestionWindow ?? 0
        // Acknowledgements make it look what may be forgotten.
        while pair.now - start < interval - .milliseconds(60) {
            ping()
            pair.run(for: .milliseconds(10))
        }
        pair.run(for: start + interval - pair.now)
        if let held { tap.deliver(held) }
        pair.run(for: .milliseconds(100))
        return (before, cut, statistics?.congestionWindow ?? 0)
    }

    @Test func aPacketThatComesLateUndoesTheCut() {
        let round = statistics?.latestRTT
        let window = delay(by: .milliseconds(120))
        #expect(window.cut == window.before * 7 / 10)
        #expect(window.after >= window.before)
        #expect(statistics?.spuriousLosses == 1)
        #expect(statistics?.latestRTT == round, "the late one's age is no round trip")
    }

    @Test func aLossIsRememberedFor300Milliseconds() {
        _ = delay(by: .milliseconds(240))
        #expect(statistics?.spuriousLosses == 1)
    }

    @Test func afterThatALateArrivalSaysNothing() {
        let window = delay(by: .milliseconds(500))
        #expect(statistics?.spuriousLosses == 0)
        #expect(window.after == window.cut)
    }

    /// A packet that came after three later ones was no loss: from now on it takes four.
    @Test func aLateArrivalWidensTheThresholdByAsMuch() {
        func holdBack(later: Int) -> Wiretap.Packet? {
            var held: Wiretap.Packet?
            tap.passes = { packet in
                guard packet.side == .client, packet.bytes > 0, held == nil else { return true }
                held = packet
                return false
            }
            write(100, to: open(), fin: true)
            pair.run(for: .zero)
            for _ in 0..<later {
                ping()
                pair.run(for: .zero)
            }
            // The first ping is acknowledged at once, the others a millisecond later.
            pair.run(for: .microseconds(41_500))
            return held
        }
        let late = holdBack(later: 3)
        #expect(statistics?.packetsLost == 1)
        if let late { tap.deliver(late) }
        pair.run(for: .seconds(1))
        #expect(statistics?.spuriousLosses == 1)
        _ = holdBack(later: 3)
        #expect(statistics?.packetsLost == 1)
        pair.run(for: .seconds(1))
        let lost = statistics?.packetsLost ?? 0
        _ = holdBack(later: 4)
        #expect(statistics?.packetsLost == lost + 1)
    }
}
