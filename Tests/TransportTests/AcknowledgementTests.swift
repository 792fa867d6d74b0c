import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// When the server acknowledges what the client sends, and what it says then (RFC 9000 section 13.2).
@Suite struct AcknowledgementTests {
    /// A connected pair in which nothing is under way, and whose client's packets wait to be handed over one by one.
    private struct Bench {
        let pair: Pair
        let tap: Wiretap
        let handle: ConnectionHandle
        let start: Instant

        init(delay: Interval = .milliseconds(20)) {
            var configuration = TransportConfiguration()
            configuration.logsKeys = true
            configuration.maximumDatagramSize = 1_200
            let link = LinkProfile(delay: delay)
            pair = Pair(scenario: LinkScenario(up: link, down: link, seed: 1), configuration: configuration)
            tap = Wiretap(pair)
            handle = connected(pair)
            pair.run(for: .seconds(2))
            start = pair.now
        }

        /// Holds back so many full packets of the client's, none of which asks for an answer at once.
        func hold(_ count: Int) throws -> [Wiretap.Packet] {
            let held = hold(bytes: 100_000)
            try #require(held.count >= count && held.allSatisfy { !$0.asksAtOnce })
            return Array(held.prefix(count))
        }

        /// Holds back as much as the window allows of so many bytes.
        func hold(bytes: Int) -> [Wiretap.Packet] {
            tap.passes = { $0.side == .server }
            guard let stream = pair.client.openStream(handle, deadline: nil, at: pair.now) else { return [] }
            _ = pair.client.write(handle, stream, [UInt8](repeating: 1, count: bytes)[...], fin: true, at: pair.now)
            pair.run(for: .zero)
            return tap.packets(from: .client, since: start)
        }

        /// Holds back so many packets with nothing but a ping in them, each of which does ask.
        func holdPings(_ count: Int) throws -> [Wiretap.Packet] {
            tap.passes = { $0.side == .server }
            for _ in 0..<count {
                pair.client.ping(handle, at: pair.now)
                pair.run(for: .zero)
            }
            let held = tap.packets(from: .client, since: start)
            try #require(held.count == count && held.allSatisfy { $0.asksAtOnce })
            return held
        }

        var answers: [Wiretap.Packet] { tap.packets(from: .server, since: start) }

        /// How long until the server says something, and what.
        func answer(within interval: Interval = .seconds(1)) -> (after: Interval, packet: Wiretap.Packet)? {
            let before = (pair.now, answers.count)
            guard pair.run(for: interval, until: { _ in answers.count > before.1 }), let packet = answers.last else { return nil }
            return (pair.now - before.0, packet)
        }
    }

    // MARK: at once

    @Test func everyEighthIsAcknowledgedAtOnce() throws {
        let bench = Bench()
        let counts = try bench.hold(10).map { packet in
            bench.tap.deliver(packet)
            return bench.answers.count
        }
        #expect(counts == [0, 0, 0, 0, 0, 0, 0, 1, 1, 1])
        let again = bench.answer()
        #expect(again?.after == .milliseconds(5), "the count begins anew, and the timer")
    }

    @Test func aGapIsAcknowledgedAtOnce() throws {
        let bench = Bench()
        let held = try bench.hold(10)
        let counts = [0, 1, 2, 4, 5, 6, 3, 7, 9].map { index in
            bench.tap.deliver(held[index])
            return bench.answers.count
        }
        // 4 comes where 3 should be, 3 comes late, 9 comes where 8 should be.
        #expect(counts == [0, 0, 0, 1, 1, 1, 2, 2, 3])
        guard bench.answers.count == 3 else { return }
        let first = held[0].number
        #expect(bench.answers[0].acknowledgement?.ranges.first == first + 4...first + 4)
        #expect(bench.answers[0].acknowledgement?.ranges.dropFirst().first?.upperBound == first + 2)
        #expect(bench.answers[1].acknowledgement?.ranges.first?.upperBound == first + 6, "3 filled the gap")
        #expect(bench.answers[2].acknowledgement?.ranges.first == first + 9...first + 9)
    }

    @Test func whatComesTwiceIsNotAcknowledgedAgain() throws {
        let bench = Bench()
        let held = try bench.hold(1)
        bench.tap.deliver(held[0])
        #expect(bench.answer() != nil)
        let count = bench.answers.count
        bench.tap.deliver(held[0])
        bench.pair.run(for: .milliseconds(200))
        #expect(bench.answers.count == count)
    }

    // MARK: after a while

    struct Wait: Sendable { let oneWay, patience: Interval }
    /// An eighth of the round trip, between one millisecond and ten.
    static let waits = [
        Wait(oneWay: .milliseconds(2), patience: .milliseconds(1)), Wait(oneWay: .milliseconds(8), patience: .milliseconds(2)),
        Wait(oneWay: .milliseconds(20), patience: .milliseconds(5)), Wait(oneWay: .milliseconds(100), patience: .milliseconds(10)),
    ]

