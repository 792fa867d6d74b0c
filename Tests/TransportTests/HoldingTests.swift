import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// What is held counts until its reader is done with it, and large messages arrive all the same.
@Suite struct HoldingTests {
    private struct Small {
        var configuration = TransportConfiguration()
        init() {
            configuration.streamWindow = 16_000
            configuration.connectionWindow = 64_000
            configuration.shelfWindow = 0
            configuration.assemblyWindow = 320_000
        }
    }

    /// The server's side of messages of one known length, one a stream.
    private final class Reader {
        let length: Int
        var parts: [StreamID: Int] = [:]
        var done = 0
        var mostHeld = 0
        private var seen = 0

        init(length: Int) { self.length = length }

        /// Takes what has come; whole messages are released at once.
        func run(_ pair: Pair, _ handle: ConnectionHandle) {
            while seen < pair.serverEvents.count {
                defer { seen += 1 }
                let stream: StreamID
                switch pair.serverEvents[seen] {
                case .streamOpened(_, let id, _): stream = id
                case .streamReadable(_, let id): stream = id
                default: continue
                }
                var bytes: [UInt8] = []
                _ = pair.server.take(handle, stream, into: &bytes, at: pair.now)
                let have = parts[stream, default: 0] + bytes.count
                if parts[stream] == nil, have < length { pair.server.expect(handle, stream, more: length - have) }
                parts[stream] = have
                mostHeld = max(mostHeld, pair.server.heldBytes(handle))
                if have == length, !bytes.isEmpty {
                    done += 1
                    pair.server.release(handle, stream, length)
                }
            }
        }
    }

    private func open(_ pair: Pair, _ handle: ConnectionHandle) throws -> StreamID {
        let stream = pair.client.openStream(handle, deadline: nil, at: pair.now)
        return try #require(stream)
    }

    @Test func whatWasOnlyTakenGivesNoCredit() throws {
        let pair = Pair(configuration: Small().configuration)
        let handle = connected(pair)
        let stream = try open(pair, handle)
        _ = pair.client.write(handle, stream, [UInt8](repeating: 9, count: 50_000)[...], fin: true, at: pair.now)
        let server = try #require(pair.accepted)
        var bytes: [UInt8] = []
        pair.run(for: .seconds(3)) {
            _ = $0.server.take(server, stream, into: &bytes, at: $0.now)
            return false
        }
        #expect(bytes.count == 16_000)
        #expect(pair.server.heldBytes(server) == 16_000 + 1_024)
        pair.server.release(server, stream, 10_000)
        pair.run(for: .seconds(1)) {
            _ = $0.server.take(server, stream, into: &bytes, at: $0.now)
            return false
        }
        #expect(bytes.count == 26_000)
        pair.server.release(server, stream, 1_000_000)
        #expect(pair.server.heldBytes(server) == 1_024)
    }

    /// How long `size` bytes take as messages of `length`, over 40 Mbit/s and a round trip of 200 ms: read at once, or held
    /// until each is whole.
    private func time(_ size: Int, inMessagesOf length: Int, warm: Bool, holding: Bool) throws -> Interval {
        let slow = LinkProfile(service: .constant(.megabitsPerSecond(40)), delay: .milliseconds(100))
        let pair = Pair(scenario: LinkScenario(up: slow, down: slow, seed: 1))
        let handle = connected(pair)
        let server = try #require(pair.accepted)
        if warm { try transfer(2_000_000, inMessagesOf: 2_000_000, pair, handle, server, holding: false) }
        let start = pair.now
        try transfer(size, inMessagesOf: length, pair, handle, server, holding: holding)
        return pair.now - start
    }

    private func transfer(
        _ size: Int, inMessagesOf length: Int, _ pair: Pair, _ handle: ConnectionHandle, _ server: ConnectionHandle, holding: Bool
    ) throws {
        let stream = try open(pair, handle)
        let payload = [UInt8](repeating: 3, count: size)
        var (written, got, released) = (0, 0, 0)
        var expecting = false
        pair.run(for: .seconds(60)) { pair in
            if written < size { written += pair.client.write(handle, stream, payload[written..<min(size, written + length)], fin: false, at: pair.now) }
            var bytes: [UInt8] = []
            guard holding else {
                _ = pair.server.read(server, stream, into: &bytes, at: pair.now)
                got += bytes.count
                return got == size
            }
            _ = pair.server.take(server, stream, into: &bytes, at: pair.now)
            got += bytes.count
            while got - released >= length {
                pair.server.release(server, stream, length)
                released += length
                expecting = false
            }
            if got > released, !expecting {
                expecting = true
                pair.server.expect(server, stream, more: length - (got - released))
            }
            return got == size
        }
        #expect(got == size)
    }

