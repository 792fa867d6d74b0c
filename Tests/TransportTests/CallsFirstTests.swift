import MastLinkModel
import MastTimebase
import MastTransport
import TestKit
import Testing

/// Small calls that begin while uploads fill a slow link.
@Suite struct CallsFirstTests {
    private static let rate = Rate(bitsPerSecond: 4_000_000)
    private static let packet = 1_452

    /// What became of each call.
    private struct Outcome {
        /// Stream bytes of others in packets that left after the call was written and before its first.
        var passed: [Int] = []
        /// Until its packet left, and until it was all there.
        var left: [Interval] = []
        var arrived: [Interval] = []
        /// Uploaded while the calls were made, as a part of what the link carries.
        var uploaded = 0.0

        var report: String {
            func words(_ times: [Interval]) -> String {
                let all = times.map(\.inMilliseconds).sorted()
                return "mean \(all.reduce(0, +) / Double(max(1, all.count))) ms, most \(all.last ?? 0) ms"
            }
            return "passed \(passed); left after \(words(left)); there after \(words(arrived)); uploaded \(uploaded)"
        }
    }

    /// - Parameters:
    ///   - uploads: that always have more to send, 20 MB in all.
    ///   - bytes: of each of 20 calls, two a second.
    private func run(uploads: Int, _ urgency: Urgency = .standard, call bytes: Int = 200, _ callUrgency: Urgency = .standard) throws -> Outcome {
        var configuration = TransportConfiguration()
        configuration.logsKeys = true
        let link = LinkProfile(service: .constant(Self.rate), delay: .milliseconds(20), queue: .dropTail(QueueLimit(bytes: 40_000)))
        let pair = Pair(seed: 11, scenario: LinkScenario(up: link, down: link, seed: 11), configuration: configuration)
        let tap = Wiretap(pair)
        let handle = connected(pair)
        let server = try #require(pair.accepted)
        let streams = try (0..<uploads).map { _ in
            let opened = pair.client.openStream(handle, deadline: nil, urgency: urgency, at: pair.now)
            return try #require(opened)
        }
        let (size, ahead) = (20_000_000 / uploads, 1_000_000 / uploads)
        let chunk = [UInt8](repeating: 7, count: 8_192)
        var written = [Int](repeating: 0, count: uploads)
        var received = written
        var sink: [UInt8] = []
        func step() {
            for (index, stream) in streams.enumerated() {
                while written[index] < size, written[index] - received[index] < ahead {
                    let accepted = pair.client.write(handle, stream, chunk.prefix(size - written[index]), fin: false, at: pair.now)
                    written[index] += accepted
                    guard accepted > 0 else { break }
                }
            }
            pair.run(for: .milliseconds(1))
            for (index, stream) in streams.enumerated() {
                sink.removeAll(keepingCapacity: true)
                _ = pair.server.read(server, stream, into: &sink, at: pair.now)
                received[index] += sink.count
            }
        }
        for _ in 0..<3_000 { step() }
        let (from, before) = (pair.now, received.reduce(0, +))
        var outcome = Outcome()
        for _ in 0..<20 {
            let (at, packets) = (pair.now, tap.packets.count)
            let opened = pair.client.openStream(handle, deadline: nil, urgency: callUrgency, at: at)
            let stream = try #require(opened)
            _ = pair.client.write(handle, stream, [UInt8](repeating: 1, count: bytes)[...], fin: true, at: at)
            var arrived: [UInt8] = []
            var arrivedAfter: Interval?
            while pair.now < at + .milliseconds(500) || arrivedAfter == nil && pair.now < at + .seconds(5) {
                step()
                guard arrivedAfter == nil else { continue }
                _ = pair.server.read(server, stream, into: &arrived, at: pair.now)
                if arrived.count == bytes { arrivedAfter = pair.now - at }
            }
            let since = tap.packets[packets...].filter { $0.side == .client }
            let first = try #require(since.firstIndex { $0.streams.contains { $0.id == stream } })
            outcome.passed.append(since[..<first].reduce(0) { $0 + $1.bytes })
            outcome.left.append(since[first].sentAt - at)
            outcome.arrived.append(try #require(arrivedAfter))
        }
        let seconds = Double((pair.now - from).nanoseconds) / 1e9
        outcome.uploaded = Double(received.reduce(0, +) - before) * 8 / seconds / Double(Self.rate.bitsPerSecond)
        return outcome
    }

    /// Nothing waits in the sender: what is before a call is under way already. Of an upload in the background no more than of others.
    @Test(arguments: [(1, .standard), (16, .standard), (16, .bulk)] as [(Int, Urgency)])
    func aSmallCallWaitsForOnePacketAtMost(uploads: Int, urgency: Urgency) throws {
        let outcome = try run(uploads: uploads, urgency)
        #expect(outcome.passed.count == 20 && outcome.passed.allSatisfy { $0 <= Self.packet }, "\(outcome.report)")
        // A full window waits for an acknowledgement, one that was just cut for a third of what the path holds.
        #expect(outcome.left.allSatisfy { $0 <= .milliseconds(60) }, "\(outcome.report)")
        // And the uploads go on as if nobody had called.
        #expect(outcome.uploaded > 0.85, "\(outcome.report)")
    }

    /// A call that is too large to pass by itself takes turns with sixteen uploads, unless it is urgent or they are not.
    @Test func aLargeCallWaitsForSixteenTurnsUnlessItIsMoreUrgent() throws {
        let equal = try run(uploads: 16, call: 5_000)
        #expect((equal.passed.max() ?? 0) > 12 * 1_000, "\(equal.report)")
        for (uploads, call) in [(.standard, .urgent), (.bulk, .standard)] as [(Urgency, Urgency)] {
            let outcome = try run(uploads: 16, uploads, call: 5_000, call)
            #expect(outcome.passed.allSatisfy { $0 <= Self.packet }, "\(outcome.report)")
        }
    }
}