    @Test(arguments: waits) func aPacketAloneWaitsAnEighthOfARoundTrip(_ wait: Wait) throws {
        let bench = Bench(delay: wait.oneWay)
        bench.tap.deliver(try bench.hold(1)[0])
        let answer = bench.answer()
        #expect(answer?.after == wait.patience)
        // The clock of the acknowledgement is the sender's to correct its round trip with.
        #expect(answer?.packet.acknowledgement?.delayMicroseconds == UInt64(wait.patience.microseconds))
        #expect(answer?.packet.isAcknowledgementAlone == true)
    }

    @Test(arguments: [2, 20, 100] as [Int64]) func whoAsksAtOnceWaitsAMillisecond(oneWay: Int64) throws {
        let bench = Bench(delay: .milliseconds(oneWay))
        bench.tap.deliver(try bench.holdPings(1)[0])
        #expect(bench.answer()?.after == .milliseconds(1))
    }

    @Test func theFirstThatWaitsSetsTheTime() throws {
        let bench = Bench()
        let held = try bench.hold(2)
        bench.tap.deliver(held[0])
        bench.pair.run(for: .milliseconds(3))
        bench.tap.deliver(held[1])
        let answer = bench.answer()
        #expect(answer?.after == .milliseconds(2))
        #expect(answer?.packet.acknowledgement?.delayMicroseconds == 2_000, "since the newest")
        bench.pair.run(for: .milliseconds(30))
        #expect(bench.answers.count == 1)
    }

    @Test func aLaterOneThatAsksShortensTheWait() throws {
        let bench = Bench()
        let held = bench.hold(bytes: 1_300)
        try #require(held.map(\.asksAtOnce) == [false, true])
        bench.tap.deliver(held[0])
        bench.pair.run(for: .milliseconds(1))
        bench.tap.deliver(held[1])
        #expect(bench.answer()?.after == .milliseconds(1), "and not 4")
    }

    @Test func oneThatAsksLateDoesNotLengthenTheWait() {
        let bench = Bench()
        let held = bench.hold(bytes: 1_300)
        bench.tap.deliver(held[0])
        bench.pair.run(for: .microseconds(4_500))
        bench.tap.deliver(held[1])
        #expect(bench.answer()?.after == .microseconds(500))
    }

    /// A late packet is no news of the largest: the delay is the largest one's.
    @Test func theDelayIsThatOfTheLargest() throws {
        let bench = Bench()
        let held = try bench.hold(3)
        bench.tap.deliver(held[0])
        bench.tap.deliver(held[2])
        #expect(bench.answers.last?.acknowledgement?.delayMicroseconds == 0)
        bench.pair.run(for: .milliseconds(3))
        bench.tap.deliver(held[1])
        #expect(bench.answers.last?.acknowledgement?.ranges.first?.upperBound == held[2].number)
        #expect(bench.answers.last?.acknowledgement?.delayMicroseconds == 3_000)
    }

    // MARK: with what else there is