    @Test(arguments: [(500_000, 500_000), (4_000_000, 4_000_000), (3_000_000, 50_000)])
    func holdingAMessageUntilItIsWholeCostsNoMoreTimeThanItsShareOfTheWindow(size: Int, length: Int) throws {
        for warm in [false, true] {
            let (atOnce, held) = (
                try time(size, inMessagesOf: length, warm: warm, holding: false), try time(size, inMessagesOf: length, warm: warm, holding: true)
            )
            // A twentieth: while a message of 50 kB is not whole, so much less of a window of 1 MiB slides on.
            #expect(held <= atOnce + atOnce / 20, "\(held.milliseconds) ms held, \(atOnce.milliseconds) ms read at once")
        }
    }

    @Test func aMessageLargerThanBothWindowsArrivesWhole() throws {
        let pair = Pair(configuration: Small().configuration)
        let handle = connected(pair)
        let server = try #require(pair.accepted)
        let reader = Reader(length: 300_000)
        let stream = try open(pair, handle)
        let start = pair.now
        let accepted = pair.client.write(handle, stream, [UInt8](repeating: 1, count: 300_000)[...], fin: true, at: pair.now)
        #expect(accepted == 300_000)
        pair.run(for: .seconds(10)) {
            reader.run($0, server)
            return reader.done == 1
        }
        #expect(reader.done == 1)
        // A round trip for the grant beside slow start's own: no wait for windows to be emptied.
        #expect(pair.now - start < .milliseconds(600))
    }

    @Test func aHundredLargeMessagesAtOnceAllArriveInTurnWithinTheBound() throws {
        let fast = LinkProfile(service: .constant(.megabitsPerSecond(200)), delay: .milliseconds(2))
        let pair = Pair(scenario: LinkScenario(up: fast, down: fast, seed: 1), configuration: Small().configuration)
        let handle = connected(pair)
        let server = try #require(pair.accepted)
        let reader = Reader(length: 40_000)
        for _ in 0..<100 {
            let stream = try open(pair, handle)
            let accepted = pair.client.write(handle, stream, [UInt8](repeating: 1, count: 40_000)[...], fin: true, at: pair.now)
            #expect(accepted == 40_000)
        }
        pair.run(for: .seconds(60)) {
            reader.run($0, server)
            return reader.done == 100
        }
        #expect(reader.done == 100)
        #expect(reader.mostHeld <= 64_000 + 320_000 + 100 * 1_024)
        // Begun one after the other: the parts of messages never filled the window.
        #expect(reader.mostHeld <= 64_000 + 40_000 + 100 * 1_024)
    }

    @Test func aLossyLinkStopsNoneOfThem() throws {
        let lossy = LinkProfile(service: .constant(.megabitsPerSecond(20)), delay: .milliseconds(10), radioLoss: .independent(Probability(0.1)))
        let pair = Pair(seed: 3, scenario: LinkScenario(up: lossy, down: lossy, seed: 3), configuration: Small().configuration)
        let handle = connected(pair, within: .seconds(10))
        let server = try #require(pair.accepted)
        let reader = Reader(length: 90_000)
        for _ in 0..<20 {
            let stream = try open(pair, handle)
            _ = pair.client.write(handle, stream, [UInt8](repeating: 1, count: 90_000)[...], fin: true, at: pair.now)
        }
        pair.run(for: .seconds(120)) {
            reader.run($0, server)
            return reader.done == 20
        }
        #expect(reader.done == 20)
    }

    @Test func partsOfMessagesThatNeverEndStopNoSmallOneBesideThem() throws {
        let pair = Pair(configuration: Small().configuration)
        let handle = connected(pair)
        let server = try #require(pair.accepted)
        let reader = Reader(length: 10_000)
        for _ in 0..<40 {
            let stream = try open(pair, handle)
            // Parts of what will never be whole: 40 × 2 kB are more than the window.
            _ = pair.client.write(handle, stream, [UInt8](repeating: 1, count: 2_000)[...], fin: false, at: pair.now)
        }
        pair.run(for: .seconds(2)) {
            reader.run($0, server)
            return false
        }
        #expect(reader.parts.values.reduce(0, +) == 80_000)
        let small = try open(pair, handle)
        _ = pair.client.write(handle, small, [UInt8](repeating: 2, count: 100)[...], fin: true, at: pair.now)
        pair.run(for: .milliseconds(200)) {
            reader.run($0, server)
            return false
        }
        #expect(reader.parts[small] == 100)
    }

