import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// What is sent of a stream whose deadline has passed: a reset, and nothing else.
@Suite struct ExpiryTests {
    private typealias Table = StreamTableTests
    private let deadline = Instant.zero + .milliseconds(500)
    private let late = Instant.zero + .milliseconds(500)

    // MARK: one end

    private func open(_ count: Int, in table: inout StreamTable) throws -> StreamID {
        let opened = table.open(deadline: deadline)
        let id = try #require(opened)
        _ = table.write(id, [UInt8](repeating: 3, count: count)[...], fin: true)
        return id
    }

    @Test func whatWasNotSentByThenNeverIs() throws {
        var table = Table.table()
        let id = try open(10_000, in: &table)
        let before = try Table.fill(&table, at: deadline - .microseconds(1))
        let after = try Table.fill(&table, at: late)
        guard case .stream(_, let range, _) = before.sent[0] else { return #expect(Bool(false), "nothing was sent in time") }
        #expect(after.frames == [.resetStream(id, code: SendStream.expiredCode, finalSize: range.upperBound)])
        #expect(table.expiredBytes == 10_000 - range.upperBound && table.unacknowledged == 0 && !table.hasSendable)
        // What was under way arrives or not: nothing follows.
        table.onLost(before.sent[0])
        let rest = try Table.fill(&table, at: late).frames
        #expect(rest.isEmpty)
    }

    @Test func whatIsLostLaterGoesNoMore() throws {
        var table = Table.table()
        let id = try open(3_000, in: &table)
        let sent = try (0..<3).flatMap { _ in try Table.fill(&table).sent }
        for frame in sent[...1] { table.onLost(frame) }
        let again = try Table.fill(&table, at: late)
        #expect(again.frames == [.resetStream(id, code: 4, finalSize: 3_000)] && !again.repairs)
        guard case .stream(_, let first, _) = sent[0], case .stream(_, let second, _) = sent[1] else { return #expect(Bool(false), "not sent") }
        #expect(table.expiredBytes == UInt64(first.count + second.count))
        // The reset is repaired as any other.
        table.onLost(again.sent[0])
        let repaired = try Table.fill(&table, at: late).frames
        #expect(repaired == again.frames)
    }

    @Test func aProbeCarriesTheResetInItsPlace() throws {
        var table = Table.table()
        let id = try open(500, in: &table)
        _ = try Table.fill(&table)
        let isProbed = table.probe(id)
        let frames = try Table.fill(&table, at: late).frames
        #expect(isProbed && frames == [.resetStream(id, code: 4, finalSize: 500)])
    }

    /// Nobody need say anything of what arrived in time, or is only not acknowledged yet.
    @Test func whatWasAllSentIsNotReset() throws {
        var table = Table.table()
        let id = try open(500, in: &table)
        _ = try Table.fill(&table)
        let frames = try Table.fill(&table, at: late).frames
        _ = table.onAcknowledged(stream: id, 0..<500, fin: true)
        #expect(frames.isEmpty && table.expiredBytes == 0 && table.unacknowledged == 0)
    }

    /// The caller's deadline, as it was told; and the answer's frames do not repeat it.
    @Test func anAnswerHasTheDeadlineOfItsCall() throws {
        var table = Table.table(initiator: false)
        let id = StreamID(rawValue: 0)
        _ = try table.receive(Table.data(0, 0, 10, fin: true, deadline: 500_000))
        table.setDeadline(id, deadline)
        _ = table.write(id, [UInt8](repeating: 3, count: 3_000)[...], fin: true)
        let first = try Table.fill(&table, at: .zero)
        guard case .stream(let frame) = first.frames[0] else { return #expect(Bool(false), "no answer") }
        #expect(frame.offset == 0 && frame.deadlineMicroseconds == nil)
        let second = try Table.fill(&table, at: late).frames
        #expect(second == [.resetStream(id, code: 4, finalSize: UInt64(frame.data.count))])
        table.setDeadline(StreamID(rawValue: 4), deadline)
    }

    /// One that has expired is no reason for an empty packet, nor for others to wait.
    @Test func othersGoOnInTheSamePacket() throws {
        var table = Table.table()
        let id = try open(10_000, in: &table)
        let opened = table.open(deadline: nil, urgency: .bulk)
        let other = try #require(opened)
        _ = table.write(other, [1, 2, 3], fin: true)
        let frames = try Table.fill(&table, at: late).frames
        #expect(frames.count == 2 && frames.contains(.resetStream(id, code: 4, finalSize: 0)))
        #expect(frames.contains { if case .stream(let frame) = $0 { frame.id == other } else { false } } && !table.hasSendable)
    }

    /// With many streams, deadlines near and far, losses, late acknowledgements and probes.
    @Test(arguments: [UInt64](1...30)) func noByteEverLeavesAtOrAfterItsDeadline(seed: UInt64) throws {
        var random = SeededGenerator(seed: seed, stream: "expiry")
        var table = Table.table(maxData: 1 << 30, maxStreamData: 1 << 30, maxStreams: 10_000)
        var deadlines: [StreamID: Instant] = [:]
        var resets: [StreamID: Int] = [:]
        var flight: [SentFrame] = []
        var now = Instant.zero
        for step in 0..<5_000 {
            now = now + .milliseconds(Int64(random.next(below: 4)))
            switch random.next(below: step < 2_500 ? 6 : 4) {
            case 0, 1:
                let (frames, sent, _) = try Table.fill(&table, limit: 300 + Int(random.next(below: 900)), at: now)
                flight += sent
                for frame in frames {
                    switch frame {
                    case .stream(let frame):
                        let isInTime = deadlines[frame.id].map { now < $0 } ?? true
                        #expect(isInTime, "seed \(seed), step \(step): a byte too late")
                        #expect(resets[frame.id] == nil, "a byte behind the reset")
                    case .resetStream(let id, let code, _):
                        resets[id, default: 0] += 1
                        let isLate = deadlines[id].map { $0 <= now } ?? false
                        #expect(isLate && code == 4, "a reset before its time")
                    default: Issue.record("\(frame)")
                    }
                }
            case 2 where !flight.isEmpty:
                let frame = flight.remove(at: Int(random.next(below: UInt64(min(8, flight.count)))))
                if step < 4_000, random.next(below: 4) == 0 {
                    table.onLost(frame)
                } else if case .stream(let id, let range, let fin) = frame {
                    _ = table.onAcknowledged(stream: id, range, fin: fin)
                } else if case .resetStream(let id) = frame {
                    table.onResetAcknowledged(id)
                }
            case 3 where !flight.isEmpty:
                if case .stream(let id, _, _) = flight[0], step < 4_000 { _ = table.probe(id) }
            case 4, 5:
                let deadline = random.next(below: 3) == 0 ? nil : now + .milliseconds(Int64(random.next(below: 200)))
                let opened = table.open(deadline: deadline, urgency: Urgency.allCases[Int(random.next(below: 3))])
                let id = try #require(opened)
                deadlines[id] = deadline
                _ = table.write(id, [UInt8](repeating: 1, count: Int(random.next(below: 4_000)))[...], fin: true)
            default: break
            }
            #expect(table.breach == nil)
        }
        for _ in 0..<10_000 where table.hasSendable || !flight.isEmpty {
            flight += try Table.fill(&table, at: now).sent
            for frame in flight {
                if case .stream(let id, let range, let fin) = frame { _ = table.onAcknowledged(stream: id, range, fin: fin) }
                if case .resetStream(let id) = frame { table.onResetAcknowledged(id) }
            }
            flight = []
        }
        #expect(resets.count > 20 && table.expiredBytes > 0 && table.unacknowledged == 0 && !table.hasSendable, "seed \(seed)")
    }

    // MARK: two ends and a link

    /// 1 Mbit/s and 20 ms each way.
    private func slowPair() -> (pair: Pair, tap: Wiretap, handle: ConnectionHandle) {
        var configuration = TransportConfiguration()
        configuration.logsKeys = true
        let link = LinkProfile(service: .constant(Rate(bitsPerSecond: 1_000_000)), delay: .milliseconds(20))
        let pair = Pair(seed: 5, scenario: LinkScenario(up: link, down: link, seed: 5), configuration: configuration)
        let tap = Wiretap(pair)
        return (pair, tap, connected(pair))
    }

    /// Without anybody who resets it: as where a process was stopped, and its timers come late.
    @Test func aCallThatIsTooLateMakesRoomAndDistortsNothing() throws {
        let (pair, tap, handle) = slowPair()
        let server = try #require(pair.accepted)
        let end = pair.now + .milliseconds(400)
        let opened = pair.client.openStream(handle, deadline: end, at: pair.now)
        let stream = try #require(opened)
        _ = pair.client.write(handle, stream, [UInt8](repeating: 1, count: 200_000)[...], fin: true, at: pair.now)
        pair.run(for: .seconds(3))
        let sent = tap.packets(from: .client)
        #expect(sent.filter { $0.sentAt >= end }.allSatisfy { $0.bytes == 0 })
        let resets = sent.filter { $0.frames.contains { if case .resetStream(stream, code: 4, _) = $0 { true } else { false } } }
        #expect(resets.count == 1 && resets[0].sentAt >= end && resets[0].sentAt < end + .milliseconds(200))
        let figures = pair.client.statistics(handle)
        let statistics = try #require(figures)
        let bytes = sent.reduce(0) { $0 + $1.bytes }
        #expect(statistics.expiredBytes == UInt64(200_000 - bytes) && bytes < 150_000)
        // What was under way is acknowledged as ever.
        #expect(statistics.packetsLost == 0 && statistics.spuriousLosses == 0 && statistics.bytesInFlight == 0)
        #expect((statistics.minimumRTT ?? .zero) >= .milliseconds(40) && (statistics.minimumRTT ?? .zero) < .milliseconds(80))
        var received: [UInt8] = []
        #expect(pair.server.read(server, stream, into: &received, at: pair.now) == .reset(code: 4))
        // And the link is free for the next.
        let before = pair.now
        let answer = echo([1, 2, 3], on: handle, in: pair, within: .seconds(1))
        #expect(answer == [1, 2, 3] && pair.now - before < .milliseconds(60))
    }

    @Test func aBlackoutThatOutlastsTheDeadlineIsFollowedByAResetAlone() throws {
        let (pair, tap, handle) = slowPair()
        let (start, end) = (pair.now, pair.now + .milliseconds(400))
        let opened = pair.client.openStream(handle, deadline: end, at: pair.now)
        let stream = try #require(opened)
        _ = pair.client.write(handle, stream, [UInt8](repeating: 1, count: 5_000)[...], fin: true, at: pair.now)
        tap.passes = { _ in pair.now >= start + .seconds(2) }
        pair.run(for: .seconds(4))
        let sent = tap.packets(from: .client, since: start)
        let (early, late) = (sent.filter { $0.sentAt < end }, sent.filter { $0.sentAt >= end })
        #expect(early.contains { $0.bytes > 0 } && late.allSatisfy { $0.bytes == 0 } && late.count > 3)
        let statistics = pair.client.statistics(handle)
        #expect(statistics?.bytesInFlight == 0 && statistics?.consecutiveProbes == 0)
        // The server never heard of it.
        let isHeardOf = pair.serverEvents.contains { if case .streamOpened(_, stream, _) = $0 { true } else { false } }
        #expect(!isHeardOf)
    }

    @Test func anAnswerThatIsTooLateIsNotSentToItsEnd() throws {
        let (pair, tap, handle) = slowPair()
        let server = try #require(pair.accepted)
        let opened = pair.client.openStream(handle, deadline: pair.now + .milliseconds(400), at: pair.now)
        let stream = try #require(opened)
        _ = pair.client.write(handle, stream, [1][...], fin: true, at: pair.now)
        var end: Instant?
        pair.run(for: .seconds(1)) { pair in
            for case .streamOpened(_, stream, let deadline) in pair.serverEvents { end = deadline }
            return end != nil
        }
        let told = try #require(end)
        _ = pair.server.write(server, stream, [UInt8](repeating: 1, count: 200_000)[...], fin: true, at: pair.now)
        pair.run(for: .seconds(3))
        let sent = tap.packets(from: .server)
        #expect(sent.contains { $0.bytes > 0 } && sent.filter { $0.sentAt >= told }.allSatisfy { $0.bytes == 0 })
        #expect((pair.server.statistics(server)?.expiredBytes ?? 0) > 40_000)
        var received: [UInt8] = []
        #expect(pair.client.read(handle, stream, into: &received, at: pair.now) == .reset(code: 4))
    }
}