    @Test func anAnswerCarriesTheAcknowledgement() throws {
        let bench = Bench()
        let held = try bench.hold(1)
        bench.tap.deliver(held[0])
        guard let server = bench.pair.accepted, let stream = held[0].streams.first?.id else { return #expect(Bool(false), "nothing came") }
        _ = bench.pair.server.write(server, stream, [9], fin: true, at: bench.pair.now)
        bench.pair.run(for: .milliseconds(30))
        #expect(bench.answers.count == 1, "and none follows")
        let answer = bench.answers.first
        #expect(answer?.bytes == 1 && answer?.acknowledgement?.ranges.first?.upperBound == held[0].number)
        #expect(answer?.acknowledgement?.delayMicroseconds == 0)
    }

    @Test func anAcknowledgementAloneIsNotAcknowledged() {
        let bench = Bench()
        bench.tap.passes = { _ in true }
        bench.pair.client.ping(bench.handle, at: bench.pair.now)
        bench.pair.run(for: .seconds(1))
        #expect(bench.tap.packets(from: .client, since: bench.start).count == 1)
        #expect(bench.answers.count == 1)
    }

    @Test func aPacketWithNothingToAcknowledgeCarriesNoRange() {
        let bench = Bench()
        let first = bench.tap.packets(from: .client).first
        #expect(first?.acknowledgement == nil, "the client had heard no data packet yet")
        let number = first?.number ?? 0
        let answer = bench.tap.packets(from: .server).first
        #expect(answer?.acknowledgement?.ranges == [number...number])
        #expect(answer?.sentAt == first.map { $0.sentAt + .milliseconds(20 + 1) }, "the first of all has no gap before it")
    }

    @Test func aGapBeforeTheFirstOfAllIsAcknowledgedAtOnce() {
        var configuration = TransportConfiguration()
        configuration.logsKeys = true
        let pair = Pair(configuration: configuration)
        let tap = Wiretap(pair)
        var first: UInt64?
        tap.passes = { packet in
            guard packet.side == .client else { return true }
            first = first ?? packet.number
            return packet.number != first
        }
        let handle = pair.connect()
        pair.run(for: .seconds(1)) { $0.isEstablished(handle) }
        pair.run(for: .zero)
        let asked = pair.now
        pair.client.ping(handle, at: pair.now)
        pair.run(for: .milliseconds(30))
        let answer = tap.packets(from: .server).first
        let second = (first ?? 0) + 1
        #expect(answer?.acknowledgement?.ranges == [second...second])
        #expect(answer?.sentAt == asked + .milliseconds(20))
    }

    // MARK: ranges

    @Test func atMost32RangesAreKept() throws {
        let bench = Bench()
        let held = try bench.holdPings(120)
        for index in stride(from: 0, to: 120, by: 2) { bench.tap.deliver(held[index]) }
        guard let ranges = bench.answers.last?.acknowledgement?.ranges else { return #expect(Bool(false), "no acknowledgement") }
        #expect(ranges.count == 32)
        #expect(ranges.first == held[118].number...held[118].number)
        #expect(ranges.last == held[56].number...held[56].number)
        #expect(zip(ranges, ranges.dropFirst()).allSatisfy { $0.lowerBound > $1.upperBound + 1 })
    }

    /// Once the peer has heard of the ranges, they need no repeating.
    @Test func rangesThatThePeerHasHeardOfAreForgotten() throws {
        let bench = Bench()
        let held = try bench.holdPings(6)
        for index in [0, 2, 4] { bench.tap.deliver(held[index]) }
        #expect((bench.answers.last?.acknowledgement?.ranges.count ?? 0) >= 3)
        // A packet of the server's that asks for an acknowledgement carries the ranges, and the client acknowledges it.
        bench.tap.passes = { _ in true }
        guard let server = bench.pair.accepted else { return #expect(Bool(false), "not accepted") }
        bench.pair.server.ping(server, at: bench.pair.now)
        bench.pair.run(for: .milliseconds(100))
        bench.pair.client.ping(bench.handle, at: bench.pair.now)
        bench.pair.run(for: .milliseconds(100))
        let ranges = bench.answers.last?.acknowledgement?.ranges
        #expect(ranges?.count == 2, "the last that was told of, and what came since")
        #expect(ranges?.last == held[4].number...held[4].number)
    }

    // MARK: as a whole

    @Test func sixtyFourOneWayPacketsAreAcknowledgedAtLeastEightTimes() {
        let bench = Bench()
        guard let stream = bench.pair.client.openStream(bench.handle, deadline: nil, at: bench.pair.now) else { return }
        _ = bench.pair.client.write(bench.handle, stream, [UInt8](repeating: 1, count: 64 * 1_140)[...], fin: true, at: bench.pair.now)
        bench.pair.run(for: .seconds(2))
        let data = bench.tap.packets(from: .client, since: bench.start).filter { $0.bytes > 0 }
        #expect((64...66).contains(data.count))
        #expect((8...32).contains(bench.answers.count))
    }

    /// The peer holds its acknowledgements back for up to 5 ms; the round trip is 40 ms all the same.
    @Test func heldBackAcknowledgementsDoNotLengthenTheRoundTrip() {
        let bench = Bench()
        for _ in 0..<20 {
            bench.pair.client.ping(bench.handle, at: bench.pair.now)
            bench.pair.run(for: .milliseconds(100))
        }
        let statistics = bench.pair.client.statistics(bench.handle)
        #expect(statistics?.latestRTT == .milliseconds(41))
        #expect(statistics?.smoothedRTT == .milliseconds(40))
        #expect(statistics?.minimumRTT == .milliseconds(40))
    }

    /// Five milliseconds, since nothing but the first of two packets arrives, and that one does not ask.
    @Test func theWholeDelayIsTakenOff() {
        let bench = Bench()
        bench.tap.passes = { !$0.asksAtOnce }
        guard let stream = bench.pair.client.openStream(bench.handle, deadline: nil, at: bench.pair.now) else { return }
        _ = bench.pair.client.write(bench.handle, stream, [UInt8](repeating: 1, count: 1_300)[...], fin: true, at: bench.pair.now)
        bench.pair.run(for: .milliseconds(45))
        let statistics = bench.pair.client.statistics(bench.handle)
        #expect(statistics?.latestRTT == .milliseconds(45))
        #expect(statistics?.smoothedRTT == .milliseconds(40))
    }
}