    @Test func wholeMessagesThatWaitGiveTheirCreditBackUpToTheShelf() {
        var window = ReceiveWindow(window: 1_000, shelf: 3_000, assembly: 500)
        func receive(_ bytes: UInt64) -> Bool { (try? window.receive(bytes, "")) != nil }
        for _ in 0..<4 {
            #expect(receive(1_000))
            window.complete(1_000)
        }
        #expect(window.limit == 4_000)
        #expect(window.held == 4_000)
        let (tooMuch, enough) = (window.grant(501), window.grant(500))
        #expect(!tooMuch && enough)
        window.release(4_000, whole: 4_000)
        #expect(window.limit == 5_000 && window.whole == 0)
        // At no ease, what waits counts like what is not whole.
        window.isAtEase = false
        #expect(receive(1_000))
        window.complete(1_000)
        #expect(window.limit == 5_000)
        window.isAtEase = true
        #expect(window.limit == 6_000)
        #expect(!receive(1_001))
    }

    @Test func whateverHappensTheLimitStaysWithinItsBound() {
        var random = SeededGenerator(seed: 5)
        for _ in 0..<200 {
            var window = ReceiveWindow(window: 1_000, shelf: 2_000, assembly: 700)
            for _ in 0..<300 {
                let bytes = random.next(below: 600)
                switch random.next(below: 5) {
                case 0: if window.received + bytes <= window.limit { try? window.receive(bytes, "") }
                case 1: window.complete(bytes)
                case 2: window.release(bytes, whole: min(bytes, window.whole))
                case 3: _ = window.grant(bytes)
                default: window.isAtEase.toggle()
                }
                #expect(window.limit - window.released <= 1_000 + 2_000 + 700)
                #expect(window.whole <= window.held && window.received <= window.limit)
            }
        }
    }

    @Test func aSourceHoldsNoMoreThanItsOwnAndNoMoreThanIsFree() {
        var ledger = SourceLedger(perSource: 100, inAll: 200)
        let (a, b, c) = (TrafficSource(route: 1), TrafficSource(route: 2), TrafficSource(route: 3))
        #expect(ledger.allows(a, 100) && !ledger.allows(a, 101))
        _ = ledger.charge(a, 90)
        #expect(ledger.allows(a, 10) && !ledger.isAtEase(a))
        _ = ledger.charge(b, 60)
        // 50 are free: whoever holds more may take nothing, a newcomer may.
        #expect(!ledger.allows(a) && !ledger.allows(b) && ledger.allows(c, 20))
        _ = ledger.charge(a, -90)
        #expect(ledger.allows(b, 30) && ledger[a] == 0 && ledger.total == 60)
    }

    @Test func aSourceBeyondItsBoundIsToldOfWithTheStreamThatGrewLast() throws {
        var configuration = TransportConfiguration()
        configuration.heldBytesPerSource = 20_000
        let pair = Pair(configuration: configuration)
        let handle = connected(pair)
        let server = try #require(pair.accepted)
        let streams = (0..<2).compactMap { _ in pair.client.openStream(handle, deadline: nil, at: pair.now) }
        _ = pair.client.write(handle, streams[0], [UInt8](repeating: 1, count: 15_000)[...], fin: false, at: pair.now)
        pair.run(for: .seconds(1))
        let early = pair.serverEvents.contains { if case .overdrawn = $0 { true } else { false } }
        #expect(!early)
        _ = pair.client.write(handle, streams[1], [UInt8](repeating: 1, count: 8_000)[...], fin: false, at: pair.now)
        pair.run(for: .seconds(1))
        let told = pair.serverEvents.contains { if case .overdrawn(server, streams[1]) = $0 { true } else { false } }
        #expect(told)
        pair.server.stopSending(server, streams[1], code: 3, at: pair.now)
        #expect(pair.server.held.total == 15_000 + 2 * 1_024)
        pair.client.close(handle, code: 0, reason: "", at: pair.now)
        pair.run(for: .seconds(3))
        #expect(pair.server.held.total == 0 && pair.server.unread.total == 0)
    }

    @Test func bytesThatNobodyAcknowledgesCountAsUnread() throws {
        var hostile = TransportConfiguration()
        hostile.streamWindow = 1_000
        let pair = Pair(configuration: hostile)
        let handle = connected(pair)
        let server = try #require(pair.accepted)
        let stream = try open(pair, handle)
        _ = pair.client.write(handle, stream, [1], fin: true, at: pair.now)
        pair.run(for: .milliseconds(200))
        _ = pair.server.write(server, stream, [UInt8](repeating: 1, count: 100_000)[...], fin: true, at: pair.now)
        #expect(pair.server.unread.total == 100_000)
        pair.client.setKeepAlive(handle, .seconds(5), at: pair.now)
        pair.run(for: .seconds(5))
        let early = pair.server.stalledStreams(server, for: .seconds(60), at: pair.now)
        pair.run(for: .seconds(61))
        let late = pair.server.stalledStreams(server, for: .seconds(60), at: pair.now)
        #expect(early.isEmpty && late == [stream])
        pair.server.reset(server, stream, code: 4, at: pair.now)
        #expect(pair.server.unread.total == 0)
    }
}
